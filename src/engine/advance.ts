// What is left to do in a family, one commit at a time, until nothing is: leftovers are swept, merges that the kernel has
// finished are written down, and a ghost with one reader is merged into. Called after changes, by the monitor, at start.

import { dataBytesIn, fittingSize, storeBytesFor } from '../dm/cow.ts';
import { MOST_NESTED, deepest } from '../converge/depth.ts';
import { desired, mergeDevices } from '../converge/desired.ts';
import { isFed, parentOf } from '../records/family.ts';
import type { Family, Node } from '../records/family.ts';
import type { SnapshotStatus } from '../dm/status.ts';
import { mergeFinished } from '../dm/status.ts';
import type { DeviceKey, StoreName, VolumeId } from '../vocabulary/ids.ts';
import { assert } from '../vocabulary/errors.ts';
import { ofFamily } from '../converge/converge.ts';
import { nested } from '../converge/tails.ts';
import { deviceKey } from '../vocabulary/ids.ts';
import type { PoolReport } from '../lvm/lvm.ts';
import type { RestoreMark, StoreRecord } from '../records/record.ts';
import { imageSize, isLost } from '../records/record.ts';
import { lostTag, mergedTag, mergingTag, sizeTag } from '../records/tags.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { bytes, maxBytes, minBytes, roundUp, toBytes } from '../vocabulary/units.ts';
import type { Context, FamilyState } from './context.ts';
import { tooDeep, withRecords } from './depth.ts';
import { commit, commitRecord, copiesOf, cutOffShown, extendStore, shrinkStore, storeReport } from './stores.ts';
import { confirmLosses, convergeFamily, fullIn } from './shown.ts';
import { readPool } from './context.ts';
import { growStore } from './expand.ts';
import { beginWaiting } from './restore.ts';
import { shrinkMeasured } from './snapshots.ts';
import { removeOrphans } from './orphans.ts';
import { tidy } from './put-right.ts';

/** Each turn ends in a commit or in nothing left to do; a family has no more to do than a few turns for each member. */
const MAX_TURNS = 1000;

/**
 * A family that is gone, or not to be trusted, is left alone. Whoever waits for the family comes between two turns: what a
 * turn would only take away, a volume that is about to be staged may want.
 */
export async function advance(ctx: Context, id: VolumeId): Promise<void> {
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    if (!(await ctx.locks.run(`family:${id}`, () => oneTurn(ctx, id)))) return;
  }
}

/** Of one that is gone nothing is left to be done. */
function forget(ctx: Context, id: VolumeId): void {
  ctx.unsettled.delete(id);
  ctx.stuck.delete(id);
  ctx.waiting.delete(id);
  ctx.unswept.delete(id);
}

/** True when there may be more to do. */
async function oneTurn(ctx: Context, id: VolumeId): Promise<boolean> {
  const { report, forest } = await readPool(ctx);
  const family = forest.families.get(id);
  if (family === undefined) {
    ctx.watch(id, []);
    await removeLeft(ctx, id);
    if (!forest.troubles.some((trouble) => trouble.family === id)) forget(ctx, id);
    return false;
  }
  if ((await confirmLosses(ctx, family)) || (await writeLosses(ctx, report, family))) return true;
  // What was just settled or swept is read again before anything is built on it.
  if (await tidy(ctx, family)) return true;
  return takeTurn(ctx, { report, forest, family });
}

/** Of a family that is gone: what could not go with it, because somebody had it open. */
async function removeLeft(ctx: Context, id: VolumeId): Promise<void> {
  if (!ctx.left.has(id)) return;
  // Records come before their devices: what is made meanwhile has one in what is read after the look.
  const observed = await ctx.kernel.observe('without-statuses');
  const { forest } = await readPool(ctx);
  if (await removeOrphans(ctx, forest, observed)) ctx.left.delete(id);
}

/**
 * The kernel writes into a store that it is invalid, but not on a disk that fails: when that answers again, the store
 * would look whole, and lack what was overwritten meanwhile.
 */
async function writeLosses(ctx: Context, report: PoolReport, family: Family): Promise<boolean> {
  // The records say it already, because this process knows; the tags may not.
  const lost = report.stores.filter(({ store, tags }) => {
    const record = family.records.get(store);
    return record !== undefined && isLost(record) && !tags.includes(lostTag);
  });
  for (const { store } of lost) await commit(ctx, store, [lostTag], []);
  return lost.length > 0;
}

