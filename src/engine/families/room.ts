// Room in a pool: what an operation may take, and how large its stores begin.

import { fail } from '../../vocabulary/errors.ts';
import type { PoolReport } from '../../lvm/lvm.ts';
import { hasMetadataRoom } from '../../lvm/room.ts';
import type { Layout } from '../../vocabulary/parameters.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import {
  MAX_CHUNK_BYTES,
  bytes,
  formatBytes,
  leastCommonMultiple,
  maxBytes,
  minBytes,
  roundUp,
} from '../../vocabulary/units.ts';
import type { Context } from '../state/context.ts';

/** What is asked for room in a pool. */
type OfPool = Pick<Context, 'pool' | 'locks' | 'promised' | 'recentReport' | 'reservePercent' | 'headroom'>;

/** Volume sizes are multiples of this, so that no chunk ever reaches over an end: also of extents like 640 KiB. */
export function sizeUnit(report: PoolReport): Bytes {
  return leastCommonMultiple(report.extent, MAX_CHUNK_BYTES);
}

export function reserved(ctx: OfPool, report: PoolReport): Bytes {
  return bytes((report.size * BigInt(ctx.reservePercent)) / 100n);
}

/** Bytes of free extents that a new volume may take. */
export function freeForNew(ctx: OfPool, report: PoolReport): Bytes {
  const kept = reserved(ctx, report);
  return report.free > kept ? bytes(report.free - kept) : bytes(0);
}

export function copiesOf(layout: Layout): bigint {
  return layout === 'raid1' ? 2n : 1n;
}

/**
 * Does `work`, which takes `size` bytes of extents, where they leave the reserve; otherwise as `needRoom`. Of calls at the same
 * time each counts what the others are about to take: all of it, until `taken` says what is in the next report.
 */
export async function withRoomFor<T>(
  ctx: OfPool,
  size: bigint,
  what: string,
  work: (taken: (part: bigint) => void) => Promise<T>,
): Promise<T> {
  const promise = (more: bigint): void => {
    ctx.promised.size = bytes(ctx.promised.size + more);
  };
  await ctx.locks.run('room', async () => {
    // What was taken while the report was made may be missing in it, and be promised no more.
    const before = ctx.promised.size;
    // What others have taken since the caller read the pool is in it.
    const report = await ctx.recentReport();
    needRoom(ctx, report, size, what, maxBytes(before, ctx.promised.size));
    promise(size);
  });
  let left = size;
  const taken = (part: bigint): void => {
    left -= part;
    promise(-part);
  };
  try {
    return await work(taken);
  } finally {
    promise(-left);
  }
}

/** Throws `exhausted` with the missing bytes when `size` more would not leave the reserve, and what is promised to others. */
export function needRoom(
  ctx: OfPool,
  report: PoolReport,
  size: bigint,
  what: string,
  promised: Bytes = ctx.promised.size,
): void {
  if (!hasMetadataRoom(report)) {
    fail(
      'exhausted',
      `Cannot make ${what}: the metadata area of pool '${ctx.pool}' has only ${formatBytes(report.metadataFree)} free`,
    );
  }
  const unpromised = bytes(report.free > promised ? report.free - promised : 0n);
  const free = freeForNew(ctx, { ...report, free: unpromised });
  if (size <= free) return;
  fail(
    'exhausted',
    `Cannot make ${what}: pool '${ctx.pool}' has ${formatBytes(free)} free beside its reserve of ` +
      `${ctx.reservePercent} %, ${formatBytes(size - free)} are missing`,
  );
}

/** First size of a cow store: the reserve of its class, at least twice the headroom, never more than it can ever need. */
export function firstCowSize(ctx: OfPool, report: PoolReport, size: Bytes, percent: number, most: Bytes): Bytes {
  const share = bytes((size * BigInt(percent)) / 100n);
  return roundUp(minBytes(maxBytes(share, bytes(2n * ctx.headroom.size)), most), report.extent);
}
