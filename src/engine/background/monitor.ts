// Watches all stores of exceptions with one call a round: extends what would fill before the next look, hears of finished
// merges, and looks the more often the sooner something could be full. It takes no family's lock, and stores are dealt with
// side by side, so that an extension never waits for anybody.

import { fittingSize } from '../../dm/cow.ts';
import { relieve } from '../../converge/plan.ts';
import type { SnapshotStatus } from '../../dm/status.ts';
import { mergeFinished } from '../../dm/status.ts';
import { stepText } from '../../dm/step.ts';
import { cowDevices, fitTails } from '../../converge/tails.ts';
import { SnapmergeError, messageOf } from '../../vocabulary/errors.ts';
import type { DeviceKey, StoreName, VolumeId } from '../../vocabulary/ids.ts';
import { largest } from '../../lvm/room.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { bytes, maxBytes, mib, minBytes, roundDown, roundUp, sectors, toBytes } from '../../vocabulary/units.ts';
import type { Context, WatchedStore } from '../state/context.ts';
import { noteFailed } from '../families/failed-merges.ts';
import { aloneOrAnyway } from '../families/tails-lock.ts';
import { copiesOf } from '../families/room.ts';
import { extendStore, mayShrink } from '../families/stores.ts';
import { noteSizes } from '../state/context.ts';

/** Nothing is expected to write faster than this to one volume; a store must last for two looks at this speed. */
const FULL_SPEED_BYTES_PER_SECOND = mib(512);
const SHORTEST_MS = 200;
const LONGEST_MS = 5000;
const MERGING_MS = 1000;
const RATE_MS = 5000;
/** After an extension that was not possible: each try costs LVM's lock and a line in the log. */
const NO_ROOM_MS = 2000;
/** An extension lasts for so many seconds of what was written since the last look. */
const AHEAD_SECONDS = 20n;
/** Nor is it larger than twice this, however fast the last look makes a writer: it lasts for a second of any. */
const MOST_AHEAD = mib(512);
/** Devices that lie on each other below a store, from where on each further one is an extension by a quarter at least. */
const FEW_NESTED = 4;
/** Growth between two looks that lie closer together says little about the next seconds. */
const LEAST_ELAPSED_MS = 50;

export interface Monitor {
  /** One look. Returns how long to wait until the next, in milliseconds. */
  readonly look: () => Promise<number>;
  /** At what may grow in one family, now. */
  readonly lookAt: (family: VolumeId) => Promise<void>;
  /** What the last look saw. */
  readonly last: () => ReadonlyMap<DeviceKey, SnapshotStatus>;
}

/** What a store used, and when that was read. */
interface Seen {
  readonly used: Bytes;
  readonly atMs: number;
}

type OfFamily = WatchedStore & { readonly family: VolumeId };

/** Statuses, and when they were read. */
interface Look {
  readonly statuses: ReadonlyMap<DeviceKey, SnapshotStatus>;
  readonly atMs: number;
}