/** True when something was committed, so that there may be more to do. */
async function takeTurn(ctx: Context, { report, forest, family }: Omit<FamilyState, 'node'>): Promise<boolean> {
  const nodes = [...family.nodes.values()];
  for (const node of nodes) {
    const { restore, merging } = node.record;
    if (restore !== undefined && (await finishRestore(ctx, family, node, restore))) return true;
    if (merging !== undefined && (await finishAbsorption(ctx, family, node))) return true;
  }
  ctx.waiting.delete(family.id);
  if (await beginWaiting(ctx, { report, forest, family })) return true;
  // Whether an absorption finds room is asked of a report that knows.
  if (await shrinkDormant(ctx, report, family)) return true;
  if (nodes.some(({ record }) => record.restore !== undefined || record.merging !== undefined)) return false;
  for (const ghost of nodes) {
    const reader = soleReader(family, ghost);
    if (reader !== undefined && (await beginAbsorption(ctx, report, family, ghost, reader))) return true;
  }
  await shrinkUnfed(ctx, report, family);
  await layFlat(ctx, family);
  return false;
}

/** Extensions leave one device more each below a store; where there is room again, nobody is about to reach its end. */
async function layFlat(ctx: Context, family: Family): Promise<void> {
  if (!ctx.nested.has(family.id)) return;
  const watched = ctx.watched.get(family.id) ?? [];
  const observed = ofFamily(await ctx.kernel.observe('without-statuses'), family);
  const stores = nested(observed);
  if (stores.length === 0) {
    ctx.nested.delete(family.id);
    return;
  }
  const statuses = await ctx.kernel.statuses();
  const calm = stores.filter((store) => {
    const one = watched.find((candidate) => candidate.store === store);
    const status = one === undefined ? undefined : statuses.get(one.device);
    const size = ctx.sizes.get(store);
    if (status?.state !== 'counts' || size === undefined) return false;
    return size - toBytes(status.used) >= minBytes(ctx.headroom.size, bytes(size / 8n));
  });
  if (calm.length > 0) await convergeFamily(ctx, family, { flatten: new Set(calm) });
}

async function finishRestore(ctx: Context, family: Family, node: Node, mark: RestoreMark): Promise<boolean> {
  const { entity } = node.record;
  if (entity.kind !== 'volume') return false;
  const statuses = await ctx.kernel.statuses();
  if (!mergeDevices(entity.id, mark).every((key) => isDone(statuses.get(key)))) return false;
  // The merged stores are empty husks of snapshots that live elsewhere, or nowhere; no home may be seen in them again.
  for (const merged of mark.stack) {
    const isHome = merged === node.record.store;
    if (!isHome && family.records.get(merged)?.merged !== true) await commit(ctx, merged, [mergedTag], []);
  }
  const { token, mode, snapshot, keepSnapshot, safetySnapshot, totalBytes, startedMs } = mark;
  const restored = {
    token,
    mode,
    snapshot,
    keepSnapshot,
    safetySnapshot,
    totalBytes,
    startedMs,
    endedMs: ctx.clock.nowMs(),
  };
  const after = { ...node.record, restore: undefined, restored };
  if (mark.into === undefined) await commitRecord(ctx, node.record, after);
  else await moveInto(ctx, family, mark.into, after);
  ctx.log.info({ volume: entity.id, mode, snapshot, bytes: totalBytes.toString() }, 'restore done');
  return true;
}

/** A store becomes the home of what has been merged into it, in one commit; the old home is superseded by it. */
async function moveInto(ctx: Context, family: Family, into: StoreName, record: StoreRecord): Promise<void> {
  const given = family.records.get(into);
  assert(given !== undefined, `store '${into}' has been merged into and has no record`);
  const held = given.entity.kind === 'volume' ? [given.entity.id, ...given.anchors] : given.anchors;
  const others = [...family.nodes.values()].filter(({ id }) => id !== record.entity.id);
  const stillHung = held.filter((volume) =>
    others.some(({ record: { place } }) => place.kind === 'chain' && place.volume === volume),
  );
  await commitRecord(ctx, given, {
    ...record,
    store: into,
    generation: record.generation + 1,
    place: given.place,
    chunk: given.chunk,
    window: given.window,
    level: given.level,
    anchors: [...record.anchors, ...stillHung],
    merging: undefined,
    decides: undefined,
  });
}

