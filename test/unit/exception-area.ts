// A metadata area of a store of exceptions, as the kernel writes it.

import { Buffer } from 'node:buffer';
import type { Bytes } from '../../src/units.ts';

/** `listed`: the chunk in the store of each exception; the chunks of the image are 0, 1, 2 and so on. */
export function areaBytes(chunk: Bytes, listed: readonly number[]): Uint8Array {
  const area = Buffer.alloc(Number(chunk));
  for (const [index, at] of listed.entries()) {
    area.writeBigUInt64LE(BigInt(index), index * 16);
    area.writeBigUInt64LE(BigInt(at), index * 16 + 8);
  }
  return area;
}
