// The exceptions of one table in its store: read at load, allocated, committed, taken back by a merge, counted. The
// persistent form survives power cuts because each commit flushes the store before and with its metadata block.

import type { Io } from './io.ts';
import type { Exceptions, Machine, Snapshot } from './machine.ts';
import { nameOf, notice, ownerOf, sizeBlocks } from './machine.ts';
import {
  EXCEPTIONS_PER_BLOCK,
  HEADER_CHUNKS,
  PREFETCH_AREAS,
  appended,
  areaChunk,
  exceptionsPerArea,
  headerTag,
  parseAreaBlock,
  parseHeader,
  shortened,
  skipMetadata,
} from './store-format.ts';
import { UNREADABLE } from './disk.ts';

export function emptyExceptions(persistent: boolean): Exceptions {
  return { persistent, nextFree: persistent ? HEADER_CHUNKS + 1 : 0, area: 0, committed: 0, valid: true };
}

/** Reads the store into the table, as a load does; what it returns is why the kernel refuses, if it does. */
export function readStore(m: Machine, io: Io, s: Snapshot): string | undefined {
  if (!s.store.persistent) return undefined;
  const first = io.read(s.cow, 0);
  if (first === UNREADABLE) return 'the header cannot be read';
  if (first === 0) return writeNewStore(io, s);
  const header = parseHeader(first);
  if (header === undefined) return 'Invalid or corrupt snapshot';
  if (header.owner !== ownerOf(s.cow)) {
    notice(m, 'foreign-metadata', s.holder.key, `${nameOf(s.cow)} carries the header of another logical volume`);
  }
  s.chunkBlocks = header.chunkBlocks;
  if (!header.valid) {
    s.valid = false;
    s.store.valid = false;
    if (s.merge) notice(m, 'merge-of-invalid', s.holder.key, `${nameOf(s.cow)} is marked invalid`);
    return undefined;
  }
  return readAreas(m, io, s);
}

function writeNewStore(io: Io, s: Snapshot): string | undefined {
  const header = headerTag({ valid: true, chunkBlocks: s.chunkBlocks, owner: ownerOf(s.cow) });
  if (!io.write(s.cow, 0, [header], 0, 1, false)) return 'the header cannot be written';
  if (!zeroArea(io, s, 0)) return 'the first metadata area cannot be zeroed';
  return undefined;
}

function zeroArea(io: Io, s: Snapshot, area: number): boolean {
  const zeroes = Array.from<number>({ length: s.chunkBlocks }).fill(0);
  return io.write(s.cow, areaChunk(s.chunkBlocks, area) * s.chunkBlocks, zeroes, 0, s.chunkBlocks, false);
}

function readAreas(m: Machine, io: Io, s: Snapshot): string | undefined {
  const perArea = exceptionsPerArea(s.chunkBlocks);
  const size = sizeBlocks(m, s.cow);
  let ahead = 0;
  for (let area = 0; ; area += 1) {
    for (; ahead <= area + PREFETCH_AREAS; ahead += 1) {
      const block = areaChunk(s.chunkBlocks, ahead) * s.chunkBlocks;
      if (block + s.chunkBlocks > size) break;
      io.read(s.cow, block);
    }
    const count = readArea(m, io, s, area);
    if (count === undefined) return 'a metadata area cannot be read';
    if (count === perArea) continue;
    s.store.area = area;
    s.store.committed = count;
    s.store.nextFree = skipMetadata(s.chunkBlocks, s.store.nextFree);
    return undefined;
  }
}

function readArea(m: Machine, io: Io, s: Snapshot, area: number): number | undefined {
  const first = areaChunk(s.chunkBlocks, area) * s.chunkBlocks;
  let count = 0;
  for (let i = 0; i < s.chunkBlocks; i += 1) {
    const tag = io.read(s.cow, first + i);
    if (tag === UNREADABLE) return undefined;
    const pairs = parseAreaBlock(m, tag) ?? garbagePairs(m, s);
    for (let p = 0; p < pairs.length; p += 2) take(s, pairs[p] ?? 0, pairs[p + 1] ?? 0);
    count += pairs.length / 2;
    if (pairs.length / 2 < EXCEPTIONS_PER_BLOCK) return count;
  }
  return count;
}

function take(s: Snapshot, oldChunk: number, newChunk: number): void {
  s.exceptions.set(oldChunk, newChunk);
  if (s.store.nextFree <= newChunk) s.store.nextFree = newChunk + 1;
}

/** What the kernel makes of bytes that are no exceptions: exceptions all the same. */
function garbagePairs(m: Machine, s: Snapshot): readonly number[] {
  notice(m, 'garbage-metadata', s.holder.key, `${nameOf(s.cow)} has a metadata area that nobody zeroed`);
  return Array.from({ length: EXCEPTIONS_PER_BLOCK * 2 }, (_, i) => (i % 2 === 0 ? i / 2 : (i - 1) / 2 + 2));
}

/** The chunk for a new exception; undefined without room. The cow device's size is looked at each time. */
export function allocate(m: Machine, s: Snapshot): number | undefined {
  const { store, chunkBlocks } = s;
  if (sizeBlocks(m, s.cow) < (store.nextFree + 1) * chunkBlocks) return undefined;
  const chunk = store.nextFree;
  store.nextFree += 1;
  if (store.persistent) store.nextFree = skipMetadata(chunkBlocks, store.nextFree);
  return chunk;
}

