// What every use case of a pool shares: the ports, what is known of the running state, and the few moves that all of
// them are made of: read, prepare a store, commit, converge.

import { converge } from '../dm/converge.ts';
import type { Measured, Neighbours } from '../dm/converge.ts';
import { STORE_HEAD_BYTES, storeBytesFor } from '../dm/cow.ts';
import type { Desired, InUse } from '../dm/desired.ts';
import { absorbing, desired, isFed } from '../dm/desired.ts';
import type { Family, Forest, Node } from '../dm/family.ts';
import { buildForest, namedAs } from '../dm/family.ts';
import type { Kernel, Observed } from '../dm/kernel.ts';
import { heldStores, lengthOf } from '../dm/table.ts';
import { reach } from '../dm/tails.ts';
import { SnapmergeError, fail, messageOf } from '../errors.ts';
import type { Host } from '../host.ts';
import type { DeviceKey, DrawId, EntityId, PoolName, StoreName, VgUuid, VolumeId } from '../ids.ts';
import { entityOf, isVolumeId, storeName } from '../ids.ts';
import type { Lvm, PoolReport, StoreReport } from '../lvm/lvm.ts';
import type { Entity, Name, StoreRecord } from '../lvm/record.ts';
import { imageSize } from '../lvm/record.ts';
import { lostTag, pendingTag, writeTags } from '../lvm/tags.ts';
import type { Layout } from '../parameters.ts';
import type { Clock, Log } from '../ports.ts';
import type { Bytes } from '../units.ts';
import { MAX_CHUNK_BYTES, bytes, formatBytes, kib, maxBytes, mib, minBytes, roundUp, toBytes } from '../units.ts';
import type { Locks } from './locks.ts';

export interface Context {
  readonly pool: PoolName;
  readonly vg: VgUuid;
  readonly lvm: Lvm;
  /** Of half a second ago at most, with every change of ours in it. */
  readonly recentReport: () => Promise<PoolReport>;
  readonly kernel: Kernel;
  readonly host: Host;
  readonly clock: Clock;
  readonly drawId: DrawId;
  readonly log: Log;
  /** Share of the pool, in percent, that new volumes may not take: room for snapshots to grow into. */
  readonly reservePercent: number;
  /** In place of a headroom that follows from the pool's size. */
  readonly leastHeadroom?: Bytes | undefined;
  readonly locks: Locks;
  /** Volumes that have a top device. */
  readonly active: Set<VolumeId>;
  /** Images shown although no volume in use reads through them: somebody wants to look at them. */
  readonly pinned: Set<EntityId>;
  /** Volumes for which a restore is being set up: they cannot be staged. */
  readonly settingUp: Set<VolumeId>;
  /** Tokens of operations under way in this process: what they prepare is not rubbish. */
  readonly underWay: Set<string>;
  /** What is being zeroed now, for those who ask again. */
  readonly zeroing: Map<string, { done: Bytes; readonly total: Bytes }>;
  /** Bytes that a store used when its device was last taken away. */
  readonly measured: Map<StoreName, Bytes>;
  /** Sizes of stores as the last report gave them. */
  readonly sizes: Map<StoreName, Bytes>;
  /** The pool's extent, from the last report. */
  readonly extent: { size: Bytes };
  /** Stores of exceptions that the kernel holds now, by family: what the monitor watches. */
  readonly watched: Map<VolumeId, readonly WatchedStore[]>;
  /** Says what the monitor is to watch of a family, and has it look at once. */
  readonly watch: (family: VolumeId, stores: readonly WatchedStore[]) => void;
  /** Bytes that are kept free in a store that is being filled; a new one begins with twice that. */
  readonly headroom: { size: Bytes };
  /** Stores that the kernel calls invalid: said once in the log, and written into their records. */
  readonly lost: Set<StoreName>;
  /** Stores that the kernel called invalid when it was looked at, perhaps in the middle of a change. */
  readonly suspects: Set<StoreName>;
  /** Families in which something waits: for room in the pool, or for a volume to be put down. */
  readonly waiting: Set<VolumeId>;
  /** By token: what a restore that has not begun waited for when it was last looked at. */
  readonly whyWaiting: Map<string, string>;
  /** Bytes that each merge moves in a second, from the last looks. */
  readonly mergeRates: Map<DeviceKey, Rate>;
  /** Families that would not converge, and why. */
  readonly stuck: Map<VolumeId, string>;
  /** Extends what of a family would not last long, now. */
  readonly keepAhead: (family: VolumeId) => Promise<void>;
  /** Asks the background to go on with what is left to do in a family. */
  readonly goOn: (family: VolumeId) => void;
  /** How often the tails of a family have been changed beside a converge. */
  readonly tailChanges: Map<VolumeId, number>;
  /** Families with cows that extensions have left nested. */
  readonly nested: Set<VolumeId>;
  /** Stores that are larger than their cows reach, because the extension ended half-way. */
  readonly unrelieved: Set<StoreName>;
  /** Stores that a writer has filled, or nearly so, and that cannot be extended. */
  readonly full: Map<StoreName, FullStore>;
}

