// Watches all stores of exceptions with one call a round: extends what would fill before the next look, hears of finished
// merges, and looks the more often the sooner something could be full. It takes no family's lock, and stores are dealt with
// side by side, so that an extension never waits for anybody.

import { fittingSize } from '../../dm/cow.ts';
import type { SnapshotStatus } from '../../dm/status.ts';
import { mergeFinished } from '../../dm/status.ts';
import { messageOf } from '../../vocabulary/errors.ts';
import type { DeviceKey, StoreName, VolumeId } from '../../vocabulary/ids.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { sectors, toBytes } from '../../vocabulary/units.ts';
import type { Context } from '../state/context.ts';
import { noteFailed } from '../families/failed-merges.ts';
import { mayShrink } from '../families/stores.ts';
import { noteSizes } from '../state/context.ts';
import { LONGEST_MS, NO_ROOM_MS, keepAhead } from './grow-store.ts';
import type { OfFamily, Seen } from './grow-store.ts';

const SHORTEST_MS = 200;

const MERGING_MS = 1000;

const RATE_MS = 5000;

export interface Monitor {
  /** One look. Returns how long to wait until the next, in milliseconds. */
  readonly look: () => Promise<number>;
  /** At what may grow in one family, now. */
  readonly lookAt: (family: VolumeId) => Promise<void>;
  /** What the last look saw. */
  readonly last: () => ReadonlyMap<DeviceKey, SnapshotStatus>;
}

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
