// The kernel's persistent exception store as it lies in the blocks of a cow device: a header chunk, then metadata areas
// with the data chunks they list between them. A metadata block is one number here too: it names a log of exceptions and
// how many of them count, so that contents, power cuts and leftovers of dead snapshots need no second mechanism.

import type { Machine } from './machine.ts';

/** Exceptions of 16 bytes in one block of 4 KiB. */
export const EXCEPTIONS_PER_BLOCK = 256;
export const HEADER_CHUNKS = 1;
/** How many metadata areas a load reads ahead. */
export const PREFETCH_AREAS = 12;

const HEADER = 2 ** 45;
const AREA = 2 ** 46;
const AREA_STEP = 512;
const CHUNK_STEP = 256;

export interface Header {
  readonly valid: boolean;
  readonly chunkBlocks: number;
  /** The logical volume that the header was written to: tells a dead snapshot's header from a store's own. */
  readonly owner: number;
}

export function headerTag(header: Header): number {
  return HEADER + (header.owner * 2 + (header.valid ? 1 : 0)) * CHUNK_STEP + header.chunkBlocks;
}

/** Undefined when the block is no header; zeroes are no header either, they mean a new store. */
export function parseHeader(tag: number): Header | undefined {
  if (tag < HEADER || tag >= AREA) return undefined;
  const rest = tag - HEADER;
  const flags = Math.floor(rest / CHUNK_STEP);
  return { valid: flags % 2 === 1, chunkBlocks: rest % CHUNK_STEP, owner: Math.floor(flags / 2) };
}

export function exceptionsPerArea(chunkBlocks: number): number {
  return chunkBlocks * EXCEPTIONS_PER_BLOCK;
}

/** The chunk of metadata area `area`. */
export function areaChunk(chunkBlocks: number, area: number): number {
  return HEADER_CHUNKS + (exceptionsPerArea(chunkBlocks) + 1) * area;
}

/** The next chunk for data at or after `chunk`: metadata chunks are skipped. */
export function skipMetadata(chunkBlocks: number, chunk: number): number {
  return chunk % (exceptionsPerArea(chunkBlocks) + 1) === HEADER_CHUNKS ? chunk + 1 : chunk;
}

/** Pairs (old chunk, new chunk) of one metadata block; undefined when the block holds something else. */
export function parseAreaBlock(m: Machine, tag: number): readonly number[] | undefined {
  if (tag === 0) return [];
  if (tag < AREA) return undefined;
  const rest = tag - AREA;
  return m.logs[Math.floor(rest / AREA_STEP)]?.slice(0, (rest % AREA_STEP) * 2);
}

function areaTag(log: number, count: number): number {
  return count === 0 ? 0 : AREA + log * AREA_STEP + count;
}

/** The block's new contents with one exception more. */
export function appended(m: Machine, tag: number, oldChunk: number, newChunk: number): number {
  const rest = tag - AREA;
  const index = Math.floor(rest / AREA_STEP);
  const count = tag < AREA ? 0 : rest % AREA_STEP;
  const log = tag < AREA ? undefined : m.logs[index];
  if (log !== undefined && log.length === count * 2) {
    log.push(oldChunk, newChunk);
    return areaTag(index, count + 1);
  }
  m.logs.push([...(log ?? []).slice(0, count * 2), oldChunk, newChunk]);
  return areaTag(m.logs.length - 1, count + 1);
}

/** The block's new contents without its last exception. */
export function shortened(tag: number): number {
  if (tag < AREA) return 0;
  const rest = tag - AREA;
  return areaTag(Math.floor(rest / AREA_STEP), (rest % AREA_STEP) - 1);
}
