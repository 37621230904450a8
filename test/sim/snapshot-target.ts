// The snapshot target: reads and writes of a snapshot or merge, and the copy-out into the snapshots of an origin that
// comes before each write to it. Splitting is where the kernel can be led astray: only the first chunk of a write that
// arrives here is copied out, and it is the one above that has to have split it.

import { UNREADABLE } from './disk.ts';
import { allocate, commit, writeInvalid } from './exceptions.ts';
import type { Io } from './io.ts';
import type { Machine, Snapshot, Under } from './machine.ts';
import { nameOf, notice, sizeBlocks } from './machine.ts';
import { exceptionsPerArea } from './store-format.ts';

/** The smallest chunk of the snapshots registered on an origin, as the resumes of origin and merge look it up. */
export function smallestChunk(origin: Under): number {
  let smallest = Number.MAX_SAFE_INTEGER;
  for (const s of origin.snapshots) if (s.chunkBlocks > 0 && s.chunkBlocks < smallest) smallest = s.chunkBlocks;
  return smallest;
}

export function lacks(s: Snapshot, block: number): boolean {
  if (s.merge || !s.active || !s.valid || block >= s.lengthBlocks) return false;
  return !s.exceptions.has(Math.floor(block / s.chunkBlocks));
}

/** Copies the old content out into every live snapshot of `origin` before a write of `count` blocks at `block`. */
export function feed(m: Machine, io: Io, origin: Under, block: number, count: number): void {
  for (const s of origin.snapshots) {
    if (lacks(s, block)) copyOut(m, io, s, Math.floor(block / s.chunkBlocks));
    if (count > 1) noticeTorn(m, s, block, count);
  }
}

function noticeTorn(m: Machine, s: Snapshot, block: number, count: number): void {
  const next = (Math.floor(block / s.chunkBlocks) + 1) * s.chunkBlocks;
  for (let at = next; at < block + count; at += s.chunkBlocks) {
    if (lacks(s, at))
      return notice(m, 'torn-write', s.holder.key, `a write of ${count} blocks at ${block} was not split`);
  }
}

function copyOut(m: Machine, io: Io, s: Snapshot, chunk: number): void {
  const target = s.pending.get(chunk) ?? allocate(m, s);
  if (target === undefined) return invalidate(m, io, s, 'no room in its store');
  s.pending.set(chunk, target);
  const copied = copyChunk(m, io, s, chunk, target);
  if (copied) awaitOthers(io, s, chunk);
  if (!copied || !commit(m, io, s, chunk, target)) {
    s.pending.delete(chunk);
    return invalidate(m, io, s, 'an exception could not be written');
  }
  s.pending.delete(chunk);
  s.exceptions.set(chunk, target);
}

/** Exceptions are committed together: when the last copy under way has ended, or when their area is full. */
function awaitOthers(io: Io, s: Snapshot, chunk: number): void {
  if (!s.store.persistent || s.pending.size < 2) return;
  if (s.store.committed + 1 === exceptionsPerArea(s.chunkBlocks)) return;
  for (const [other, target] of s.pending) {
    const block = target * s.chunkBlocks;
    // What lies there once more: it waits where the copy does.
    if (other !== chunk) io.write(s.cow, block, [io.read(s.cow, block)], 0, 1, false);
  }
}

function copyChunk(m: Machine, io: Io, s: Snapshot, chunk: number, target: number): boolean {
  const start = chunk * s.chunkBlocks;
  const count = Math.min(s.chunkBlocks, sizeBlocks(m, s.origin) - start);
  const values: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const value = io.read(s.origin, start + i);
    if (value === UNREADABLE) return false;
    values.push(value);
  }
  return io.write(s.cow, target * s.chunkBlocks, values, 0, count, false);
}

function invalidate(m: Machine, io: Io, s: Snapshot, why: string): void {
  if (!s.valid) return;
  writeInvalid(io, s);
  s.valid = false;
  // All other copies under way end in the same way, and their writes go on without them.
  s.pending.clear();
  notice(m, 'invalidated', s.holder.key, `${nameOf(s.cow)}: ${why}`);
}

/** Where a block of a snapshot or merge is read: its store or its origin. */
export function readSnapshot(io: Io, s: Snapshot, block: number): number {
  if (!s.valid) return s.merge ? io.read(s.origin, block) : UNREADABLE;
  const chunk = Math.floor(block / s.chunkBlocks);
  const target = s.exceptions.get(chunk);
  if (target === undefined) return io.read(s.origin, block);
  return io.read(s.cow, target * s.chunkBlocks + (block % s.chunkBlocks));
}

/** A write within one chunk, to a snapshot (fork). */
export function writeSnapshot(
  m: Machine,
  io: Io,
  s: Snapshot,
  block: number,
  tags: readonly number[],
  from: number,
  count: number,
): boolean {
  if (!s.valid || s.overflowed) return false;
  const chunk = Math.floor(block / s.chunkBlocks);
  const inChunk = block % s.chunkBlocks;
  const present = s.exceptions.get(chunk);
  if (present !== undefined) return io.write(s.cow, present * s.chunkBlocks + inChunk, tags, from, count, false);
  const target = s.pending.get(chunk) ?? allocate(m, s);
  if (target === undefined) return overflow(m, io, s);
  s.pending.set(chunk, target);
  const whole = count === s.chunkBlocks;
  const copied = whole
    ? io.write(s.cow, target * s.chunkBlocks, tags, from, count, false)
    : copyChunk(m, io, s, chunk, target);
  if (copied) awaitOthers(io, s, chunk);
  const committed = copied && commit(m, io, s, chunk, target);
  s.pending.delete(chunk);
  if (!committed) {
    invalidate(m, io, s, 'an exception could not be written');
    return false;
  }
  s.exceptions.set(chunk, target);
  return whole || io.write(s.cow, target * s.chunkBlocks + inChunk, tags, from, count, false);
}

function overflow(m: Machine, io: Io, s: Snapshot): false {
  if (s.mode === 'PO') {
    if (!s.overflowed) notice(m, 'overflowed', s.holder.key, `${nameOf(s.cow)} is full`);
    s.overflowed = true;
  } else invalidate(m, io, s, 'no room in its store');
  return false;
}

/** A write within one piece, to a merge: it acts as an origin where nothing is left to merge. */
export function writeMerge(
  m: Machine,
  io: Io,
  s: Snapshot,
  block: number,
  tags: readonly number[],
  from: number,
  count: number,
): boolean {
  const target = s.valid ? s.exceptions.get(Math.floor(block / s.chunkBlocks)) : undefined;
  if (target !== undefined) {
    return io.write(s.cow, target * s.chunkBlocks + (block % s.chunkBlocks), tags, from, count, false);
  }
  feed(m, io, s.origin, block, count);
  return io.write(s.origin, block, tags, from, count, true);
}
