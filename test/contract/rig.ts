// What a scenario needs of a node, simulated or real: the three ports, a user who reads and writes blocks, and what can
// happen to a node. Contents are blocks of 4 KiB, each one number (its tag), 0 for zeroes.

import type { Kernel } from '../../src/dm/kernel.ts';
import type { Host } from '../../src/host/host.ts';
import type { DeviceKey, StoreName, VgUuid } from '../../src/vocabulary/ids.ts';
import { isTop } from '../../src/vocabulary/ids.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';

export const BLOCK_BYTES = 4096;

export interface Rig {
  readonly vg: VgUuid;
  readonly kernel: Kernel;
  readonly lvm: Lvm;
  readonly host: Host;
  /** Every block of each of these devices. */
  readonly read: (...devices: readonly DeviceKey[]) => Promise<readonly (readonly number[])[]>;
  /** Writes blocks one by one and makes them durable. */
  readonly write: (device: DeviceKey, blocks: readonly BlockWrite[]) => Promise<void>;
  /** Time for merges to get on a little, but not to their end. */
  readonly pause: () => Promise<void>;
  /** Waits until every merge has moved all it had to. */
  readonly finishMerges: () => Promise<void>;
  /** The driver's process ends without a word. */
  readonly killDriver: () => Promise<void>;
  /** The node loses power and boots again. */
  readonly cutPower: () => Promise<void>;
  readonly strangers: Strangers;
  /** Breaches of the laws that the rig noticed by itself; a write may go past a snapshot that is deleted. */
  readonly notices: (living: ReadonlySet<string>) => readonly string[];
}

/** The other programs of the node. */
export interface Strangers {
  /** While `work` goes on, somebody opens every device but the tops, again and again, reads a little and closes it. */
  readonly lookThroughout: <T>(work: () => Promise<T>) => Promise<T>;
  /** Opens a device, or a store's own, and keeps it open until that is called which it resolves with. */
  readonly hold: (device: DeviceKey | StoreName) => Promise<() => Promise<void>>;
  /** Reads the last block of a device, as a probe does; fails where that waits. */
  readonly readEnd: (device: DeviceKey) => Promise<void>;
}

/** What `lookThroughout` opens: all that is not mounted. */
export function isLookedAt(key: DeviceKey): boolean {
  return !isTop(key);
}

export interface BlockWrite {
  readonly block: number;
  readonly tags: readonly number[];
}
