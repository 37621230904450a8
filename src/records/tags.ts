// Tags <-> record, pure: `readTags(store, writeTags(record))` is the record. The format is documented in
// docs/tags.md and readable in `lvs -o lv_name,lv_tags`. What is not understood is refused, never guessed.

import { createHash } from 'node:crypto';
import { SnapmergeError } from '../vocabulary/errors.ts';
import type { StoreName } from '../vocabulary/ids.ts';
import { STORE_PREFIX, isSnapshotId, isVolumeId, snapshotId, storeName, volumeId } from '../vocabulary/ids.ts';
import type { Layout, VolumeParameters, VolumeSource } from '../vocabulary/parameters.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { bytes } from '../vocabulary/units.ts';
import type {
  Entity,
  Name,
  Place,
  RestoreMark,
  RestoreMode,
  RestoreWish,
  RestoredMark,
  StoreRecord,
} from './record.ts';

/** Every tag of ours begins so. */
export const TAG_PREFIX = 'sm.';
export const TAG_VERSION = '1';
/** What LVM takes as a tag at most, in characters. */
const MAX_TAG = 1024;
const TAG_TEXT = /^[A-Za-z0-9_+./=!:&#-]+$/;

export function nameOf(text: string): Name {
  const plain = TAG_TEXT.test(text) && text.length <= 256;
  return plain ? { as: 'text', text } : { as: 'hash', hash: createHash('sha256').update(text).digest('hex') };
}

export function sameName(a: Name, b: Name): boolean {
  return nameTag(a) === nameTag(b);
}

export function nameTag(name: Name): string {
  return name.as === 'text' ? `name=${name.text}` : `namehash=${name.hash}`;
}

export const pendingTag = (token: string): string => `${TAG_PREFIX}pending=${token}`;
export const decidesTag = (token: string): string => `${TAG_PREFIX}decides=${token}`;
export const deletedTag = `${TAG_PREFIX}deleted`;
export const lostTag = `${TAG_PREFIX}lost`;
export const mergedTag = `${TAG_PREFIX}merged`;
export const mergingTag = (into: StoreName): string => `${TAG_PREFIX}merging=${into}`;
export const sizeTag = (size: Bytes): string => `${TAG_PREFIX}size=${size}`;

function wishTag(wish: RestoreWish): string {
  const { token, mode, snapshot, keepSnapshot, safetySnapshotName, askedMs } = wish;
  // Base64, because the name is needed again, and LVM would refuse some of its characters.
  const safety = Buffer.from(safetySnapshotName ?? '').toString('base64url');
  return `wish=${[token, mode, snapshot, keepText(keepSnapshot), safety, askedMs].join(':')}`;
}

/** So many stores fit into one tag; the ten tags there can be hold more of them than can lie on each other. */
const STACK_STORES = 78;
const STACK_TAGS = 10;

function restoreTags(mark: RestoreMark): readonly string[] {
  const { token, mode, snapshot, into, stack, size, keepSnapshot, safetySnapshot, totalBytes, startedMs } = mark;
  const fields = [
    token,
    mode,
    snapshot,
    into ?? '',
    stack.length,
    keepText(keepSnapshot),
    safetySnapshot ?? '',
    size,
    totalBytes,
    startedMs,
  ];
  const tags = [`restore=${fields.join(':')}`];
  for (let at = 0; at < stack.length; at += STACK_STORES) {
    const short = stack.slice(at, at + STACK_STORES).map((store) => store.slice(STORE_PREFIX.length));
    tags.push(`stack${at / STACK_STORES}=${short.join('+')}`);
  }
  return tags;
}

function restoredTag(mark: RestoredMark): string {
  const { token, mode, snapshot, keepSnapshot, safetySnapshot, totalBytes, startedMs, endedMs } = mark;
  const fields = [token, mode, snapshot, keepText(keepSnapshot), safetySnapshot ?? '', totalBytes, startedMs, endedMs];
  return `restored=${fields.join(':')}`;
}

function keepText(keep: boolean): string {
  return keep ? 'keep' : 'drop';
}

/** Tags in a fixed order, each at most 1024 characters of LVM's alphabet. */
export function writeTags(record: StoreRecord): readonly string[] {
  const { entity } = record;
  const tags = [
    `v=${TAG_VERSION}`,
    `family=${record.family}`,
    `${entity.kind}=${entity.id}`,
    `gen=${record.generation}`,
    nameTag(entity.name),
    `size=${entity.size}`,
    `created=${entity.createdMs}`,
    `class=${classText(entity.parameters)}`,
    `place=${placeText(record.place)}`,
  ];
  if (entity.kind === 'snapshot') tags.push(`of=${entity.volume}`);
  else if (entity.source !== undefined) tags.push(`source=${sourceText(entity.source)}`);
  if (record.chunk !== undefined) tags.push(`chunk=${record.chunk}`);
  if (record.window !== undefined) tags.push(`window=${record.window}`);
  if (record.image !== undefined) tags.push(`image=${record.image}`);
  if (record.anchors.length > 0) tags.push(`anchors=${record.anchors.join('+')}`);
  if (record.level !== undefined) tags.push(`level=${record.level.token}:${record.level.index}`);
  if (record.wish !== undefined) tags.push(wishTag(record.wish));
  if (record.restore !== undefined) tags.push(...restoreTags(record.restore));
  if (record.restored !== undefined) tags.push(restoredTag(record.restored));
  const full = tags.map((tag) => TAG_PREFIX + tag);
  if (record.pending !== undefined) full.push(pendingTag(record.pending));
  if (record.decides !== undefined) full.push(decidesTag(record.decides));
  if (record.deleted) full.push(deletedTag);
  if (record.merged) full.push(mergedTag);
  if (record.lost) full.push(lostTag);
  if (record.merging !== undefined) full.push(mergingTag(record.merging));
  for (const tag of full) {
    if (tag.length > MAX_TAG || !TAG_TEXT.test(tag)) {
      throw new SnapmergeError('internal', `Cannot write tag '${tag}': LVM takes at most ${MAX_TAG} of its characters`);
    }
  }
  return full;
}

const KNOWN: ReadonlySet<string> = new Set(
  (
    'v family volume snapshot gen name namehash size created ' +
    'class place of source chunk window image anchors level pending decides deleted merged lost merging wish restore restored'
  )
    .split(' ')
    .concat(Array.from({ length: STACK_TAGS }, (_, index) => `stack${index}`)),
);

/**
 * Throws `contradiction` with the store's name and what is wrong with which tag. A tag that this version would write in
 * another way is refused too: what it means is then a guess.
 */
export function readTags(store: StoreName, tags: readonly string[]): StoreRecord {
  const record = readFields(store, tags);
  const written = new Set(writeTags(record));
  const odd = tags.find((tag) => tag.startsWith(TAG_PREFIX) && !written.has(tag));
  return odd === undefined ? record : refuse(store, `'${odd}' is not as this version writes it`);
}

function refuse(store: StoreName, what: string): never {
  throw new SnapmergeError('contradiction', `Cannot read the tags of store '${store}': ${what}`);
}

function readFields(store: StoreName, tags: readonly string[]): StoreRecord {
  const fields = new Map<string, string>();
  for (const tag of tags) {
    if (!tag.startsWith(TAG_PREFIX)) continue;
    const [key, value] = split(tag.slice(TAG_PREFIX.length), '=');
    if (!KNOWN.has(key)) refuse(store, `'${tag}' is unknown to this version`);
    if (fields.has(key)) refuse(store, `there are two of '${TAG_PREFIX}${key}'`);
    fields.set(key, value);
  }
  const need = (key: string): string => fields.get(key) ?? refuse(store, `'${TAG_PREFIX}${key}' is missing`);
  const count = (key: string, text: string): number => {
    const value = Number(text);
    return /^\d{1,16}$/.test(text) && Number.isSafeInteger(value)
      ? value
      : refuse(store, `'${TAG_PREFIX}${key}' is no number`);
  };
  if (need('v') !== TAG_VERSION) refuse(store, `version '${need('v')}' is unknown, want '${TAG_VERSION}'`);
  try {
    const text = fields.get('name');
    const name: Name = text === undefined ? { as: 'hash', hash: need('namehash') } : { as: 'text', text };
    const facts = {
      name,
      size: bytes(count('size', need('size'))),
      createdMs: count('created', need('created')),
      parameters: readClass(need('class')),
    };
    const source = fields.get('source');
    const snapshot = fields.get('snapshot');
    if ((snapshot === undefined) === (fields.get('volume') === undefined))
      refuse(store, 'want one of sm.volume and sm.snapshot');
    const entity: Entity =
      snapshot === undefined
        ? {
            kind: 'volume',
            id: volumeId(need('volume')),
            source: source === undefined ? undefined : readSource(source),
            ...facts,
          }
        : { kind: 'snapshot', id: snapshotId(snapshot), volume: volumeId(need('of')), ...facts };
    const level = fields.get('level');
    const chunk = fields.get('chunk');
    const place = readPlace(need('place'));
    if ((place.kind === 'root') !== (chunk === undefined)) refuse(store, 'only a cow store has a chunk size');
    const window = fields.get('window');
    if ((chunk === undefined) !== (window === undefined))
      refuse(store, 'a cow store has a window, a data store has none');
    const image = fields.get('image');
    const merging = fields.get('merging');
    const restore = fields.get('restore');
    const restored = fields.get('restored');
    const wish = fields.get('wish');
    return {
      store,
      family: volumeId(need('family')),
      generation: count('gen', need('gen')),
      entity,
      place,
      chunk: chunk === undefined ? undefined : bytes(count('chunk', chunk)),
      window: window === undefined ? undefined : bytes(count('window', window)),
      image: image === undefined ? undefined : bytes(count('image', image)),
      anchors: (fields.get('anchors') ?? '').split('+').filter(Boolean).map(volumeId),
      pending: fields.get('pending'),
      decides: fields.get('decides'),
      level: level === undefined ? undefined : readLevel(level),
      deleted: fields.has('deleted'),
      merged: fields.has('merged'),
      lost: fields.has('lost'),
      merging: merging === undefined ? undefined : storeName(merging),
      wish: wish === undefined ? undefined : readWish(wish),
      restore: restore === undefined ? undefined : readRestore(restore, stackOf(fields)),
      restored: restored === undefined ? undefined : readRestored(restored),
    };
  } catch (error) {
    if (error instanceof SnapmergeError && error.kind === 'contradiction') throw error;
    return refuse(store, error instanceof Error ? error.message : String(error));
  }
}

function split(text: string, by: string): readonly [string, string] {
  const at = text.indexOf(by);
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function placeText(place: Place): string {
  switch (place.kind) {
    case 'root':
      return 'root';
    case 'chain':
      return `chain:${place.volume}:${place.seq}`;
    case 'fork':
      return `fork:${place.snapshot}`;
  }
}

function readPlace(text: string): Place {
  const [kind, id = '', seq = ''] = text.split(':');
  if (kind === 'root') return { kind: 'root' };
  if (kind === 'fork') return { kind: 'fork', snapshot: snapshotId(id) };
  if (kind === 'chain') {
    const at = whole(seq.replace(/^-/, ''));
    return { kind: 'chain', volume: volumeId(id), seq: seq.startsWith('-') ? -at : at };
  }
  throw new SnapmergeError('invalid', `place '${text}' is unknown`);
}

function sourceText(source: VolumeSource): string {
  return source.from === 'snapshot' ? source.snapshot : source.volume;
}

function readSource(text: string): VolumeSource {
  if (isSnapshotId(text)) return { from: 'snapshot', snapshot: text };
  if (isVolumeId(text)) return { from: 'volume', volume: text };
  throw new SnapmergeError('invalid', `source '${text}' is neither a volume nor a snapshot`);
}

function classText(p: VolumeParameters): string {
  return [p.layout, p.chunk, p.snapshotReservePercent, p.onFull, p.scratch ? 'scratch' : 'durable'].join(':');
}

const LAYOUTS: readonly Layout[] = ['linear', 'striped', 'raid1'];

function readClass(text: string): VolumeParameters {
  const [layoutText, chunk = '', reserve = '', onFull, scratch] = text.split(':');
  const layout = LAYOUTS.find((known) => known === layoutText);
  if (layout === undefined) throw new SnapmergeError('invalid', `layout '${layoutText}' is unknown`);
  if (onFull !== 'wait' && onFull !== 'drop') throw new SnapmergeError('invalid', `onFull '${onFull}' is unknown`);
  if (scratch !== 'scratch' && scratch !== 'durable') {
    throw new SnapmergeError('invalid', `'${scratch}' is neither scratch nor durable`);
  }
  return {
    layout,
    chunk: bytes(whole(chunk)),
    snapshotReservePercent: whole(reserve),
    onFull,
    scratch: scratch === 'scratch',
  };
}

function readLevel(text: string): { readonly token: string; readonly index: number } {
  const [token, index] = split(text, ':');
  return { token, index: whole(index) };
}

function stackOf(fields: ReadonlyMap<string, string>): readonly StoreName[] {
  const parts = Array.from({ length: STACK_TAGS }, (_, index) => fields.get(`stack${index}`) ?? '');
  return parts.flatMap((part) => (part === '' ? [] : part.split('+').map((short) => storeName(STORE_PREFIX + short))));
}

function readWish(text: string): RestoreWish {
  const [token = '', mode, snapshot = '', keep, safety = '', asked = ''] = text.split(':');
  return {
    token,
    mode: readMode(mode),
    snapshot: snapshotId(snapshot),
    keepSnapshot: readKeep(keep),
    safetySnapshotName: safety === '' ? undefined : Buffer.from(safety, 'base64url').toString(),
    askedMs: whole(asked),
  };
}

function readRestore(text: string, stack: readonly StoreName[]): RestoreMark {
  // The number of stores is only written: read back, it must come out the same.
  const [token = '', mode, snapshot = '', into = '', , keep, safety = '', size = '', total = '', started = ''] =
    text.split(':');
  return {
    token,
    mode: readMode(mode),
    snapshot: snapshotId(snapshot),
    into: into === '' ? undefined : storeName(into),
    stack,
    size: bytes(whole(size)),
    keepSnapshot: readKeep(keep),
    safetySnapshot: safety === '' ? undefined : snapshotId(safety),
    totalBytes: bytes(whole(total)),
    startedMs: whole(started),
  };
}

function readRestored(text: string): RestoredMark {
  const [token = '', mode, snapshot = '', keep, safety = '', total = '', started = '', ended = ''] = text.split(':');
  return {
    token,
    mode: readMode(mode),
    snapshot: snapshotId(snapshot),
    keepSnapshot: readKeep(keep),
    safetySnapshot: safety === '' ? undefined : snapshotId(safety),
    totalBytes: bytes(whole(total)),
    startedMs: whole(started),
    endedMs: whole(ended),
  };
}

const MODES: readonly RestoreMode[] = ['origin', 'snapshot', 'onactivate'];

function readMode(text: string | undefined): RestoreMode {
  const mode = MODES.find((known) => known === text);
  if (mode === undefined) throw new SnapmergeError('invalid', `mode '${text}' is unknown`);
  return mode;
}

function readKeep(text: string | undefined): boolean {
  if (text === 'keep') return true;
  if (text === 'drop') return false;
  throw new SnapmergeError('invalid', `'${text}' is neither keep nor drop`);
}

function whole(text: string): number {
  const value = Number(text);
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new SnapmergeError('invalid', `'${text}' is no whole number`);
}