/** A store for which writers wait, or will in a moment. */
export interface FullStore {
  readonly family: VolumeId;
  /** Whose writes it takes. */
  readonly volume: EntityId;
  /** Bytes of extents that the pool would need free for it to go on as before. */
  readonly missing: Bytes;
  readonly sinceMs: number;
}

export interface WatchedStore {
  readonly device: DeviceKey;
  readonly store: StoreName;
  /** Whose writes come here. */
  readonly writer: EntityId;
  /** A write without room waits, and does not make the store invalid. */
  readonly waits: boolean;
  /** What the store can need at most. */
  readonly most: Bytes;
  /** Takes what its volume overwrites, now or when the volume is staged again. */
  readonly fed: boolean;
  readonly kind: 'snapshot' | 'volume' | 'merge';
  readonly copies: bigint;
}

/** How a merge gets on: what is left at two moments. */
export interface Rate {
  readonly left: Bytes;
  readonly atMs: number;
  readonly bytesPerSecond: number;
}

export interface PoolState {
  readonly report: PoolReport;
  readonly forest: Forest;
}

export type FamilyState = PoolState & { readonly family: Family; readonly node: Node };

export async function readPool(ctx: Context): Promise<PoolState> {
  const report = await ctx.recentReport();
  noteSizes(ctx, report);
  return { report, forest: buildForest(report.stores.map((store) => withLoss(ctx, store))) };
}

/** What is known to be lost is so at once, not only when the record says it. */
function withLoss(ctx: Context, store: StoreReport): StoreReport {
  const isKnown = !ctx.lost.has(store.store) || store.tags.includes(lostTag);
  return isKnown ? store : { ...store, tags: [...store.tags, lostTag] };
}

export function noteSizes(ctx: Context, report: PoolReport): void {
  ctx.sizes.clear();
  for (const { store, size } of report.stores) ctx.sizes.set(store, size);
  ctx.extent.size = report.extent;
  ctx.headroom.size = ctx.leastHeadroom ?? headroomFor(report.size);
}

/**
 * A store must not fill between two looks of the monitor and while LVM extends it. What a writer makes the kernel copy
 * rarely exceeds 500 MiB/s, and both together take some 300 ms; where the pool is small, one store must not take it all.
 */
function headroomFor(pool: Bytes): Bytes {
  return maxBytes(mib(32), minBytes(bytes(pool / 64n), mib(256)));
}

/** The family of an entity, read anew. Throws `not-found`, and `contradiction` for one whose records cannot be trusted. */
export async function readFamily(ctx: Context, id: VolumeId): Promise<PoolState & { readonly family: Family }> {
  const state = await readPool(ctx);
  const trouble = state.forest.troubles.find((one) => one.family === id);
  if (trouble !== undefined) fail('contradiction', `${trouble.reason}; nothing of it is touched`);
  const family = state.forest.families.get(id);
  if (family === undefined) fail('not-found', `Cannot find family '${id}' in pool '${ctx.pool}'`);
  return { ...state, family };
}

