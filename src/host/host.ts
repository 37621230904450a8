// The port to the rest of the node that the engine needs: zeroing parts of a store, and what a store says of itself.
// Everything about file systems and mounts belongs to src/node. No effects in this file.

import type { StoreName } from '../vocabulary/ids.ts';
import type { Bytes } from '../vocabulary/units.ts';

export interface Host {
  /**
   * Makes `length` bytes of an active store from `offset` read back as zeroes, durable when it returns: by the disk's
   * own zeroing where it has one, by writing otherwise. `progress` gets the bytes done so far.
   */
  readonly zero: (store: StoreName, offset: Bytes, length: Bytes, progress?: (done: Bytes) => void) => Promise<void>;
  /**
   * Bytes from the beginning of an active store, which nothing writes now, to the end of the last exception or area that its
   * metadata has in chunks of `chunk` bytes, from area `area` on; 0 when nothing is listed there, undefined when that is no metadata.
   */
  readonly exceptionsEnd: (store: StoreName, chunk: Bytes, area: bigint) => Promise<Bytes | undefined>;
  /** Who has a dm device (`253:7`) open, in words; empty where nobody is in sight. */
  readonly holders: (majorMinor: string) => Promise<readonly string[]>;
}
