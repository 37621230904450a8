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

/** First size of a cow store: the reserve of its class, at least twice the headroom, never more than it can ever need. */
export function firstCowSize(ctx: Context, report: PoolReport, size: Bytes, percent: number, most: Bytes): Bytes {
  const share = bytes((size * BigInt(percent)) / 100n);
  return roundUp(minBytes(maxBytes(share, bytes(2n * ctx.headroom.size)), most), report.extent);
}
