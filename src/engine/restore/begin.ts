// The beginning of a restore or promotion: everything is measured and prepared first, then one commit decides, and from
// there the background carries on, whatever happens to the driver or the node.

import { dataBytesIn, storeBytesFor } from '../../dm/cow.ts';
import { MOST_NESTED, MOST_NESTED_NEW } from '../../converge/depth.ts';
import type { Family, Node } from '../../records/family.ts';
import { buildFamily } from '../../records/build-forest.ts';
import { assert, fail } from '../../vocabulary/errors.ts';
import type { EntityId, VolumeId } from '../../vocabulary/ids.ts';
import { deviceKey } from '../../vocabulary/ids.ts';
import type { PoolReport } from '../../lvm/lvm.ts';
import type { RestoreMark, RestoreWish, StoreRecord } from '../../records/record.ts';
import { imageSize, isLost } from '../../records/record.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { bytes, formatBytes, maxBytes, minBytes, roundUp, sectors, toBytes } from '../../vocabulary/units.ts';
import type { Context, FamilyState, PoolState } from '../state/context.ts';
import { commitRecord, settle } from '../families/commit.ts';
import { copiesOf, firstCowSize, needRoom } from '../families/room.ts';
import { cutOffShown } from '../families/cut-off.ts';
import { drawStore, extendStore, prepareStore, storeReport, withToken } from '../families/stores.ts';
import { convergeFamily } from '../families/converge-family.ts';
import { refuseFull } from '../families/waiting.ts';
import { readFamily } from '../state/context.ts';
import { refuseTooDeep, restoreTooDeep, withRecords } from '../families/depth.ts';
import type { Restore } from '../engine.ts';
import { growStore } from '../operations/expand.ts';
import { presentRunning } from '../families/present.ts';
import { putRight, readAgain } from '../families/repair.ts';
import type { Kept, Rollback } from './rollback.ts';
import { lacksSnapshot, rollback } from './rollback.ts';
import type { NewSnapshot } from '../operations/create-snapshot.ts';
import { newSnapshot, takeSnapshot } from '../operations/create-snapshot.ts';
import { entityByName } from '../families/find.ts';

/**
 * Under the family's lock. The wish, if it was written down, ends with the commit; what has waited may have come to lie
 * deeper meanwhile than what is asked for now may.
 */
export async function beginRestore(ctx: Context, before: FamilyState, wish: RestoreWish): Promise<Restore> {
  const name = wish.mode === 'snapshot' ? undefined : wish.safetySnapshotName;
  if (name === undefined) return beginNamed(ctx, before, wish);
  const key = `snapshot-name:${name}`;
  // Whoever makes a snapshot has the name first and then waits for its family: nobody waits for a name with a family in hand.
  if (ctx.locks.isHeld(key))
    fail('busy', `Cannot restore volume '${before.node.id}': a snapshot called '${name}' is being made`);
  return ctx.locks.run(key, async () => beginNamed(ctx, await readAgain(ctx, before), wish));
}

