// Loading, swapping in and dropping tables: what the kernel checks and when, how snapshots register with their origins,
// and the handover of exceptions between an old and a new table over the same origin and store.

import type { CowMode, Ref, Table, Target } from '../../src/dm/table.ts';
import { refText } from '../../src/dm/table.ts';
import type { Sectors } from '../../src/vocabulary/units.ts';
import { SimHang, Stuck, refuse } from './errors.ts';
import { emptyExceptions, readStore } from './exceptions.ts';
import type { Io } from './io.ts';
import type { Device, LoadedTable, Machine, Part, Snapshot, Under } from './machine.ts';
import { SECTORS_PER_BLOCK, baseOf, nameOf, notice, sizeBlocks } from './machine.ts';
import { smallestChunk } from './snapshot-target.ts';

function blocks(value: Sectors, what: string): number {
  const n = Number(value);
  if (n % SECTORS_PER_BLOCK !== 0) refuse(`Cannot load: ${what} of ${n} sectors is no whole number of 4 KiB blocks`);
  return n / SECTORS_PER_BLOCK;
}

function resolve(m: Machine, device: Device, ref: Ref): Under {
  const under =
    ref.on === 'store' ? m.stores.get(ref.store) : ref.on === 'device' ? m.devices.get(ref.device) : undefined;
  if (under === undefined) return refuse(`Cannot load ${device.key}: ${refText(ref)} is not there`);
  if ('hadTable' in under && !under.hadTable) {
    // Its disk is added at the first load; until then nobody can open it.
    return refuse(`Cannot load ${device.key}: ${refText(ref)} has no table yet (No such device or address)`);
  }
  if (under === device) return refuse(`Cannot load ${device.key}: the table lies on its own device`);
  return under;
}

/** Builds a table for the inactive slot, reading the stores of its snapshots. Nothing is left behind when it throws. */
export function loadTable(m: Machine, io: Io, device: Device, table: Table, readOnly: boolean): LoadedTable {
  const parts: Part[] = [];
  const opens: { under: Under; mode: string }[] = [];
  const open = (under: Under, mode: string) => {
    if (!opens.some((each) => each.under === under && each.mode === mode)) opens.push({ under, mode });
    return under;
  };
  const tableMode = readOnly ? 'r' : 'rw';
  let start = 0;
  try {
    for (const target of table) {
      const end = start + blocks(target.length, 'a length');
      parts.push(loadTarget(m, io, device, target, start, end, open, tableMode));
      start = end;
    }
    const loaded: LoadedTable = { table, readOnly, parts, lengthBlocks: start, opens };
    if (!device.hadTable) checkLengths(m, device, loaded);
    return loaded;
  } catch (error) {
    for (const part of parts) if (part.type === 'snapshot') unregister(part.snapshot);
    throw error;
  }
}

function loadTarget(
  m: Machine,
  io: Io,
  device: Device,
  target: Target,
  start: number,
  end: number,
  open: (under: Under, mode: string) => Under,
  tableMode: string,
): Part {
  switch (target.type) {
    case 'linear': {
      const under = open(resolve(m, device, target.on), tableMode);
      return { type: 'linear', start, end, under, offset: blocks(target.offset, 'an offset') };
    }
    case 'snapshot-origin': {
      const under = open(resolve(m, device, target.origin), tableMode);
      return { type: 'snapshot-origin', start, end, under, splitBlocks: Number.MAX_SAFE_INTEGER };
    }
    case 'snapshot':
    case 'snapshot-merge': {
      const merge = target.type === 'snapshot-merge';
      const origin = open(resolve(m, device, target.origin), merge ? 'w' : 'r');
      const cow = open(resolve(m, device, target.cow), tableMode);
      const chunk = blocks(target.chunk, 'a chunk');
      const snapshot = newSnapshot(device, merge, origin, cow, target.mode, chunk, end - start);
      loadSnapshot(m, io, snapshot, chunk);
      return { type: 'snapshot', start, end, snapshot };
    }
    case 'zero':
    case 'error':
    case 'hold':
      return { type: target.type, start, end };
    case 'other':
      return refuse(`Cannot load ${device.key}: the simulation has no target '${target.name}'`);
  }
}