export function createMonitor(ctx: Context): Monitor {
  const seen = new Map<StoreName, Seen>();
  let last: Look['statuses'] = new Map();
  const underWay = new Map<StoreName, Promise<number>>();

  const lookNow = async (): Promise<Look> => {
    const statuses = await ctx.kernel.statuses();
    return { statuses, atMs: ctx.clock.monotonicMs() };
  };
  /** No store is dealt with twice at once, and what fails with one is no other's failure. */
  const deal = async (one: OfFamily, status: SnapshotStatus, atMs: number): Promise<number> => {
    const dealing = guarded(ctx, one, () => consider(ctx, seen, one, { status, atMs }));
    underWay.set(one.store, dealing);
    return dealing.finally(() => underWay.delete(one.store));
  };

  return {
    last: () => last,
    lookAt: async (family) => {
      // Only what may grow: this may be asked for by what goes on in the family, which must not set itself going again.
      const watched = (ctx.watched.get(family) ?? []).filter(({ kind, fed }) => kind === 'volume' || fed);
      if (watched.length === 0) return;
      // What is under way began with what was so before: who asks wants to know what is so now.
      await Promise.all(watched.map(async ({ store }) => underWay.get(store)));
      const { statuses, atMs } = await lookNow();
      await Promise.all(
        watched.map(async (one) => {
          const status = statuses.get(one.device);
          if (status !== undefined) await deal({ family, ...one }, status, atMs);
        }),
      );
    },
    look: async () => {
      const watched = [...ctx.watched].flatMap(([family, stores]) => stores.map((store) => ({ family, ...store })));
      if (watched.length === 0) {
        last = new Map();
        return LONGEST_MS;
      }
      const { statuses, atMs } = await lookNow();
      last = statuses;
      const merging = familiesMerging(watched, statuses);
      const dealt = watched.map(async (one) => {
        const status = statuses.get(one.device);
        if (status === undefined) return MERGING_MS;
        if (one.kind === 'merge' && mergeFinished(status) && !merging.has(one.family)) ctx.goOn(one.family);
        // One that an earlier look is still at, because a disk hangs, holds up no look at the others.
        return underWay.has(one.store) ? NO_ROOM_MS : deal(one, status, atMs);
      });
      return Math.max(SHORTEST_MS, Math.min(LONGEST_MS, ...(await Promise.all(dealt))));
    },
  };
}

async function guarded(ctx: Context, { store, family }: OfFamily, work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    ctx.log.error({ family, store, error: messageOf(error) }, 'cannot look after a store');
    return NO_ROOM_MS;
  }
}

/** All merges of a family belong to one operation, which ends with the last of them: until then none of them is news. */
function familiesMerging(watched: readonly OfFamily[], statuses: Look['statuses']): ReadonlySet<VolumeId> {
  const unfinished = watched.filter(({ kind, device }) => {
    const status = statuses.get(device);
    return kind === 'merge' && status !== undefined && !mergeFinished(status);
  });
  return new Set(unfinished.map(({ family }) => family));
}

/** Deals with one store; returns when it must be looked at again. */
async function consider(
  ctx: Context,
  seen: Map<StoreName, Seen>,
  watched: OfFamily,
  { status, atMs }: { readonly status: SnapshotStatus; readonly atMs: number },
): Promise<number> {
  const { family, store, kind, fed } = watched;
  if (status.state !== 'counts') {
    ctx.full.delete(store);
    // Whatever kind it is watched as: a merge may fail before the converge that begins it has ended.
    if (status.state === 'merge-failed') noteFailed(ctx, family);
    if (kind === 'merge' || status.state === 'merge-failed') return LONGEST_MS;
    // Its word alone is not enough: a table whose exceptions have just been handed over is called invalid too.
    if (!ctx.lost.has(store)) {
      ctx.suspects.add(store);
      ctx.goOn(family);
    }
    return LONGEST_MS;
  }
  if (kind === 'merge') {
    noteRate(ctx, watched.device, toBytes(sectors(status.used - status.metadata)), atMs);
    return mergeFinished(status) ? SHORTEST_MS : MERGING_MS;
  }
  const used = toBytes(status.used);
  const size = ctx.sizes.get(store) ?? (await sizeNow(ctx, store));
  if (size === undefined) return LONGEST_MS;
  if (kind === 'snapshot' && !fed) {
    if (fittingSize(used, ctx.extent.size) < size && mayShrink(ctx, store)) ctx.goOn(family);
    return LONGEST_MS;
  }
  return keepAhead(ctx, seen, watched, { used, atMs }, size);
}

