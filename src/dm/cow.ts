// How large a store of exceptions must be: the arithmetic of the kernel's persistent exception format. Pure.
//
// A store is a header chunk, then areas: one chunk of metadata (16 bytes an exception) and the chunks it describes. The
// kernel zeroes the next area's metadata when one fills, so there must always be room for one area more (proven: 512
// chunks of 8 KiB were Invalid in a store of 514 chunks and fine in one of 515).

import type { Bytes } from '../vocabulary/units.ts';
import { bytes, roundUp } from '../vocabulary/units.ts';
import { exceptionsPerArea } from './exceptions.ts';

/** Bytes of store that `data` bytes of exceptions need at most, for chunks of `chunk` bytes. */
export function storeBytesFor(data: Bytes, chunk: Bytes): Bytes {
  const chunks = (data + chunk - 1n) / chunk;
  const perArea = exceptionsPerArea(chunk);
  const areas = chunks / perArea + 1n;
  return bytes((1n + chunks + areas + 1n) * chunk);
}

/** Bytes of data that a store of `used` bytes can hold at most: what merging it would move. */
export function dataBytesIn(used: Bytes, chunk: Bytes): Bytes {
  const perArea = exceptionsPerArea(chunk);
  const chunks = used / chunk;
  if (chunks <= 2n) return bytes(0n);
  const areas = (chunks - 1n + perArea) / (perArea + 1n);
  return bytes((chunks - 1n - areas) * chunk);
}

/** The part at the beginning of a new store that must be zero before it is used: header and first areas. */
export const STORE_HEAD_BYTES: Bytes = bytes(1024n * 1024n);

/** The size of a store that uses `used` bytes and will use no more. */
export function fittingSize(used: Bytes, extent: Bytes): Bytes {
  return roundUp(bytes(used + 1n), extent);
}