async function beginNamed(ctx: Context, before: FamilyState, wish: RestoreWish): Promise<Restore> {
  const { entity } = before.node.record;
  assert(entity.kind === 'volume', `'${entity.id}' is restored and is no volume`);
  const state = await withSnapshotBetween(ctx, await putRight(ctx, before), entity.id, wish);
  const { family, report } = state;
  const safety = await newSafetySnapshot(ctx, state, wish);
  const plan = planWith(state, entity.id, safety, wish);
  const { path, volume: node } = plan;
  assert(!lacksSnapshot(plan), `the promotion of '${entity.id}' would hang its snapshot on a fork`);
  const homes = plan.kept.map((kept) => ({ kept, record: freshRecord(ctx, kept, plan, wish.token) }));
  const unmeasured = markOf(ctx, plan, wish, safety?.entity.id, bytes(0));
  await refuseDeeper(ctx, state, plan, unmeasured, [
    ...(safety === undefined ? [] : [safety.record]),
    ...homes.map(({ record }) => record),
  ]);
  const { data, total } = await measurePath(ctx, state, path);
  await discardFirstTry(ctx, family, wish.token);
  const sized = homes.map(({ kept, record }) => ({ record, size: freshSize(ctx, report, kept, plan, data) }));
  const fresh: readonly Fresh[] = safety === undefined ? sized : [safety, ...sized];
  const base = baseGrowth(report, plan, data);
  refuseWithoutRoom(ctx, report, entity.id, fresh, base);
  const mark = markOf(ctx, plan, wish, safety?.entity.id, total);
  return withToken(ctx, wish.token, async () => {
    await growBase(ctx, state, plan, base);
    for (const { record, size } of fresh) await prepareStore(ctx, record, size);
    await commitRecord(ctx, node.record, { ...node.record, wish: undefined, restore: mark });
    ctx.whyWaiting.delete(wish.token);
    const after = await readFamily(ctx, family.id);
    await convergeFamily(ctx, after.family);
    await settle(ctx, after.family);
    ctx.goOn(family.id);
    return presentRunning(entity.id, mark);
  });
}

function markOf(
  ctx: Context,
  plan: Rollback,
  wish: RestoreWish,
  safetySnapshot: RestoreMark['safetySnapshot'],
  totalBytes: Bytes,
): RestoreMark {
  return {
    token: wish.token,
    mode: wish.mode,
    snapshot: wish.snapshot,
    into: plan.base === plan.volume ? undefined : plan.base.record.store,
    stack: plan.path.map(({ record }) => record.store),
    size: mergedSize(plan),
    keepSnapshot: wish.keepSnapshot,
    safetySnapshot,
    totalBytes,
    startedMs: ctx.clock.nowMs(),
  };
}

/** Each store that is merged is a level of its own until all have been; before that the whole way is shown to be measured. */
async function refuseDeeper(
  ctx: Context,
  { family, node }: FamilyState,
  { volume, path }: Rollback,
  mark: RestoreMark,
  fresh: readonly StoreRecord[],
): Promise<void> {
  // What is left of a first try counts with its token, and goes before the commit.
  const kept = [...family.records.values()].filter(({ pending }) => pending !== mark.token);
  const now = buildFamily(family.id, kept, family.sizes);
  const merging = withRecords(now, { ...volume.record, wish: undefined, restore: mark }, ...fresh);
  const most = node.record.wish?.token === mark.token ? MOST_NESTED : MOST_NESTED_NEW;
  const { entity } = volume.record;
  const volumes = entity.kind === 'volume' ? [entity.id] : [];
  const words = restoreTooDeep(mark, volume.id);
  const measured = path.map(({ id }) => id);
  await refuseTooDeep(ctx, now, { most, images: measured }, words);
  await refuseTooDeep(ctx, merging, { most, volumes, holdsMerges: true }, words);
}

/**
 * A fork that took the place of the only snapshot of the promoted one is fed by that directly, and written itself: a hidden
 * snapshot takes the place next to the promoted one first, and what is kept can hang on that.
 */
async function withSnapshotBetween(
  ctx: Context,
  state: FamilyState,
  volume: VolumeId,
  wish: RestoreWish,
): Promise<FamilyState> {
  if (!lacksSnapshot(rollback(state.family, state.node, { volume, ...wish }))) return state;
  await takeSnapshot(ctx, state, `under ${wish.snapshot}`, { hidden: true });
  return readAgain(ctx, state);
}

interface Safety extends Fresh {
  readonly entity: NewSnapshot['entity'];
}

/**
 * The safety snapshot is decided by the restore's own commit: none is left by a try that did not begin. Nobody has the
 * volume open, so it shows exactly what that showed last.
 */