/** Over some five seconds, so that it does not jump with every look. */
function noteRate(ctx: Context, device: DeviceKey, left: Bytes, atMs: number): void {
  const before = ctx.mergeRates.get(device);
  const elapsedMs = atMs - (before?.atMs ?? atMs);
  if (before === undefined || before.left < left) {
    ctx.mergeRates.set(device, { left, atMs, bytesPerSecond: 0 });
    return;
  }
  if (elapsedMs < MERGING_MS / 2) return;
  const now = (Number(before.left - left) * 1000) / elapsedMs;
  const share = before.bytesPerSecond === 0 ? 1 : Math.min(1, elapsedMs / RATE_MS);
  const bytesPerSecond = Math.round(before.bytesPerSecond * (1 - share) + now * share);
  ctx.mergeRates.set(device, { left, atMs, bytesPerSecond });
}

/** Of a store that was made since the last report. */
async function sizeNow(ctx: Context, store: StoreName): Promise<Bytes | undefined> {
  noteSizes(ctx, await ctx.lvm.report());
  return ctx.sizes.get(store);
}

async function keepAhead(
  ctx: Context,
  seen: Map<StoreName, Seen>,
  watched: OfFamily,
  now: Seen,
  size: Bytes,
): Promise<number> {
  const { store, most, isFilled } = watched;
  const { used } = now;
  // What is added would be shown in the place of what was cut off.
  if (!isFilled && used > size) return LONGEST_MS;
  const before = seen.get(store);
  seen.set(store, now);
  if (ctx.unrelieved.has(store)) await relieveStore(ctx, watched, size);
  if (size >= most) {
    noteRoom(ctx, watched);
    return LONGEST_MS;
  }
  const soon = maxBytes(ctx.headroom.size, minBytes(MOST_AHEAD, writtenSoon(before, now)));
  const ahead = maxBytes(soon, atOnce(ctx, watched, size));
  const left = size > used ? size - used : 0n;
  if (left >= ahead) {
    noteRoom(ctx, watched);
    return timeToFill(left);
  }
  const wanted = minBytes(most, bytes(used + 2n * ahead));
  const needed = minBytes(most, bytes(used + 2n * soon));
  const reached = await extend(ctx, watched, { wanted, needed }, size);
  noteFull(ctx, watched, used, reached, wanted);
  if (reached <= size) return NO_ROOM_MS;
  return timeToFill(reached > used ? reached - used : 0n);
}

/**
 * While something merges a store's cow is not laid flat, and each extension is one device more on the way to the disk, of which
 * a kernel bears only so many.
 */
function atOnce(ctx: Context, { family, store }: OfFamily, size: Bytes): Bytes {
  if (!ctx.nested.has(family)) ctx.reliefs.delete(store);
  return bytes((ctx.reliefs.get(store) ?? 0) < FEW_NESTED ? 0n : size / 8n);
}

/** What comes in the next seconds if it goes on as between two looks. */
function writtenSoon(before: Seen | undefined, now: Seen): Bytes {
  if (before === undefined || now.used < before.used) return bytes(0);
  const elapsedMs = BigInt(Math.ceil(Math.max(LEAST_ELAPSED_MS, now.atMs - before.atMs)));
  return bytes(((now.used - before.used) * 1000n * AHEAD_SECONDS) / elapsedMs);
}

/** Writers wait: said once when it begins and when it ends. */
function noteFull(ctx: Context, watched: OfFamily, used: Bytes, size: Bytes, wanted: Bytes): void {
  const { family, store, writer, waits, layout } = watched;
  // The kernel counts what was asked for, so exactly then something may have reached the tail.
  if (!waits || used <= size) return noteRoom(ctx, watched);
  // Nobody would take it back of a store that is not looked at any more, because a converge ended meanwhile.
  if (ctx.watched.get(family)?.some((one) => one.store === store) !== true) return;
  const before = ctx.full.get(store);
  const missing = bytes(wanted > size ? (wanted - size) * copiesOf(layout) : 0n);
  if (before === undefined) {
    ctx.log.error({ family, store, volume: writer, missing: missing.toString() }, 'writers wait for room in the pool');
  }
  ctx.full.set(store, { family, volume: writer, missing, sinceMs: before?.sinceMs ?? ctx.clock.nowMs() });
}

