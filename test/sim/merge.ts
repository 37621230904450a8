// One chunk of a running snapshot-merge: the last exception's chunk is written into the origin, which feeds the other
// snapshots there first, is flushed, and only then is the exception forgotten. Who moves how many, and when, is decided
// by the world.

import { UNREADABLE } from './disk.ts';
import type { Run } from './exceptions.ts';
import { commitMerge, lastRun } from './exceptions.ts';
import { Stuck } from './errors.ts';
import type { Io } from './io.ts';
import type { Device, Machine, Snapshot } from './machine.ts';
import { notice, sizeBlocks } from './machine.ts';
import { feed, lacks } from './snapshot-target.ts';

export function mergesOf(device: Device): readonly Snapshot[] {
  const found: Snapshot[] = [];
  for (const part of device.live?.parts ?? []) {
    if (part.type === 'snapshot' && part.snapshot.merge) found.push(part.snapshot);
  }
  return found;
}

/** Moves up to `chunks` chunks of each running merge of the device; the number moved. A merge that waits moves none. */
export function advanceDevice(m: Machine, io: Io, device: Device, chunks: number): number {
  let moved = 0;
  for (const s of mergesOf(device)) {
    for (let i = 0; i < chunks && s.running; i += 1) {
      if (advanceOrWait(m, io, s) !== 'moved') break;
      moved += 1;
    }
  }
  return moved;
}

/** The way a waiting merge's I/O has taken, or undefined when it does not wait. */
export function waitOf(m: Machine, io: Io, s: Snapshot): readonly Device[] | undefined {
  if (!s.running) return undefined;
  const result = advanceOrWait(m, io, s);
  return typeof result === 'string' ? undefined : result.path;
}

function advanceOrWait(m: Machine, io: Io, s: Snapshot): 'moved' | 'stopped' | Stuck {
  m.stack.length = 0;
  m.merging = true;
  try {
    return advance(m, io, s) ? 'moved' : 'stopped';
  } catch (error) {
    if (error instanceof Stuck) return error;
    throw error;
  } finally {
    m.merging = false;
  }
}

function advance(m: Machine, io: Io, s: Snapshot): boolean {
  if (!s.valid || s.mergeFailed) return stop(s);
  const run = lastRun(m, io, s);
  if (run === 'none') return stop(s);
  if (run === 'unreadable') return failed(m, s, 'its store cannot be read');
  feedRun(m, io, s, run);
  const { oldChunk, newChunk } = run;
  const start = oldChunk * s.chunkBlocks;
  const room = sizeBlocks(m, s.origin) - start;
  const count = room < 0 ? s.chunkBlocks : Math.min(s.chunkBlocks, room);
  const values = readChunk(io, s, newChunk, count);
  if (values === undefined) return failed(m, s, 'its store cannot be read');
  if (!io.write(s.origin, start, values, 0, count, true)) return failed(m, s, 'its origin cannot be written');
  if (m.halfway) return stop(s);
  io.flush(s.origin);
  if (!commitMerge(io, s)) return failed(m, s, 'its store cannot be written');
  if (!s.exceptions.delete(oldChunk)) return failed(m, s, 'an exception is on disk but not in memory');
  return true;
}

/** All that moves as one is fed before any of it moves, and before the resume that begins with it has ended. */
function feedRun(m: Machine, io: Io, s: Snapshot, { oldChunk, count }: Run): void {
  if (s.origin.snapshots.length < 2) return;
  let stuck: Stuck | undefined;
  for (let chunk = oldChunk - count + 1; chunk <= oldChunk; chunk += 1) {
    m.stack.length = 0;
    try {
      feedExtent(m, io, s, chunk * s.chunkBlocks);
    } catch (error) {
      if (!(error instanceof Stuck)) throw error;
      stuck ??= error;
    }
  }
  if (stuck !== undefined) throw stuck;
}

/** What a resume does of a merge: it feeds what moves first, and waits for that. */
export function beginMerge(m: Machine, io: Io, s: Snapshot): Stuck | undefined {
  if (!s.running || !s.valid || s.mergeFailed) return undefined;
  m.stack.length = 0;
  m.merging = true;
  try {
    const run = lastRun(m, io, s);
    if (typeof run !== 'string') feedRun(m, io, s, run);
    return undefined;
  } catch (error) {
    if (error instanceof Stuck) return error;
    throw error;
  } finally {
    m.merging = false;
  }
}

/** As origin_write_extent: one look every `maxIoBlocks`, so a smaller chunk that came later is partly passed over. */
function feedExtent(m: Machine, io: Io, s: Snapshot, start: number): void {
  for (let n = 0; n < s.chunkBlocks; n += s.maxIoBlocks) feed(m, io, s.origin, start + n, 1);
  for (const other of s.origin.snapshots) {
    if (other === s || other.chunkBlocks === 0 || other.chunkBlocks >= s.maxIoBlocks) continue;
    for (let n = 0; n < s.chunkBlocks; n += other.chunkBlocks) {
      if (!lacks(other, start + n)) continue;
      notice(m, 'torn-write', other.holder.key, `the merge ${s.holder.key} was not resumed after it was made`);
      break;
    }
  }
}

function readChunk(io: Io, s: Snapshot, chunk: number, count: number): readonly number[] | undefined {
  const values: number[] = [];
  for (let i = 0; i < count; i += 1) {
    const value = io.read(s.cow, chunk * s.chunkBlocks + i);
    if (value === UNREADABLE) return undefined;
    values.push(value);
  }
  return values;
}

function stop(s: Snapshot): false {
  s.running = false;
  return false;
}

function failed(m: Machine, s: Snapshot, why: string): false {
  s.mergeFailed = true;
  s.running = false;
  notice(m, 'merge-failed', s.holder.key, why);
  return false;
}
