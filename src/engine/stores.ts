// The moves that operations are made of: room, preparing a store, and committing to it, durably.

import { STORE_HEAD_BYTES } from '../dm/cow.ts';
import { waitsWhenFull } from '../records/family.ts';
import type { Family, Node } from '../records/family.ts';
import type { SnapshotStatus } from '../dm/status.ts';
import { SnapmergeError, fail, messageOf } from '../vocabulary/errors.ts';
import type { StoreName } from '../vocabulary/ids.ts';
import { STORE_PREFIX, storeName } from '../vocabulary/ids.ts';
import type { PoolReport, StoreReport } from '../lvm/lvm.ts';
import type { StoreRecord } from '../records/record.ts';
import { pendingTag, writeTags } from '../records/tags.ts';
import type { Layout } from '../vocabulary/parameters.ts';
import type { Bytes } from '../vocabulary/units.ts';
import {
  MAX_CHUNK_BYTES,
  bytes,
  formatBytes,
  kib,
  leastCommonMultiple,
  maxBytes,
  minBytes,
  roundUp,
  toBytes,
} from '../vocabulary/units.ts';
import type { Context } from './context.ts';

export function drawStore(ctx: Context): StoreName {
  return storeName(`${STORE_PREFIX}${ctx.drawId()}`);
}

/** Volume sizes are multiples of this, so that no chunk ever reaches over an end: also of extents like 640 KiB. */
export function sizeUnit(report: PoolReport): Bytes {
  return leastCommonMultiple(report.extent, MAX_CHUNK_BYTES);
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

export function hasMetadataRoom({ metadataFree }: PoolReport): boolean {
  return metadataFree >= LEAST_METADATA_FREE;
}

/**
 * Does `work`, which takes `size` bytes of extents, where they leave the reserve; otherwise as `needRoom`. Of calls at the same
 * time each counts what the others are about to take.
 */
export async function withRoomFor<T>(ctx: Context, size: bigint, what: string, work: () => Promise<T>): Promise<T> {
  await ctx.locks.run('room', async () => {
    // What others have taken since the caller read the pool is in it.
    const report = await ctx.recentReport();
    const free = bytes(report.free > ctx.promised.size ? report.free - ctx.promised.size : 0n);
    needRoom(ctx, { ...report, free }, size, what);
    ctx.promised.size = bytes(ctx.promised.size + size);
  });
  try {
    return await work();
  } finally {
    ctx.promised.size = bytes(ctx.promised.size - size);
  }
}

/** Throws `exhausted` with the missing bytes when `size` more would not leave the reserve. */
export function needRoom(ctx: Context, report: PoolReport, size: bigint, what: string): void {
  if (!hasMetadataRoom(report)) {
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

const SHRINK_AGAIN_MS = 30_000;

/** First size of a cow store: the reserve of its class, at least twice the headroom, never more than it can ever need. */
export function firstCowSize(ctx: Context, report: PoolReport, size: Bytes, percent: number, most: Bytes): Bytes {
  const share = bytes((size * BigInt(percent)) / 100n);
  return roundUp(minBytes(maxBytes(share, bytes(2n * ctx.headroom.size)), most), report.extent);
}

export interface Preparing {
  /** What the store is for, where it must leave the reserve: `a volume of 1 GiB`. */
  readonly what?: string;
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
  { what, progressKey }: Preparing = {},
): Promise<void> {
  const isData = record.place.kind === 'root';
  const total = isData ? size : minBytes(STORE_HEAD_BYTES, size);
  const { layout } = record.entity.parameters;
  const create = (): Promise<void> => ctx.lvm.create(record.store, size, layout, writeTags(record));
  await (what === undefined ? create() : withRoomFor(ctx, size * copiesOf(layout), what, create));
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

/**
 * What is wrong with a store that ends before what it uses, and into which nothing is written that could wait at its end: a
 * larger one would show other bytes in the place of what was cut off, and a merge would move them.
 */
export function cutOff(ctx: Context, store: StoreName, used: Bytes): string | undefined {
  const size = ctx.sizes.get(store);
  if (size === undefined || used <= size) return undefined;
  return (
    `store '${store}' has ${formatBytes(size)} and uses ${formatBytes(used)}: it has been cut, or the metadata of pool ` +
    `'${ctx.pool}' is that of an earlier time`
  );
}

/** The same of a node that is shown, by its status; what a writer may wait for at the end of its store is not cut off. */
export function cutOffShown(
  ctx: Context,
  family: Family,
  node: Node,
  status: SnapshotStatus | undefined,
): string | undefined {
  if (status?.state !== 'counts' || waitsWhenFull(family, node)) return undefined;
  return cutOff(ctx, node.record.store, toBytes(status.used));
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