async function newSafetySnapshot(ctx: Context, state: FamilyState, wish: RestoreWish): Promise<Safety | undefined> {
  const { safetySnapshotName: name, token } = wish;
  if (name === undefined || wish.mode === 'snapshot') return undefined;
  refuseTakenName(state, name, state.node.id);
  await ctx.keepAhead(state.family.id);
  refuseFull(ctx, state.family.id);
  const { entity, record, storeSize, room } = newSnapshot(ctx, state, name, token);
  needRoom(ctx, state.report, room, `safety snapshot '${name}'`);
  return { entity, record, size: storeSize };
}

/** Throws `exists` where the name of a safety snapshot is some other snapshot's, which may be anybody's. */
export function refuseTakenName(state: PoolState, name: string, volume: EntityId): void {
  const other = entityByName(state, 'snapshot', name);
  if (other === undefined) return;
  fail(
    'exists',
    `Cannot take safety snapshot '${name}' of volume '${volume}': '${other.id}' has that name already; delete it, or ` +
      `choose another name`,
  );
}

/** In the family as it is once the restore has been decided: its safety snapshot lies next to the volume. */
function planWith(
  { family, node }: FamilyState,
  volume: VolumeId,
  safety: Safety | undefined,
  wish: RestoreWish,
): Rollback {
  const request = { volume, ...wish };
  if (safety === undefined) return rollback(family, node, request);
  const records = [...family.records.values(), { ...safety.record, pending: undefined }];
  const sizes = new Map(family.sizes).set(safety.record.store, safety.size);
  const later = buildFamily(family.id, records, sizes);
  const same = later.nodes.get(volume);
  assert(same !== undefined, `volume '${volume}' has gone with its safety snapshot`);
  return rollback(later, same, request);
}

/** Under the same token it would count with the commit, beside what is prepared now. */
async function discardFirstTry(ctx: Context, { undecided }: Family, token: string): Promise<void> {
  const left = undecided.filter((one) => one.token === token);
  for (const { store } of left) await ctx.lvm.remove(store);
  if (left.length > 0) await ctx.lvm.flush();
}

/** Bytes of data in each store of the path, at most. */
type Data = ReadonlyMap<EntityId, Bytes>;

interface Measured {
  readonly data: Data;
  /** Bytes to move, as the kernel counts them. */
  readonly total: Bytes;
}

function dataOf(data: Data, { id }: Node): Bytes {
  return data.get(id) ?? bytes(0);
}

/** All of the path is shown for a moment and asked, so that a dormant store is known too. */
async function measurePath(ctx: Context, { family, report }: FamilyState, path: readonly Node[]): Promise<Measured> {
  // A safety snapshot that is not decided holds nothing.
  const present = path.filter(({ id }) => family.nodes.has(id));
  await convergeFamily(ctx, family, { pinned: present.map(({ id }) => id) });
  const statuses = await ctx.kernel.statuses();
  const data = new Map<EntityId, Bytes>();
  let total = 0n;
  for (const node of present) {
    const { id, record } = node;
    const status = statuses.get(deviceKey(id, 'view'));
    if (isLost(record) || status?.state === 'invalid' || status?.state === 'overflow') {
      fail('precondition', `Cannot restore: the contents of the store of '${id}' are lost`);
    }
    const cut = cutOffShown(ctx, family, node, status);
    if (cut !== undefined) fail('precondition', `Cannot restore: ${cut}`);
    const chunk = record.chunk ?? record.entity.parameters.chunk;
    const used = status?.state === 'counts' ? toBytes(status.used) : storeReport(report, record.store).size;
    const most = dataBytesIn(used, chunk);
    data.set(id, most);
    total += status?.state === 'counts' ? toBytes(sectors(status.used - status.metadata)) : most;
  }
  return { data, total: bytes(total) };
}

interface Fresh {
  readonly record: StoreRecord;
  readonly size: Bytes;
}

/** The new home of a snapshot on the path. */
function freshRecord(
  ctx: Context,
  { node, place, level, image, deleted }: Kept,
  plan: Rollback,
  token: string,
): StoreRecord {
  const { entity, generation } = node.record;
  return {
    ...node.record,
    store: drawStore(ctx),
    generation: generation + 1,
    chunk: plan.volume.record.entity.parameters.chunk,
    window: image,
    image: image === entity.size ? undefined : image,
    place,
    level: level === undefined ? undefined : { token, index: level },
    pending: token,
    decides: undefined,
    deleted,
  };
}

