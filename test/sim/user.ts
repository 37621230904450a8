// The user's side: what a pod does with a device it has mounted or opened. A write that meets a suspended device is
// queued, as the kernel queues it, and completes by itself when a resume lets it; a power cut forgets it.

import type { DeviceKey } from '../../src/vocabulary/ids.ts';
import { UNREADABLE } from './disk.ts';
import { Stuck, refuse } from './errors.ts';
import type { Io } from './io.ts';
import type { Device, Machine, QueuedWrite } from './machine.ts';

export type Done = 'done' | 'queued' | 'failed';

export interface User {
  readonly open: (device: DeviceKey) => void;
  readonly close: (device: DeviceKey) => void;
  /** One write of `tags.length` blocks of 4 KiB at `block`. Acknowledged when done, durable after a flush. */
  readonly write: (device: DeviceKey, block: number, tags: readonly number[]) => Done;
  readonly read: (device: DeviceKey, block: number, count: number) => readonly number[] | 'queued' | 'failed';
  /** An fsync: what was acknowledged becomes durable. */
  readonly flush: (device: DeviceKey) => Done;
  /** Writes that wait, oldest first. */
  readonly queued: () => readonly QueuedWrite[];
  /** What became of a queued write; a power cut makes it fail. */
  readonly outcome: (id: number) => Done;
}

export function createUser(m: Machine, io: Io): User {
  const find = (key: DeviceKey): Device => m.devices.get(key) ?? refuse(`Cannot open ${key}: no such device`);
  return {
    open: (key) => {
      find(key).openers += 1;
    },
    close: (key) => {
      const device = find(key);
      if (device.openers === 0) refuse(`Cannot close ${key}: nobody has it open`);
      device.openers -= 1;
    },
    write: (key, block, tags) => write(m, io, find(key), block, tags),
    read: (key, block, count) => read(m, io, find(key), block, count),
    flush: (key) => {
      const device = find(key);
      return waiting(m, () => {
        io.flush(device);
        return 'done';
      });
    },
    queued: () => m.queued,
    outcome: (id) => m.waited.ended.get(id) ?? 'queued',
  };
}

function waiting<T>(m: Machine, run: () => T): T | 'queued' {
  m.stack.length = 0;
  try {
    return run();
  } catch (error) {
    if (error instanceof Stuck) return 'queued';
    throw error;
  }
}

function write(m: Machine, io: Io, device: Device, block: number, tags: readonly number[]): Done {
  if (device.readOnly) return 'failed';
  const wanted: QueuedWrite = { id: m.waited.nextId, device: device.key, block, tags: [...tags], path: [] };
  const result = overtakes(m, wanted) ? 'queued' : attempt(m, io, device, wanted);
  if (result !== 'queued') return result;
  m.waited.nextId += 1;
  m.queued.push(wanted);
  return result;
}

/** Whether an older write of the same blocks waits. */
function overtakes(m: Machine, { device, block, tags }: QueuedWrite): boolean {
  return m.queued.some(
    (each) => each.device === device && block < each.block + each.tags.length && each.block < block + tags.length,
  );
}

function attempt(m: Machine, io: Io, device: Device, write: QueuedWrite): Done {
  m.stack.length = 0;
  try {
    write.path = [];
    return io.write(device, write.block, write.tags, 0, write.tags.length, false) ? 'done' : 'failed';
  } catch (error) {
    if (!(error instanceof Stuck)) throw error;
    write.path = error.path;
    return 'queued';
  }
}

/** Lets waiting writes go on where they can, oldest first. */
export function retryQueued(m: Machine, io: Io): void {
  if (m.queued.length === 0) return;
  const writes = m.queued;
  m.queued = [];
  for (const write of writes) {
    const device = m.devices.get(write.device);
    const result = device === undefined ? 'failed' : overtakes(m, write) ? 'queued' : attempt(m, io, device, write);
    if (result === 'queued') m.queued.push(write);
    else m.waited.ended.set(write.id, result);
  }
}

function read(
  m: Machine,
  io: Io,
  device: Device,
  block: number,
  count: number,
): readonly number[] | 'queued' | 'failed' {
  const tags = waiting(m, () => Array.from({ length: count }, (_, i) => io.read(device, block + i)));
  if (tags === 'queued') return 'queued';
  return tags.includes(UNREADABLE) ? 'failed' : tags;
}