/** The node of a volume or snapshot whose user has not deleted it. */
export function livingNode(forest: Forest, id: EntityId): { readonly family: Family; readonly node: Node } | undefined {
  for (const family of forest.families.values()) {
    const node = family.nodes.get(id);
    if (node !== undefined && !node.record.deleted) return { family, node };
  }
  return undefined;
}

/** All volumes and snapshots, ghosts left out. */
export function livingNodes(forest: Forest): readonly Node[] {
  return [...forest.families.values()].flatMap((family) =>
    [...family.nodes.values()].filter(({ record }) => !record.deleted),
  );
}

/**
 * Runs `work` with the family of `id` to itself. The family is found first and read again under its lock, because it may
 * have changed while we waited.
 */
export async function withFamilyOf<T>(
  ctx: Context,
  id: EntityId,
  work: (state: FamilyState) => Promise<T>,
  missing: () => T | Promise<T> = () => notFound(ctx, id),
): Promise<T> {
  const before = await readPool(ctx);
  const found = livingNode(before.forest, id);
  if (found === undefined) {
    refuseTroubled(before.forest, id);
    return missing();
  }
  return withFamily(ctx, found.family.id, async () => {
    const state = await readFamily(ctx, found.family.id);
    const node = state.family.nodes.get(id);
    if (node === undefined || node.record.deleted) return missing();
    return work({ ...state, node });
  });
}

/** An entity of a family that cannot be trusted is not "not found": it is there, and nothing of it is touched. */
export function refuseTroubled(forest: Forest, id: EntityId): void {
  const trouble = forest.troubles.find(({ entities }) => entities.has(id));
  if (trouble !== undefined) fail('contradiction', `${trouble.reason}; nothing of it is touched`);
}

/** Nor is the name of one free: whoever took it would have a twin as soon as the family can be trusted again. */
export function refuseTroubledName(forest: Forest, kind: Entity['kind'], name: Name): void {
  const trouble = forest.troubles.find(({ names }) => names.has(namedAs(kind, name)));
  if (trouble !== undefined) fail('contradiction', `${trouble.reason}; nothing of it is touched`);
}

export function notFound(ctx: Context, id: EntityId): never {
  const what = isVolumeId(id) ? 'volume' : 'snapshot';
  return fail('not-found', `Cannot find ${what} '${id}' in pool '${ctx.pool}'`);
}

export async function withFamily<T>(ctx: Context, family: VolumeId, work: () => Promise<T>): Promise<T> {
  return ctx.locks.run(`family:${family}`, async () => {
    try {
      return await work();
    } catch (error) {
      // What was prepared, or half shown, is put right in the background.
      ctx.goOn(family);
      throw error;
    }
  });
}

export function drawStore(ctx: Context): StoreName {
  return storeName(`sm_${ctx.drawId()}`);
}

/** Volume sizes are multiples of this, so that no chunk ever reaches over an end. */
export function sizeUnit(report: PoolReport): Bytes {
  return maxBytes(report.extent, MAX_CHUNK_BYTES);
}

export function reserved(ctx: Context, report: PoolReport): Bytes {
  return bytes((report.size * BigInt(ctx.reservePercent)) / 100n);
}

/** Bytes of free extents that a new volume may take. */
export function freeForNew(ctx: Context, report: PoolReport): Bytes {
  const kept = reserved(ctx, report);
  return report.free > kept ? bytes(report.free - kept) : bytes(0);
}

export function copiesOf(layout: Layout): bigint {
  return layout === 'raid1' ? 2n : 1n;
}

/** LVM keeps the text of the metadata before and after a commit in its area: a commit needs room for a whole one. */
const LEAST_METADATA_FREE = kib(32);