function isDone(status: SnapshotStatus | undefined): boolean {
  return status !== undefined && mergeFinished(status);
}

async function finishAbsorption(ctx: Context, family: Family, reader: Node): Promise<boolean> {
  const statuses = await ctx.kernel.statuses();
  if (!isDone(statuses.get(deviceKey(reader.id, 'view')))) return false;
  const ghost = parentOf(family, reader);
  if (ghost === undefined) return false;
  await moveInto(ctx, family, ghost.record.store, reader.record);
  ctx.log.info({ reader: reader.id, ghost: ghost.id }, 'absorption done');
  return true;
}

/** The only thing that reads through a ghost, if there is one and it can be merged into it. */
function soleReader(family: Family, ghost: Node): Node | undefined {
  const [only, ...others] = ghost.readers;
  if (!ghost.record.deleted || only === undefined || others.length > 0 || isWished(family, ghost)) return undefined;
  const reader = family.nodes.get(only);
  if (reader === undefined || reader.level !== undefined || reader.record.chunk === undefined) return undefined;
  if (isLost(ghost.record) || isLost(reader.record)) return undefined;
  const { entity } = reader.record;
  // A transient store cannot be merged, and is thrown away at the next reboot anyway.
  if (entity.kind === 'volume' && entity.parameters.scratch) return undefined;
  return reader;
}

/** What is to be restored must still show what it shows, and a fork that is to be promoted needs its whole line. */
function isWished(family: Family, ghost: Node): boolean {
  const wishes = [...family.nodes.values()].flatMap(({ record }) => (record.deleted ? [] : (record.wish ?? [])));
  return wishes.some(({ mode, snapshot }) => mode === 'snapshot' || snapshot === ghost.id);
}

/** False when the ghost has to stay for now: no room, or it is not as large as its reader and cannot be made so. */
async function beginAbsorption(
  ctx: Context,
  report: PoolReport,
  family: Family,
  ghost: Node,
  reader: Node,
): Promise<boolean> {
  const size = imageSize(reader.record);
  const window = reader.record.window ?? size;
  const isRoot = ghost.record.place.kind === 'root';
  // A store of exceptions is taken over only whole and at its own size: beyond it there would be no zeroes, but what the
  // images below show there, or exceptions of a time when it was larger.
  if (!isRoot && (size !== imageSize(ghost.record) || window < size)) return false;
  if (await isTooDeep(ctx, family, ghost, reader)) return false;
  // Only what is shown has a status.
  await convergeFamily(ctx, family, { pinned: [reader.id] });
  const statuses = await ctx.kernel.statuses();
  if (!isSound(ctx, family, reader, statuses)) return false;
  const isReady =
    isRoot && window < size
      ? await bareGhost(ctx, report, ghost, window, size)
      : await makeRoom(ctx, { report, family, statuses }, ghost, reader);
  return isReady && startMerge(ctx, family, ghost, reader);
}

/** Until those above it have been merged, which come first for that reason: it is asked again after each. */
async function isTooDeep(ctx: Context, family: Family, ghost: Node, reader: Node): Promise<boolean> {
  const merging = withRecords(family, { ...reader.record, merging: ghost.record.store });
  // After a power cut the merge is shown again, whoever uses it: by then nothing lies so deep already.
  const alone = desired(merging, { volumes: new Set(), pinned: new Set([reader.id]), holdsMerges: true });
  const images = [reader.id];
  const found =
    deepest(alone, undefined) ?? (await tooDeep(ctx, merging, { most: MOST_NESTED, images, holdsMerges: true }));
  if (found === undefined) return false;
  ctx.log.info({ reader: reader.id, ghost: ghost.id, depth: found.depth }, 'a ghost lies too deep to be absorbed yet');
  return true;
}