/** With room for all that the merges will write into it. */
function freshSize(
  ctx: Context,
  report: PoolReport,
  { node, image, feeders }: Kept,
  plan: Rollback,
  data: Data,
): Bytes {
  const { entity } = node.record;
  const { chunk } = plan.volume.record.entity.parameters;
  const most = storeBytesFor(image, chunk);
  const moved = bytes(feeders.reduce((sum, one) => sum + dataOf(data, one), 0n));
  const fed = minBytes(storeBytesFor(worstCase(moved, chunk, plan), chunk), most);
  const first = firstCowSize(ctx, report, entity.size, entity.parameters.snapshotReservePercent, most);
  return roundUp(maxBytes(first, fed), report.extent);
}

/** A moved chunk that is smaller than the chunk it feeds costs a whole one of those. */
function worstCase(moved: Bytes, chunk: Bytes, { path }: Rollback): Bytes {
  const smallest = path.reduce((least, { record }) => minBytes(least, record.chunk ?? least), chunk);
  return bytes((moved / smallest) * chunk);
}

interface Growth {
  readonly present: Bytes;
  readonly size: Bytes;
  readonly copies: bigint;
}

/** As long as the longest of all that is merged: no merge may write beyond the end of what it writes to. */
function mergedSize({ volume, path }: Rollback): Bytes {
  return path.map(({ record }) => imageSize(record)).reduce(maxBytes, imageSize(volume.record));
}

/** A data store must be as long as what is merged into it; a store of exceptions takes all of it. */
function baseGrowth(report: PoolReport, plan: Rollback, data: Data): Growth {
  const { store, chunk, entity, place } = plan.base.record;
  const present = storeReport(report, store).size;
  const copies = copiesOf(entity.parameters.layout);
  if (place.kind === 'root' || chunk === undefined) {
    return { present, size: roundUp(maxBytes(present, mergedSize(plan)), report.extent), copies };
  }
  const most = storeBytesFor(imageSize(plan.base.record), chunk);
  const moved = bytes(plan.path.reduce((sum, one) => sum + dataOf(data, one), 0n));
  const grown = minBytes(bytes(present + storeBytesFor(worstCase(moved, chunk, plan), chunk)), most);
  return { present, size: roundUp(maxBytes(present, grown), report.extent), copies };
}

/** Before anything is decided: a larger store shows nothing, and an origin keeps its size when its image grows. */
async function growBase(ctx: Context, { report, family }: FamilyState, plan: Rollback, growth: Growth): Promise<void> {
  const { base, volume, path } = plan;
  const { store, place } = base.record;
  const wanted = mergedSize(plan);
  if (place.kind !== 'root') {
    if (growth.size > growth.present) await extendStore(ctx, store, growth.size);
    return;
  }
  const present = imageSize(base.record);
  if (base === volume || present >= wanted) return;
  await growStore(ctx, report, store, present, wanted);
  await commitRecord(ctx, base.record, { ...base.record, image: wanted });
  const pinned = path.map(({ id }) => id);
  await convergeFamily(ctx, (await readFamily(ctx, family.id)).family, { pinned });
}

function refuseWithoutRoom(
  ctx: Context,
  report: PoolReport,
  volume: VolumeId,
  fresh: readonly Fresh[],
  base: Growth,
): void {
  const stores = fresh.reduce((sum, { size, record }) => sum + size * copiesOf(record.entity.parameters.layout), 0n);
  const missing = stores + (base.size - base.present) * base.copies - report.free;
  if (missing <= 0n) return;
  fail(
    'exhausted',
    `Cannot restore volume '${volume}': the stores that will grow need ${formatBytes(missing)} more than pool ` +
      `'${ctx.pool}' has free`,
  );
}
