// What every use case of a pool shares: the ports, what is known of the running state, and finding a family, alone.

import type { Family, Forest, Node } from '../../records/family.ts';
import { buildForest, namedAs } from '../../records/build-forest.ts';
import type { Kernel } from '../../dm/kernel.ts';
import { fail } from '../../vocabulary/errors.ts';
import type { Host } from '../../host/host.ts';
import type {
  DeviceKey,
  DrawId,
  EntityId,
  PoolName,
  SnapshotId,
  StoreName,
  VgUuid,
  VolumeId,
} from '../../vocabulary/ids.ts';
import { isVolumeId } from '../../vocabulary/ids.ts';
import type { Layout, Lvm, PoolReport, StoreReport } from '../../lvm/lvm.ts';
import type { Entity, Name } from '../../records/record.ts';
import { lostTag } from '../../records/tags.ts';
import type { Clock, Log } from '../../vocabulary/ports.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { bytes, maxBytes, mib, minBytes } from '../../vocabulary/units.ts';
import type { Locks } from '../../system/locks.ts';

export interface MeasuredStore {
  readonly used: Bytes;
  /** Read from the store when nobody could write it any more; otherwise it may use more. */
  readonly isFinal: boolean;
}

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
  /** Volumes that are being unstaged, or whose staging has failed: only their top devices may be taken away. */
  readonly lettingGo: Set<VolumeId>;
  /** Images shown although no volume in use reads through them: somebody wants to look at them. */
  readonly pinned: Set<EntityId>;
  /** Volumes for which a restore is being set up: they cannot be staged. */
  readonly settingUp: Set<VolumeId>;
  /** Volumes that are being staged: what they hold is looked at, and nobody has them open yet. */
  readonly staging: Set<VolumeId>;
  /** Tokens of operations under way in this process: what they prepare is not rubbish. */
  readonly underWay: Set<string>;
  /** What is being zeroed now, for those who ask again. */
  readonly zeroing: Map<string, { done: Bytes; readonly total: Bytes }>;
  /** What a store used when its device was last taken away. */
  readonly measured: Map<StoreName, MeasuredStore>;
  /** Sizes of stores as the last report gave them. */
  readonly sizes: Map<StoreName, Bytes>;
  /** The pool's extent, from the last report. */
  readonly extent: { size: Bytes };
  /** Stores of exceptions that the kernel holds now, by family: what the monitor watches. */
  readonly watched: Map<VolumeId, readonly WatchedStore[]>;
  /** Says what the monitor is to watch of a family, and has it look at once. */
  readonly watch: (family: VolumeId, stores: readonly WatchedStore[]) => void;
  /** Bytes of extents that calls under way are about to take. */
  readonly promised: { size: Bytes };
  /** Bytes that are kept free in a store that is being filled; a new one begins with twice that. */
  readonly headroom: { size: Bytes };
  /** Stores that the kernel calls invalid: said once in the log, and written into their records. */
  readonly lost: Set<StoreName>;
  /** What the last report came to: most calls read the same one several times on their way. */
  readonly lastRead: { state: PoolState | undefined; lost: number };
  /** Stores that the kernel called invalid when it was looked at, perhaps in the middle of a change. */
  readonly suspects: Set<StoreName>;
  /** Families in which something waits: for room in the pool, or for a volume to be put down. */
  readonly waiting: Set<VolumeId>;
  /** By token: what a restore that has not begun waited for when it was last looked at. */
  readonly whyWaiting: Map<string, string>;
  /** Bytes that each merge moves in a second, from the last looks. */
  readonly mergeRates: Map<DeviceKey, Rate>;
  /** Families with a merge that has failed, and when it may be begun anew. */
  readonly failedMerges: Map<VolumeId, Retry>;
  /** Families in which an operation or the background has failed, and nobody has put everything right since. */
  readonly unsettled: Set<VolumeId>;
  /** Families that would not converge, and why. */
  readonly stuck: Map<VolumeId, string>;
  /** What of a family is left behind, because somebody has it open; also of those that are gone by now. */
  readonly left: Map<VolumeId, ReadonlySet<DeviceKey | StoreName>>;
  /** Families of which a store could not be removed yet. */
  readonly unswept: Set<VolumeId>;
  /** Stores that LVM would not shrink, and when to try again, by the monotonic clock. */
  readonly unshrinkable: Map<StoreName, number>;
  /** Snapshots that are decided and were not frozen then, and when that came about, by the wall clock, if it has. */
  readonly unshown: Map<SnapshotId, { readonly family: VolumeId; readonly shownMs: number | undefined }>;
  /** Extends what of a family would not last long, now. */
  readonly keepAhead: (family: VolumeId) => Promise<void>;
  /** Asks the background to go on with what is left to do in a family. */
  readonly goOn: (family: VolumeId) => void;
  /** How often the tails of a family have been changed beside a converge. */
  readonly tailChanges: Map<VolumeId, number>;
  /** Families with cows that extensions have left nested. */
  readonly nested: Set<VolumeId>;
  /** How often each store's cow has been extended since it was laid flat. */
  readonly reliefs: Map<StoreName, number>;
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
  /** Something is written into it now. Otherwise nobody waits for room there: one that uses more than it has was cut. */
  readonly isFilled: boolean;
  /** A write without room waits, and does not make the store invalid. */
  readonly waits: boolean;
  /** What the store can need at most. */
  readonly most: Bytes;
  /** Takes what its volume overwrites, now or when the volume is staged again. */
  readonly fed: boolean;
  readonly kind: 'snapshot' | 'volume' | 'merge';
  readonly layout: Layout;
}

/** How a merge gets on: what is left at two moments. */
export interface Rate {
  readonly left: Bytes;
  readonly atMs: number;
  readonly bytesPerSecond: number;
}

/** The next attempt, and how long after that one the one behind it, at the earliest. */
export interface Retry {
  readonly atMs: number;
  readonly thenMs: number;
  /** Devices whose stores were found whole: that takes a command for each area of a store, and is done once. */
  readonly whole: ReadonlySet<DeviceKey>;
}

export interface PoolState {
  readonly report: PoolReport;
  readonly forest: Forest;
}

export type FamilyState = PoolState & { readonly family: Family; readonly node: Node };

export async function readPool(ctx: Context): Promise<PoolState> {
  const report = await ctx.recentReport();
  noteSizes(ctx, report);
  const { lastRead, lost } = ctx;
  if (lastRead.state?.report === report && lastRead.lost === lost.size) return lastRead.state;
  const state = { report, forest: buildForest(report.stores.map((store) => withLoss(ctx, store))) };
  lastRead.state = state;
  lastRead.lost = lost.size;
  return state;
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
      // What was prepared, or half shown, is put right in the background, or by whoever comes before that.
      ctx.unsettled.add(family);
      ctx.goOn(family);
      throw error;
    }
  });
}