/** Throws `exhausted` with the missing bytes when `size` more would not leave the reserve. */
export function needRoom(ctx: Context, report: PoolReport, size: bigint, what: string): void {
  if (report.metadataFree < LEAST_METADATA_FREE) {
    fail(
      'exhausted',
      `Cannot make ${what}: the metadata area of pool '${ctx.pool}' has only ${formatBytes(report.metadataFree)} free`,
    );
  }
  const free = freeForNew(ctx, report);
  if (size <= free) return;
  fail(
    'exhausted',
    `Cannot make ${what}: pool '${ctx.pool}' has ${formatBytes(free)} free beside its reserve of ` +
      `${ctx.reservePercent} %, ${formatBytes(size - free)} are missing`,
  );
}

/** First size of a cow store: the reserve of its class, at least twice the headroom, never more than it can ever need. */
export function firstCowSize(ctx: Context, report: PoolReport, size: Bytes, percent: number, most: Bytes): Bytes {
  const share = bytes((size * BigInt(percent)) / 100n);
  return roundUp(minBytes(maxBytes(share, bytes(2n * ctx.headroom.size)), most), report.extent);
}

/**
 * Makes a store for `record` that does not count yet (its `pending` tag), and zeroes it as far as it must be: wholly for
 * data, its head for exceptions. When anything fails, what was made is taken away again.
 */
export async function prepareStore(
  ctx: Context,
  record: StoreRecord,
  size: Bytes,
  progressKey?: string,
): Promise<void> {
  const isData = record.place.kind === 'root';
  const total = isData ? size : minBytes(STORE_HEAD_BYTES, size);
  const { layout } = record.entity.parameters;
  await ctx.lvm.create(record.store, size, layout, writeTags(record));
  ctx.sizes.set(record.store, size);
  try {
    const progress = { done: bytes(0), total };
    if (progressKey !== undefined) ctx.zeroing.set(progressKey, progress);
    await ctx.host.zero(record.store, bytes(0), total, (done) => {
      progress.done = done;
      ctx.log.info({ store: record.store, done: done.toString(), total: total.toString() }, 'zeroing');
    });
  } catch (error) {
    await discardStore(ctx, record.store);
    throw error;
  } finally {
    if (progressKey !== undefined) ctx.zeroing.delete(progressKey);
  }
}

export async function discardStore(ctx: Context, store: StoreName): Promise<void> {
  try {
    await ctx.lvm.remove(store);
  } catch (error) {
    ctx.log.warn({ store, error: messageOf(error) }, 'cannot remove a store now; it will be swept later');
  }
}

/** The commit point of an operation that prepared one store: its `pending` tag goes, durably. */
export async function decide(ctx: Context, store: StoreName, token: string): Promise<void> {
  await commit(ctx, store, [], [pendingTag(token)]);
}

/** One metadata commit on one store, then a flush of every disk that holds the metadata. */
export async function commit(
  ctx: Context,
  store: StoreName,
  add: readonly string[],
  remove: readonly string[],
): Promise<void> {
  await ctx.lvm.retag(store, add, remove);
  await ctx.lvm.flush();
  ctx.log.info({ store, add, remove }, 'commit');
}

/** Turns the tags of a store from those of one record into those of another, in one commit. */
export async function commitRecord(ctx: Context, before: StoreRecord, after: StoreRecord): Promise<void> {
  const old = writeTags(before);
  const now = writeTags(after);
  await commit(
    ctx,
    after.store,
    now.filter((tag) => !old.includes(tag)),
    old.filter((tag) => !now.includes(tag)),
  );
}

/** Stores that count because another store decided them are made to count by themselves. */
export async function settle(ctx: Context, family: Family): Promise<void> {
  for (const { store, pending } of family.settled) {
    if (pending !== undefined) await ctx.lvm.retag(store, [], [pendingTag(pending)]);
  }
  if (family.settled.length > 0) await ctx.lvm.flush();
}

/** Larger, durably, before anything relies on it: a power cut must not take back what exceptions were written into. */
export async function extendStore(ctx: Context, store: StoreName, size: Bytes): Promise<void> {
  await ctx.lvm.extend(store, size);
  await ctx.lvm.flush();
  ctx.sizes.set(store, size);
}