function noteRoom(ctx: Context, { family, store, writer }: OfFamily): void {
  if (!ctx.full.delete(store)) return;
  ctx.log.info({ family, store, volume: writer }, 'there is room again');
  ctx.goOn(family);
}

/** What waits at the end of a store's cow goes on, in the part that has been added. */
async function relieveStore(ctx: Context, { family, store, most, waits }: OfFamily, size: Bytes): Promise<void> {
  if (!waits) return;
  ctx.unrelieved.add(store);
  await aloneOrAnyway(ctx, family, async () => {
    const observed = await ctx.kernel.observe('without-statuses');
    const wanted = { devices: cowDevices(store, size, most), stores: new Set([store]), givenUp: new Set<StoreName>() };
    const steps = relieve(observed, fitTails(wanted, observed, new Set()));
    // Laid flat when nobody is in a hurry.
    if (steps.length > 0) {
      ctx.nested.add(family);
      ctx.goOn(family);
    }
    for (const step of steps) {
      await ctx.kernel.apply([step]);
      ctx.tailChanges.set(family, (ctx.tailChanges.get(family) ?? 0) + 1);
      ctx.log.info({ step: stepText(step) }, 'step');
    }
    if (steps.length > 0) ctx.reliefs.set(store, (ctx.reliefs.get(store) ?? 0) + 1);
  });
  ctx.unrelieved.delete(store);
}

function timeToFill(left: bigint): number {
  return Number((left * 1000n) / (2n * FULL_SPEED_BYTES_PER_SECOND));
}

/** `needed`: what is enough where there is no room for all that is wanted. */
interface Target {
  readonly wanted: Bytes;
  readonly needed: Bytes;
}

/** As far as there is room; returns the size reached. */
async function extend(ctx: Context, watched: OfFamily, target: Target, size: Bytes): Promise<Bytes> {
  const { store } = watched;
  try {
    const reached = await extendTo(ctx, watched, target, size);
    if (reached > size) await relieveStore(ctx, watched, reached);
    if (reached > size) ctx.log.info({ store, from: size.toString(), to: reached.toString() }, 'extended a store');
    else ctx.log.error({ store, size: size.toString() }, 'no room to extend a store');
    return reached;
  } catch (error) {
    ctx.log.error({ store, error: messageOf(error) }, 'cannot extend a store');
    // It may have happened all the same: the next look asks how large the store is, and lets go on what waits at its old end.
    ctx.sizes.delete(store);
    if (watched.waits) ctx.unrelieved.add(store);
    return size;
  }
}

/** The command first, because a report takes as long as the extension, and only where that finds no room what there is. */
async function extendTo(
  ctx: Context,
  { store, layout }: WatchedStore,
  { wanted, needed }: Target,
  size: Bytes,
): Promise<Bytes> {
  const whole = roundUp(wanted, ctx.extent.size);
  try {
    await extendStore(ctx, store, whole);
    return whole;
  } catch (error) {
    if (!(error instanceof SnapmergeError && error.kind === 'exhausted')) throw error;
  }
  const report = await ctx.lvm.report();
  noteSizes(ctx, report);
  // Room may have come since the command, and is not ours to take.
  const upTo = (free: bigint): Bytes =>
    minBytes(maxBytes(size, roundUp(needed, report.extent)), roundDown(bytes(size + free), report.extent));
  // How LVM lays a store out it alone knows: what is free is tried, and then what one on all open disks could have.
  const most = upTo(report.free / copiesOf(layout));
  try {
    if (most > size) await extendStore(ctx, store, most);
    return most;
  } catch (error) {
    const less = upTo(largest(report, report.stores.find((one) => one.store === store)?.layout ?? layout));
    if (!(error instanceof SnapmergeError && error.kind === 'exhausted') || less >= most) throw error;
    if (less > size) await extendStore(ctx, store, less);
    return less;
  }
}
