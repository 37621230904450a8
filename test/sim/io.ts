// Reads, writes and flushes on their way down through live tables. An I/O that meets a suspended device waits there, and so
// does a write that is held:
// `Stuck` says where and through which devices it came. What each target does with it is in snapshot-target.ts.

import { UNREADABLE, flushExtents, readAt, writeAt } from './disk.ts';
import { Stuck } from './errors.ts';
import type { Device, Machine, Part, StoreDevice, Under } from './machine.ts';
import { nameOf, notice } from './machine.ts';
import { feed, lacks, readSnapshot, writeMerge, writeSnapshot } from './snapshot-target.ts';

export interface Io {
  /** The tag of one block, UNREADABLE where the kernel gives an error. */
  readonly read: (under: Under, block: number) => number;
  /** False on an error. `fed`: whoever calls has copied the old content out. */
  readonly write: (
    under: Under,
    block: number,
    tags: readonly number[],
    from: number,
    count: number,
    fed: boolean,
  ) => boolean;
  readonly flush: (under: Under) => void;
}

export function createIo(m: Machine): Io {
  const io: Io = {
    read: (under, block) =>
      under.kind === 'store' ? readStoreBlock(m, under, block) : readDevice(m, io, under, block),
    write: (under, block, tags, from, count, fed) => {
      if (!fed && under.snapshots.length > 0) noticeUnfed(m, under, block, count);
      return under.kind === 'store'
        ? writeStoreBlocks(m, under, block, tags, from, count)
        : writeDevice(m, io, under, block, tags, from, count);
    },
    flush: (under) => {
      if (under.kind === 'store') flushExtents(m.space, under.extents);
      else flushDevice(m, io, under);
    },
  };
  return io;
}

function addressOf(m: Machine, store: StoreDevice, block: number): number | undefined {
  const { blocksPerExtent } = m.space;
  const extent = store.extents[Math.floor(block / blocksPerExtent)];
  return extent === undefined ? undefined : extent * blocksPerExtent + (block % blocksPerExtent);
}

function readStoreBlock(m: Machine, store: StoreDevice, block: number): number {
  const address = addressOf(m, store, block);
  return address === undefined ? UNREADABLE : readAt(m.space, address);
}

function writeStoreBlocks(
  m: Machine,
  store: StoreDevice,
  block: number,
  tags: readonly number[],
  from: number,
  count: number,
): boolean {
  for (let i = 0; i < count; i += 1) {
    const address = addressOf(m, store, block + i);
    if (address === undefined || !writeAt(m.space, address, tags[from + i] ?? 0)) return false;
  }
  return true;
}

function partAt(device: Device, block: number): Part | undefined {
  const parts = device.live?.parts;
  if (parts === undefined) return undefined;
  for (const part of parts) if (block >= part.start && block < part.end) return part;
  return undefined;
}

/** Notes that the I/O is inside the device now; it waits here when the device is suspended. */
function enter(m: Machine, device: Device): void {
  if (m.peeking) return;
  if (device.suspended) throw new Stuck(device, m.stack.slice());
  m.stack.push(device);
}

function leave(m: Machine): void {
  if (!m.peeking) m.stack.pop();
}

function readDevice(m: Machine, io: Io, device: Device, block: number): number {
  enter(m, device);
  const part = partAt(device, block);
  const value = part === undefined ? UNREADABLE : readPart(io, part, block);
  leave(m);
  return value;
}

function readPart(io: Io, part: Part, block: number): number {
  switch (part.type) {
    case 'linear':
      return io.read(part.under, part.offset + block - part.start);
    case 'snapshot':
      return readSnapshot(io, part.snapshot, block);
    case 'snapshot-origin':
      return io.read(part.under, block);
    case 'zero':
    case 'hold':
      return 0;
    case 'error':
      return UNREADABLE;
  }
}

function writeDevice(
  m: Machine,
  io: Io,
  device: Device,
  block: number,
  tags: readonly number[],
  from: number,
  count: number,
): boolean {
  enter(m, device);
  let done = 0;
  let good = true;
  while (good && done < count) {
    const at = block + done;
    const part = partAt(device, at);
    if (part === undefined) {
      good = false;
      break;
    }
    const piece = Math.min(count - done, part.end - at, pieceOf(part, at));
    good = writePart(m, io, device, part, at, tags, from + done, piece);
    done += piece;
  }
  leave(m);
  return good;
}

/** How far a write at `block` may reach before this target splits it. */
function pieceOf(part: Part, block: number): number {
  switch (part.type) {
    case 'snapshot':
      return part.snapshot.maxIoBlocks - (block % part.snapshot.maxIoBlocks);
    case 'snapshot-origin':
      return part.splitBlocks - (block % part.splitBlocks);
    case 'linear':
    case 'zero':
    case 'error':
    case 'hold':
      return Number.MAX_SAFE_INTEGER;
  }
}

function writePart(
  m: Machine,
  io: Io,
  device: Device,
  part: Part,
  block: number,
  tags: readonly number[],
  from: number,
  count: number,
): boolean {
  switch (part.type) {
    case 'linear':
      return io.write(part.under, part.offset + block - part.start, tags, from, count, false);
    case 'snapshot':
      return part.snapshot.merge
        ? writeMerge(m, io, part.snapshot, block, tags, from, count)
        : writeSnapshot(m, io, part.snapshot, block, tags, from, count);
    case 'snapshot-origin':
      feed(m, io, part.under, block, count);
      return io.write(part.under, block, tags, from, count, true);
    case 'zero':
      if (m.merging) notice(m, 'merged-into-zero', device.key, `chunks from block ${block} are gone`);
      return true;
    case 'error':
      return false;
    case 'hold':
      if (m.failing === device.key) return false;
      throw new Stuck(device, m.stack.slice());
  }
}

/** A write that came by a way that copies nothing out, while a live snapshot still reads the old content through. */
function noticeUnfed(m: Machine, under: Under, block: number, count: number): void {
  for (const s of under.snapshots) {
    for (let i = 0; i < count; i += 1) {
      if (!lacks(s, block + i)) continue;
      notice(m, 'unfed-write', s.holder.key, `block ${block + i} of ${nameOf(under)} was written past it`);
      break;
    }
  }
}

/** Whether there is a write cache to flush: `error`, `zero` and what lies on those have none, every store has one. */
function hasCache(under: Under): boolean {
  if (under.kind === 'store') return true;
  return under.live?.parts.some((part) => underneath(part).some(hasCache)) === true;
}

function underneath(part: Part): readonly Under[] {
  switch (part.type) {
    case 'linear':
    case 'snapshot-origin':
      return [part.under];
    case 'snapshot':
      return [part.snapshot.origin, part.snapshot.cow];
    case 'zero':
    case 'error':
    case 'hold':
      return [];
  }
}

function flushDevice(m: Machine, io: Io, device: Device): void {
  if (!hasCache(device)) return;
  enter(m, device);
  for (const part of device.live?.parts ?? []) {
    if (part.type === 'linear' || part.type === 'snapshot-origin') io.flush(part.under);
    else if (part.type === 'snapshot') {
      if (part.snapshot.merge) io.flush(part.snapshot.origin);
      io.flush(part.snapshot.cow);
    }
  }
  leave(m);
}