/** Runs `work` with a fresh token whose stores no sweep takes for rubbish. */
export async function withToken<T>(ctx: Context, token: string, work: () => Promise<T>): Promise<T> {
  ctx.underWay.add(token);
  try {
    return await work();
  } finally {
    ctx.underWay.delete(token);
  }
}

export function inUseOf(ctx: Context, family: Family, pinned: readonly EntityId[] = []): InUse {
  const volumes = [...ctx.active].filter((id) => {
    const node = family.nodes.get(id);
    return node !== undefined && !node.record.deleted;
  });
  return { volumes: new Set(volumes), pinned: new Set([...ctx.pinned, ...pinned]) };
}

/**
 * Under the family's lock, when nothing is being handed over: what is in use and invalid now is lost. True when something
 * is that was not known to be.
 */
export async function confirmLosses(ctx: Context, { id, records }: Family): Promise<boolean> {
  const suspects = [...ctx.suspects].filter((store) => records.has(store));
  if (suspects.length === 0) return false;
  const { devices } = await ctx.kernel.observe();
  const before = ctx.lost.size;
  for (const store of suspects) {
    ctx.suspects.delete(store);
    const invalid = [...devices.values()].find(
      ({ live, suspended, status }) =>
        !suspended && status !== undefined && status.state !== 'counts' && heldStores(live).includes(store),
    );
    if (invalid === undefined) continue;
    ctx.lost.add(store);
    ctx.log.error({ family: id, store, state: invalid.status?.state }, 'store has lost its contents');
  }
  return ctx.lost.size > before;
}

/** Brings the family's devices to what its records say, and remembers what the devices that went away had used. */
export async function convergeFamily(
  ctx: Context,
  family: Family,
  pinned: readonly EntityId[] = [],
  flatten: ReadonlySet<StoreName> = new Set(),
): Promise<Measured> {
  // With its device goes what the kernel knows of a store.
  await confirmLosses(ctx, family);
  const wanted = desired(family, inUseOf(ctx, family, pinned));
  const watched = watchedStores(family, wanted);
  // Until it is done, what was fed is fed.
  const before = ctx.watched.get(family.id) ?? [];
  const known = new Set(before.map(({ store }) => store));
  ctx.watch(family.id, [...before, ...watched.filter(({ store }) => !known.has(store))]);
  try {
    const neighbours = neighboursOf(ctx, family, wanted);
    const measured = await converge(ctx.kernel, family, wanted, ctx.log, { neighbours, flatten });
    // Only now is there a status of what was made: from here on it may fill.
    ctx.watch(family.id, watched);
    // What is shown again may grow again: a figure from before is worth nothing.
    for (const store of wanted.stores) ctx.measured.delete(store);
    for (const [store, used] of measured) ctx.measured.set(store, toBytes(used));
    ctx.stuck.delete(family.id);
    return measured;
  } catch (error) {
    ctx.stuck.set(family.id, messageOf(error));
    throw error;
  }
}

function watchedStores(family: Family, wanted: Desired): readonly WatchedStore[] {
  return wanted.devices.flatMap(({ key, table }): readonly WatchedStore[] => {
    const [target] = table;
    const [store] = heldStores(table);
    const id = entityOf(key);
    const node = id === undefined ? undefined : family.nodes.get(id);
    if (node === undefined || store === undefined || target === undefined || !('cow' in target)) return [];
    const { entity } = node.record;
    return [
      {
        device: key,
        store,
        writer: writerOf(family, node),
        waits: target.cow.on === 'device',
        most: storeBytesFor(imageSize(node.record), toBytes(target.chunk)),
        fed: isFed(family, node),
        kind:
          target.type === 'snapshot-merge' ? 'merge' : absorbing(family, node) === undefined ? entity.kind : 'volume',
        copies: copiesOf(entity.parameters.layout),
      },
    ];
  });
}

