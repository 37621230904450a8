// The port to LVM, for one pool (volume group): one report for all state, and changes that are one metadata commit each.
// Two forms: the lvm commands, and the simulation in test/sim. No effects in this file.

import type { StoreName, VgUuid } from '../vocabulary/ids.ts';
import type { Layout } from '../vocabulary/parameters.ts';
import type { Bytes } from '../vocabulary/units.ts';

export type { Layout };

/** A logical volume that carries our tag, decided or not. */
export interface StoreReport {
  readonly store: StoreName;
  readonly tags: readonly string[];
  readonly size: Bytes;
  readonly active: boolean;
  readonly layout: Layout;
  /** A disk under it is missing or has failed. */
  readonly damaged: boolean;
  /** Why nothing that its tags say can be relied on: somebody has made another thing of it. */
  readonly trouble?: string;
}

export interface PhysicalVolume {
  readonly path: string;
  readonly size: Bytes;
  readonly free: Bytes;
  readonly missing: boolean;
  /** LVM puts nothing more on it: an administrator has said so. */
  readonly closed: boolean;
}

/** LVM takes extents of it. */
export function isOpen({ missing, closed }: Pick<PhysicalVolume, 'missing' | 'closed'>): boolean {
  return !missing && !closed;
}

/** Of a group that LVM lets nobody use, with what helps. */
export function exportedReason(vgName: string): string {
  return `it is exported; take it back: vgimport ${vgName}`;
}

export interface PoolReport {
  readonly vgName: string;
  readonly vgUuid: VgUuid;
  readonly extent: Bytes;
  readonly size: Bytes;
  readonly free: Bytes;
  /** LVM's count of metadata commits. */
  readonly seqno: number;
  readonly metadataSize: Bytes;
  readonly metadataFree: Bytes;
  readonly physicalVolumes: readonly PhysicalVolume[];
  readonly stores: readonly StoreReport[];
  /** Logical volumes in the group that are not ours: counted, never touched. */
  readonly strangers: number;
}

/** Errors are SnapmergeError: `unavailable` when LVM or the group does not answer, `exhausted` without room, `internal` otherwise. */
export interface Lvm {
  readonly report: () => Promise<PoolReport>;
  /** A text that is another one after each commit of whomever, much cheaper than a report; undefined when it cannot be told. */
  readonly stamp: () => Promise<string | undefined>;
  /** Makes an active store that LVM never activates by itself (`--setautoactivation n`); contents undefined. */
  readonly create: (store: StoreName, size: Bytes, layout: Layout, tags: readonly string[]) => Promise<void>;
  /** One commit. The store must not be in use. A store that is not there any more is no error. */
  readonly remove: (store: StoreName) => Promise<void>;
  /** Grows to `size`; already that large is no error. */
  readonly extend: (store: StoreName, size: Bytes) => Promise<void>;
  /** Shrinks to `size`, also while active and in use; already that small is no error. */
  readonly shrink: (store: StoreName, size: Bytes) => Promise<void>;
  /** Adds and removes tags of one store in one commit. */
  readonly retag: (store: StoreName, add: readonly string[], remove: readonly string[]) => Promise<void>;
  /** What keeps commands of LVM waiting, in words; undefined where that cannot be told. Not there: it never can. */
  readonly waitsFor?: () => Promise<string | undefined>;
  /** Makes commits so far durable: a cache flush of every disk of the pool. */
  readonly flush: () => Promise<void>;
}
