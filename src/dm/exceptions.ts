// The metadata of a store of exceptions as it lies on the disk: where an area of it is, and what an area says. Pure.
//
// Chunk 0 is the header. Area n is chunk 1 + n * (p + 1), where p exceptions of 16 bytes fill an area; the p chunks that it
// can list follow it. An exception is two little-endian numbers of 64 bits, the chunk in the image and the chunk in the
// store, and an area ends at the first whose second number is 0 (drivers/md/dm-snap-persistent.c).

import type { Bytes } from '../vocabulary/units.ts';
import { bytes, maxBytes, toBytes } from '../vocabulary/units.ts';
import type { SnapshotStatus } from './status.ts';

const EXCEPTION_BYTES = 16n;

const HEADER_CHUNKS = 1n;
const PAIR = /^ *\d+ +(\d+)$/;

export type Counts = Extract<SnapshotStatus, { readonly state: 'counts' }>;

/** How many exceptions an area lists. */
export function exceptionsPerArea(chunk: Bytes): bigint {
  return chunk / EXCEPTION_BYTES;
}

/** Bytes of the store at which an area begins. */
export function areaOffset(area: bigint, chunk: Bytes): Bytes {
  const perArea = exceptionsPerArea(chunk);
  return bytes((HEADER_CHUNKS + area * (perArea + 1n)) * chunk);
}

/** The area that the kernel listed exceptions in when it gave this status; undefined for a store without metadata. */
export function areaOf({ metadata }: Counts, chunk: Bytes): bigint | undefined {
  const area = toBytes(metadata) / chunk - HEADER_CHUNKS - 1n;
  return area < 0n ? undefined : area;
}

export interface Area {
  readonly isFull: boolean;
  /** Bytes from the beginning of the store to the end of the last chunk that the area lists; 0 when it lists none. */
  readonly end: Bytes;
}

/** From a line for each exception with its two numbers, as od prints them; undefined for what is no area, or not a whole one. */
export function parseArea(text: string, chunk: Bytes): Area | undefined {
  const lines = text.split('\n').filter((line) => line !== '');
  if (BigInt(lines.length) !== exceptionsPerArea(chunk)) return undefined;
  let end = bytes(0n);
  for (const line of lines) {
    const [, listed] = PAIR.exec(line) ?? [];
    if (listed === undefined) return undefined;
    const at = BigInt(listed);
    if (at === 0n) return { isFull: false, end };
    // The header and the first area are no exception's.
    if (at <= HEADER_CHUNKS) return undefined;
    end = maxBytes(end, bytes((at + 1n) * chunk));
  }
  return { isFull: true, end };
}