function newSnapshot(
  holder: Device,
  merge: boolean,
  origin: Under,
  cow: Under,
  mode: CowMode,
  chunkBlocks: number,
  lengthBlocks: number,
): Snapshot {
  if (origin === cow) refuse(`Cannot load ${holder.key}: its store and its origin are the same device`);
  if (chunkBlocks < 1 || (chunkBlocks & (chunkBlocks - 1)) !== 0) {
    refuse(`Cannot load ${holder.key}: a chunk of ${chunkBlocks} blocks is no power of two`);
  }
  if (merge && mode === 'N') refuse(`Cannot load ${holder.key}: a transient store cannot be merged`);
  return {
    merge,
    holder,
    origin,
    cow,
    base: baseOf(cow),
    mode,
    lengthBlocks,
    chunkBlocks,
    exceptions: new Map(),
    pending: new Map(),
    store: emptyExceptions(mode !== 'N'),
    active: false,
    valid: true,
    overflowed: false,
    mergeFailed: false,
    running: false,
    stale: false,
    maxIoBlocks: chunkBlocks,
  };
}

interface Sharing {
  readonly count: number;
  readonly source: Snapshot | undefined;
  readonly destination: Snapshot | undefined;
  readonly merging: Snapshot | undefined;
}

/** Tables over the same origin and store: an active one can hand its exceptions over to one not yet active. */
function sharing(s: Snapshot): Sharing {
  let count = 0;
  let source: Snapshot | undefined;
  let destination: Snapshot | undefined;
  let merging: Snapshot | undefined;
  for (const other of s.origin.snapshots) {
    if (other.merge) merging = other;
    if (other.cow !== s.cow) continue;
    if (other.active) source = other;
    else destination = other;
    count += 1;
  }
  return { count, source, destination, merging };
}

function loadSnapshot(m: Machine, io: Io, s: Snapshot, chunkBlocks: number): void {
  const { count, source, destination, merging } = sharing(s);
  const key = s.holder.key;
  if (count === 2 || destination !== undefined) {
    refuse(`Cannot load ${key}: Snapshot cow pairing for exception table handover failed`);
  }
  if (source !== undefined && s.merge) {
    if (merging !== undefined) refuse(`Cannot load ${key}: A snapshot is already merging`);
    if (!source.store.persistent) refuse(`Cannot load ${key}: the store does not support snapshot-merge`);
  }
  if (s.merge && merging !== undefined) {
    notice(m, 'two-merges', key, `${merging.holder.key} merges into ${nameOf(s.origin)} too`);
  }
  register(s);
  if (source !== undefined) {
    s.chunkBlocks = 0;
    return;
  }
  try {
    const refused = readStore(m, io, s);
    if (refused !== undefined) refuse(`Cannot load ${key}: Failed to read snapshot metadata: ${refused}`);
    s.maxIoBlocks = s.chunkBlocks === 0 ? chunkBlocks : s.chunkBlocks;
  } catch (error) {
    unregister(s);
    if (error instanceof Stuck) throw new SimHang(`the load of ${key} reads its store, which ${error.message}`);
    throw error;
  }
}

function register(s: Snapshot): void {
  s.origin.snapshots.push(s);
  s.origin.snapshots.sort((a, b) => b.chunkBlocks - a.chunkBlocks);
  s.base.cowUsers.push(s);
}

function unregister(s: Snapshot): void {
  drop(s.origin.snapshots, s);
  drop(s.base.cowUsers, s);
}

function drop(list: Snapshot[], s: Snapshot): void {
  const index = list.indexOf(s);
  if (index >= 0) list.splice(index, 1);
}

