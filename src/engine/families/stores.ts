// The moves that operations are made of: room, preparing a store, and committing to it, durably.

import { STORE_HEAD_BYTES } from '../../dm/cow.ts';
import { SnapmergeError, messageOf } from '../../vocabulary/errors.ts';
import type { StoreName } from '../../vocabulary/ids.ts';
import { STORE_PREFIX, storeName } from '../../vocabulary/ids.ts';
import type { PoolReport, StoreReport } from '../../lvm/lvm.ts';
import type { StoreRecord } from '../../records/record.ts';
import { writeTags } from '../../records/tags.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { bytes, minBytes } from '../../vocabulary/units.ts';
import type { Context } from '../state/context.ts';
import { copiesOf, withRoomFor } from './room.ts';

export function drawStore(ctx: Context): StoreName {
  return storeName(`${STORE_PREFIX}${ctx.drawId()}`);
}

const SHRINK_AGAIN_MS = 30_000;

export interface Preparing {
  /** What the store is for, where it must leave the reserve: `a volume of 1 GiB`. */
  readonly what?: string;
  /** Hears of the bytes of extents that it has when it is there. */
  readonly taken?: (size: bigint) => void;
  /** Under what name it is told how much has been zeroed. */
  readonly progressKey?: string;
}

/**
 * Makes a store for `record` that does not count yet (its `pending` tag), and zeroes it as far as it must be: wholly for
 * data, its head for exceptions. When anything fails, what was made is taken away again.
 */
export async function prepareStore(
  ctx: Context,
  record: StoreRecord,
  size: Bytes,
  { what, taken, progressKey }: Preparing = {},
): Promise<void> {
  const isData = record.place.kind === 'root';
  const total = isData ? size : minBytes(STORE_HEAD_BYTES, size);
  const { layout } = record.entity.parameters;
  const create = (): Promise<void> => ctx.lvm.create(record.store, size, layout, writeTags(record));
  await (what === undefined ? create() : withRoomFor(ctx, size * copiesOf(layout), what, create));
  taken?.(size * copiesOf(layout));
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

/** Larger, durably, before anything relies on it: a power cut must not take back what exceptions were written into. */
export async function extendStore(ctx: Context, store: StoreName, size: Bytes): Promise<void> {
  await ctx.lvm.extend(store, size);
  await ctx.lvm.flush();
  ctx.sizes.set(store, size);
}

/**
 * Smaller, durably, before its extents are given to another: no cut may bring back a store that they belonged to. Where LVM
 * refuses it is nobody's failure: false, and not again before some time has passed.
 */
export async function shrinkStore(ctx: Context, store: StoreName, size: Bytes): Promise<boolean> {
  if (!mayShrink(ctx, store)) return false;
  try {
    await ctx.lvm.shrink(store, size);
  } catch (error) {
    ctx.unshrinkable.set(store, ctx.clock.monotonicMs() + SHRINK_AGAIN_MS);
    ctx.log.warn({ store, error: messageOf(error) }, 'cannot shrink a store yet');
    return false;
  }
  ctx.unshrinkable.delete(store);
  ctx.sizes.set(store, size);
  await ctx.lvm.flush();
  ctx.log.info({ store, to: size.toString() }, 'shrank a store');
  return true;
}

/** Not so where LVM has just refused it: each look at the store would ask for it again. */
export function mayShrink(ctx: Context, store: StoreName): boolean {
  return ctx.clock.monotonicMs() >= (ctx.unshrinkable.get(store) ?? 0);
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

/** See Host.exceptionsEnd; undefined also where its disk does not answer. */
export async function readEnd(ctx: Context, store: StoreName, chunk: Bytes, area: bigint): Promise<Bytes | undefined> {
  try {
    return await ctx.host.exceptionsEnd(store, chunk, area);
  } catch (error) {
    ctx.log.warn({ store, error: messageOf(error) }, 'cannot read what a store uses');
    return undefined;
  }
}

export function storeReport(report: PoolReport, store: StoreName): StoreReport {
  const found = report.stores.find((one) => one.store === store);
  if (found === undefined)
    throw new SnapmergeError('internal', `Cannot find store '${store}' in the report of its pool`);
  return found;
}