async function startMerge(ctx: Context, family: Family, ghost: Node, reader: Node): Promise<boolean> {
  // The merge begins with a freeze.
  await ctx.keepAhead(family.id);
  if (fullIn(ctx, family.id) !== undefined) {
    ctx.waiting.add(family.id);
    return false;
  }
  await commit(ctx, reader.record.store, [mergingTag(ghost.record.store)], []);
  ctx.log.info({ reader: reader.id, ghost: ghost.id }, 'absorption begun');
  return true;
}

type Statuses = ReadonlyMap<DeviceKey, SnapshotStatus>;

/** A merge over an invalid store would show the bare parent without a word. */
function isSound(ctx: Context, family: Family, reader: Node, statuses: Statuses): boolean {
  const status = statuses.get(deviceKey(reader.id, 'view'));
  const cut = cutOffShown(ctx, family, reader, status);
  if (status?.state === 'counts' && cut === undefined) return true;
  ctx.log.error(
    { reader: reader.id, state: cut ?? status?.state ?? 'not shown' },
    'cannot absorb a ghost: its reader is not sound',
  );
  return false;
}

/**
 * A merge into zeroes would lose its chunks. The data store is as large as its reader first, and zero where the reader,
 * its only one, shows zeroes.
 */
async function bareGhost(ctx: Context, report: PoolReport, ghost: Node, window: Bytes, size: Bytes): Promise<boolean> {
  const { store, entity } = ghost.record;
  const more = size - storeReport(report, store).size;
  if (more > 0n && more * copiesOf(entity.parameters.layout) > report.free) {
    ctx.waiting.add(ghost.record.family);
    return false;
  }
  await growStore(ctx, report, store, window, size);
  if (entity.size < size) await commit(ctx, store, [sizeTag(size)], [sizeTag(entity.size)]);
  return true;
}

/** Makes the ghost's store large enough for all that the reader's will bring. */
async function makeRoom(
  ctx: Context,
  { report, family, statuses }: Omit<FamilyState, 'node' | 'forest'> & { readonly statuses: Statuses },
  ghost: Node,
  reader: Node,
): Promise<boolean> {
  const { chunk, store, entity } = ghost.record;
  if (chunk === undefined) return true;
  const usedBy = (node: Node): Bytes => {
    const status = statuses.get(deviceKey(node.id, 'view'));
    return status?.state === 'counts' ? toBytes(status.used) : storeReport(report, node.record.store).size;
  };
  const readerChunk = reader.record.chunk ?? chunk;
  const brought = dataBytesIn(usedBy(reader), readerChunk);
  const asChunks = bytes((brought / readerChunk) * maxBytes(readerChunk, chunk));
  const most = storeBytesFor(imageSize(ghost.record), chunk);
  const needed = roundUp(minBytes(bytes(usedBy(ghost) + storeBytesFor(asChunks, chunk)), most), report.extent);
  const present = storeReport(report, store).size;
  if (needed <= present) return true;
  if ((needed - present) * copiesOf(entity.parameters.layout) > report.free) {
    ctx.waiting.add(family.id);
    ctx.log.warn({ ghost: ghost.id, reader: reader.id, needed: needed.toString() }, 'no room to absorb a ghost yet');
    return false;
  }
  await extendStore(ctx, store, needed);
  return true;
}

/** A snapshot that is no longer fed keeps only what it uses. */
async function shrinkUnfed(ctx: Context, report: PoolReport, family: Family): Promise<void> {
  const idle = (ctx.watched.get(family.id) ?? []).filter(({ fed, kind }) => !fed && kind === 'snapshot');
  if (idle.length === 0) return;
  const statuses = await ctx.kernel.statuses();
  for (const { device, store } of idle) {
    const status = statuses.get(device);
    if (status?.state !== 'counts') continue;
    const size = fittingSize(toBytes(status.used), report.extent);
    if (size < storeReport(report, store).size) await shrinkStore(ctx, store, size);
  }
}

/** The same where it shows no more: by what was read when its device went. */
async function shrinkDormant(ctx: Context, report: PoolReport, family: Family): Promise<boolean> {
  let some = false;
  for (const node of family.nodes.values()) {
    const parent = parentOf(family, node);
    const fed = parent === undefined || isFed(family, node);
    if (!fed) some = (await shrinkMeasured(ctx, report, node)) || some;
  }
  return some;
}
