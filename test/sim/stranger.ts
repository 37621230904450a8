// The other programs of the node: they open any device they find, read a little and close it again. Whoever's read waits has
// the device open until it is answered, and nothing else ends that.

import type { DeviceKey, StoreName } from '../../src/vocabulary/ids.ts';
import { isDeviceKey } from '../../src/vocabulary/ids.ts';
import { Stuck, refuse } from './errors.ts';
import type { Io } from './io.ts';
import type { Device, Machine, QueuedRead } from './machine.ts';

export interface Stranger {
  /** Opens the device, reads one block of 4 KiB, and closes it; false when it waits in that. */
  readonly look: (device: DeviceKey, block: number) => boolean;
  /** Has a device, or a store's own, open until it closes it. */
  readonly open: (held: DeviceKey | StoreName) => void;
  readonly close: (held: DeviceKey | StoreName) => void;
  /** How many wait. */
  readonly waiting: () => number;
}

export function createStranger(m: Machine, io: Io): Stranger {
  return {
    look: (key, block) => {
      const device = m.devices.get(key) ?? refuse(`Cannot open ${key}: no such device`);
      const read: QueuedRead = { device: key, block, path: [] };
      if (isAnswered(m, io, device, read)) return true;
      device.openers += 1;
      m.readers.push(read);
      return false;
    },
    open: (held) => void (find(m, held).openers += 1),
    close: (held) => void (find(m, held).openers -= 1),
    waiting: () => m.readers.length,
  };
}

function find(m: Machine, held: DeviceKey | StoreName): Pick<Device, 'openers'> {
  return (
    (isDeviceKey(held) ? m.devices.get(held) : m.stores.get(held)) ?? refuse(`Cannot open ${held}: no such device`)
  );
}

/** Those who are answered close the device. */
export function retryReaders(m: Machine, io: Io): void {
  m.readers = m.readers.filter((read) => {
    const device = m.devices.get(read.device);
    if (device === undefined) return false;
    if (!isAnswered(m, io, device, read)) return true;
    device.openers -= 1;
    return false;
  });
}

function isAnswered(m: Machine, io: Io, device: Device, read: QueuedRead): boolean {
  m.stack.length = 0;
  try {
    io.read(device, read.block);
    return true;
  } catch (error) {
    if (!(error instanceof Stuck)) throw error;
    read.path = error.path;
    return false;
  }
}