/** Makes an exception durable with all that was written to the store before; false invalidates the snapshot. */
export function commit(m: Machine, io: Io, s: Snapshot, oldChunk: number, newChunk: number): boolean {
  if (s.base.cowUsers.length > 1) noticeStale(m, s);
  const { store, chunkBlocks } = s;
  if (!store.persistent) return true;
  const block = areaChunk(chunkBlocks, store.area) * chunkBlocks + Math.floor(store.committed / EXCEPTIONS_PER_BLOCK);
  const former = store.committed % EXCEPTIONS_PER_BLOCK === 0 ? 0 : io.read(s.cow, block);
  const full = store.committed + 1 === exceptionsPerArea(chunkBlocks);
  if (former === UNREADABLE || (full && !zeroArea(io, s, store.area + 1))) store.valid = false;
  // What waits must wait before anything is changed here: it is tried again as a whole.
  if (store.valid) io.flush(s.cow);
  if (store.valid && !io.write(s.cow, block, [appended(m, former, oldChunk, newChunk)], 0, 1, false))
    store.valid = false;
  if (!store.valid) return false;
  io.flush(s.cow);
  store.committed = full ? 0 : store.committed + 1;
  if (full) store.area += 1;
  return true;
}

function noticeStale(m: Machine, s: Snapshot): void {
  for (const other of s.base.cowUsers) {
    if (other === s || !other.valid || other.chunkBlocks === 0) continue;
    // The former holder of a store that has changed hands stands still until it is removed: who had waited writes before.
    const isLive = other.holder.live?.parts.some((part) => part.type === 'snapshot' && part.snapshot === other);
    if (isLive === true && other.holder.suspended) other.stale = true;
    else {
      notice(m, 'stale-exceptions', other.holder.key, `${s.holder.key} changed ${nameOf(s.cow)} after it was loaded`);
    }
  }
}

/** Exceptions at the end of the store that a merge moves as one: consecutive in both places, within one area. */
export interface Run {
  readonly oldChunk: number;
  readonly newChunk: number;
  /** How many, the last one and those before it. */
  readonly count: number;
}

/** The last exceptions of the store, stepping back into the area before. */
export function lastRun(m: Machine, io: Io, s: Snapshot): Run | 'none' | 'unreadable' {
  const { store, chunkBlocks } = s;
  if (store.committed === 0 && store.area === 0) return 'none';
  const area = store.committed === 0 ? store.area - 1 : store.area;
  const committed = store.committed === 0 ? exceptionsPerArea(chunkBlocks) : store.committed;
  const last = exceptionAt(m, io, s, area, committed - 1);
  if (last === undefined) return 'unreadable';
  store.area = area;
  store.committed = committed;
  const [oldChunk, newChunk] = last;
  let count = 1;
  for (; count < committed; count += 1) {
    const [before, beforeNew] = exceptionAt(m, io, s, area, committed - 1 - count) ?? [];
    if (before !== oldChunk - count || beforeNew !== newChunk - count) break;
  }
  return { oldChunk, newChunk, count };
}

function exceptionAt(
  m: Machine,
  io: Io,
  s: Snapshot,
  area: number,
  index: number,
): readonly [number, number] | undefined {
  const { chunkBlocks } = s;
  const block = areaChunk(chunkBlocks, area) * chunkBlocks + Math.floor(index / EXCEPTIONS_PER_BLOCK);
  const pairs = parseAreaBlock(m, io.read(s.cow, block));
  const at = (index % EXCEPTIONS_PER_BLOCK) * 2;
  const oldChunk = pairs?.[at];
  const newChunk = pairs?.[at + 1];
  return oldChunk === undefined || newChunk === undefined ? undefined : [oldChunk, newChunk];
}

/** Forgets the last exception, durably. */
export function commitMerge(io: Io, s: Snapshot): boolean {
  const { store, chunkBlocks } = s;
  const index = store.committed - 1;
  const block = areaChunk(chunkBlocks, store.area) * chunkBlocks + Math.floor(index / EXCEPTIONS_PER_BLOCK);
  // What waits must wait before anything is changed here, as in `commit`.
  io.flush(s.cow);
  if (!io.write(s.cow, block, [shortened(io.read(s.cow, block))], 0, 1, false)) return false;
  io.flush(s.cow);
  store.committed = index;
  store.nextFree = areaChunk(chunkBlocks, store.area) + index + 1;
  return true;
}

/** Marks the store invalid on the disk. The kernel does not flush this: a power cut can make the snapshot valid again. */
export function writeInvalid(io: Io, s: Snapshot): void {
  if (!s.store.persistent) return;
  s.store.valid = false;
  const header = headerTag({ valid: false, chunkBlocks: s.chunkBlocks, owner: ownerOf(s.cow) });
  io.write(s.cow, 0, [header], 0, 1, false);
}

/** Blocks of the store in use, and of those the ones for metadata. */
export function usage(s: Snapshot): { readonly used: number; readonly metadata: number } {
  const { store, chunkBlocks } = s;
  return {
    used: store.nextFree * chunkBlocks,
    metadata: store.persistent ? (store.area + 1 + HEADER_CHUNKS) * chunkBlocks : 0,
  };
}
