// What was deleted and is read through by one image only is merged with it.

import { dataBytesIn, storeBytesFor } from '../../dm/cow.ts';
import { MOST_NESTED, deepest } from '../../converge/depth.ts';
import { desired } from '../../converge/desired.ts';
import type { Family, Node } from '../../records/family.ts';
import type { SnapshotStatus } from '../../dm/status.ts';
import type { DeviceKey } from '../../vocabulary/ids.ts';
import { deviceKey } from '../../vocabulary/ids.ts';
import type { PoolReport } from '../../lvm/lvm.ts';
import { imageSize, isLost } from '../../records/record.ts';
import { mergingTag, sizeTag } from '../../records/tags.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { bytes, maxBytes, minBytes, roundUp, toBytes } from '../../vocabulary/units.ts';
import type { Context, FamilyState } from '../state/context.ts';
import { tooDeep, withRecords } from '../families/depth.ts';
import { commit } from '../families/commit.ts';
import { copiesOf } from '../families/room.ts';
import { cutOffShown } from '../families/cut-off.ts';
import { extendStore, storeReport } from '../families/stores.ts';
import { convergeFamily } from '../families/converge-family.ts';
import { fullIn } from '../families/waiting.ts';
import { growStore } from '../operations/expand.ts';

/** The only thing that reads through a ghost, if there is one and it can be merged into it. */
export function soleReader(family: Family, ghost: Node): Node | undefined {
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
export async function beginAbsorption(
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