/** The volume whose writes a store takes: its own, or that of what it hangs on. */
function writerOf(family: Family, node: Node): EntityId {
  let at = node;
  while (at.record.entity.kind === 'snapshot') {
    const parent = at.parent === undefined ? undefined : family.nodes.get(at.parent);
    if (parent === undefined) break;
    at = parent;
  }
  return at.id;
}

function neighboursOf(ctx: Context, family: Family, wanted: Desired): Neighbours {
  const { id } = family;
  return {
    alone: (work) => aloneWithTails(ctx, id, work),
    changes: () => ctx.tailChanges.get(id) ?? 0,
    beforeFreeze: async (observed) => {
      const growing = growingNow(family, observed);
      for (const { store } of growing) {
        const reached = reach(store, observed);
        if (reached !== undefined && toBytes(reached) < (ctx.sizes.get(store) ?? 0n)) ctx.unrelieved.add(store);
      }
      // Watched until the freeze is over, also where it has to be put off.
      const given = new Set(growing.map(({ store }) => store));
      const others = (ctx.watched.get(id) ?? []).filter(({ store }) => !given.has(store));
      ctx.watch(id, [...growing, ...others]);
      await ctx.keepAhead(id);
      refuseFull(ctx, id, wanted.givenUp);
    },
  };
}

/** A freeze would wait for what the writers wait for, and nobody could stop it. */
export function refuseFull(ctx: Context, family: VolumeId, givenUp: ReadonlySet<StoreName> = new Set()): void {
  const stuck = [...ctx.full].find(([store, { family: of }]) => of === family && !givenUp.has(store));
  if (stuck === undefined) return;
  const [store, { volume, missing }] = stuck;
  fail(
    'precondition',
    `Cannot freeze volume '${volume}' now: its writers wait for room in store '${store}'; pool '${ctx.pool}' needs ` +
      `${formatBytes(missing)} more free space (delete snapshots, or extend the volume group)`,
  );
}

/** What the kernel writes into now, whatever is wanted: a driver that has just started has watched nothing yet. */
function growingNow(family: Family, { devices }: Observed): readonly WatchedStore[] {
  return [...devices.values()].flatMap(({ key, live }): readonly WatchedStore[] => {
    const [target] = live ?? [];
    const [store] = heldStores(live);
    const record = store === undefined ? undefined : family.records.get(store);
    if (target?.type !== 'snapshot' || target.cow.on !== 'device' || store === undefined || record === undefined) {
      return [];
    }
    const node = family.nodes.get(record.entity.id);
    const most = toBytes(lengthOf(devices.get(target.cow.device)?.live ?? []));
    return [
      {
        device: key,
        store,
        most,
        fed: true,
        waits: true,
        kind: 'volume',
        writer: node === undefined ? record.entity.id : writerOf(family, node),
        copies: copiesOf(record.entity.parameters.layout),
      },
    ];
  });
}

/** Tails are changed by one at a time: a converge, or an extension. */
async function aloneWithTails<T>(ctx: Context, family: VolumeId, work: () => Promise<T>): Promise<T> {
  return ctx.locks.run(`tails:${family}`, work);
}

/** A converge holds the tails for a moment only, unless it hangs in the kernel for want of what the extension brings. */
const PATIENCE_MS = 5000;

/** Like the others, but not for ever. */
export async function aloneOrAnyway(ctx: Context, family: VolumeId, work: () => Promise<void>): Promise<void> {
  const ending = new AbortController();
  let begun: Promise<void> | undefined;
  const once = (): Promise<void> => {
    ending.abort();
    begun ??= work();
    return begun;
  };
  await Promise.race([aloneWithTails(ctx, family, once), ctx.clock.sleep(PATIENCE_MS, ending.signal)]);
  await once();
}

export function storeReport(report: PoolReport, store: StoreName): StoreReport {
  const found = report.stores.find((one) => one.store === store);
  if (found === undefined)
    throw new SnapmergeError('internal', `Cannot find store '${store}' in the report of its pool`);
  return found;
}