/** The kernel looks at lengths at a device's first load and whenever a table is swapped in, not at other loads. */
export function checkLengths(m: Machine, device: Device, table: LoadedTable): void {
  const check = (under: Under, end: number) => {
    const size = sizeBlocks(m, under);
    if (size > 0 && end > size) refuse(`Cannot load ${device.key}: ${nameOf(under)} is too small for target`);
  };
  for (const part of table.parts) {
    const length = part.end - part.start;
    if (part.type === 'linear') check(part.under, part.offset + length);
    else if (part.type === 'snapshot-origin') check(part.under, length);
    else if (part.type === 'snapshot') check(part.snapshot.origin, length);
  }
}

/** Drops a table that is in no slot any more. */
export function destroyTable(m: Machine, table: LoadedTable): void {
  for (const part of table.parts) {
    if (part.type === 'snapshot') destroySnapshot(m, part.snapshot);
    else if (part.type === 'snapshot-origin') {
      const top = part.under.originTop;
      if (top !== undefined && top.live === table) part.under.originTop = undefined;
    }
  }
}

function destroySnapshot(m: Machine, s: Snapshot): void {
  if (s.pending.size > 0) throw new SimHang(`the table of ${s.holder.key} goes while a copy-out into it waits`);
  const { source, destination } = sharing(s);
  if (source === s && destination !== undefined) {
    destination.valid = false;
    notice(m, 'handover-cancelled', destination.holder.key, `${s.holder.key} went before the handover`);
  }
  s.running = false;
  unregister(s);
}

/** What can still refuse a resume once the table is in place. */
export function preresume(table: LoadedTable): void {
  for (const part of table.parts) {
    if (part.type !== 'snapshot') continue;
    const s = part.snapshot;
    const { source, destination } = sharing(s);
    if (source === undefined || destination === undefined) continue;
    if (s === source)
      refuse(`Cannot resume ${s.holder.key}: Unable to resume snapshot source until handover completes`);
    if (!source.holder.suspended) {
      refuse(`Cannot resume ${s.holder.key}: Unable to perform snapshot handover until source is suspended`);
    }
  }
}

/** Calls `suspendInside` for the device that the kernel suspends inside while a snapshot of its origin is resumed. */
export function resumeParts(
  m: Machine,
  device: Device,
  table: LoadedTable,
  suspendInside: (top: Device, why: string) => void,
): void {
  for (const part of table.parts) {
    if (part.type === 'snapshot-origin') {
      part.splitBlocks = smallestChunk(part.under);
      part.under.originTop = device;
    } else if (part.type === 'snapshot') resumeSnapshot(m, part.snapshot, suspendInside);
  }
}

function resumeSnapshot(m: Machine, s: Snapshot, suspendInside: (top: Device, why: string) => void): void {
  if (s.stale)
    notice(m, 'stale-exceptions', s.holder.key, `it goes on over ${nameOf(s.cow)}, which another has changed`);
  const before = sharing(s);
  const top = s.origin.originTop ?? before.merging?.holder;
  if (top !== undefined && top !== s.holder) suspendInside(top, `the resume of ${s.holder.key}`);
  const { source, destination } = sharing(s);
  if (source !== undefined && destination !== undefined) handOver(source, destination);
  s.origin.snapshots.sort((a, b) => b.chunkBlocks - a.chunkBlocks);
  s.active = true;
  noticeShared(m, s);
  if (!s.merge) return;
  s.maxIoBlocks = smallestChunk(s.origin);
  s.running = true;
}

function handOver(source: Snapshot, destination: Snapshot): void {
  const { exceptions, store, chunkBlocks } = destination;
  destination.exceptions = source.exceptions;
  destination.store = source.store;
  destination.chunkBlocks = source.chunkBlocks;
  destination.maxIoBlocks = source.chunkBlocks;
  destination.valid = source.valid;
  destination.overflowed = source.overflowed;
  source.exceptions = exceptions;
  source.store = store;
  source.chunkBlocks = chunkBlocks;
  source.valid = false;
}

function noticeShared(m: Machine, s: Snapshot): void {
  for (const other of s.base.cowUsers) {
    const live = other.active && other.valid && !other.holder.suspended && other.holder !== s.holder;
    if (live) notice(m, 'shared-store', s.holder.key, `${other.holder.key} is live over ${nameOf(s.cow)} too`);
  }
}
