// What a crash test needs of a node, simulated or real: the ports as the driver has them, a user whose writes are flushed
// when he says so, and merges that can be waited for.

import type { Kernel } from '../../src/dm/kernel.ts';
import type { DeviceKey } from '../../src/vocabulary/ids.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';

export interface CrashRig {
  readonly kernel: Kernel;
  readonly lvm: Lvm;
  /** Every block of these devices. */
  readonly read: (devices: readonly DeviceKey[]) => Promise<ReadonlyMap<DeviceKey, readonly number[]>>;
  /** One write, however many blocks: acknowledged when done, durable when flushed. */
  readonly write: (device: DeviceKey, at: number, tags: readonly number[]) => Promise<void>;
  readonly flush: (device: DeviceKey) => Promise<void>;
  /** Running merges move so many chunks, more or less; undefined: all that they have. */
  readonly merge: (chunks: number | undefined) => Promise<void>;
  /** What the driver has changed so far, as a number that only grows. */
  readonly effects: () => number;
  /** What is wrong by itself, whatever the images show: one line each. */
  readonly notices: () => Promise<readonly string[]>;
}
