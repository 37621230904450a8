// What a StorageClass fixes for a volume and what a volume can be made from: vocabulary of requests and of records alike.
// Pure.

import type { SnapshotId, VolumeId } from './ids.ts';
import type { Bytes } from './units.ts';

export type Layout = 'linear' | 'striped' | 'raid1';

export type OnFull = 'wait' | 'drop';

/** What holds for a volume and for the snapshots that come of it. */
export interface VolumeParameters {
  readonly layout: Layout;
  readonly chunk: Bytes;
  /** Room given to a new snapshot or fork store at first, as a share of the volume's size in percent (1 to 100). */
  readonly snapshotReservePercent: number;
  readonly onFull: OnFull;
  /** Forks with a transient store: fresh again after every reboot. Only for a volume made from a snapshot or volume. */
  readonly scratch: boolean;
}

/** The first in which two differ. */
export function differing(a: VolumeParameters, b: VolumeParameters): keyof VolumeParameters | undefined {
  const keys = ['layout', 'chunk', 'snapshotReservePercent', 'onFull', 'scratch'] as const;
  return keys.find((key) => a[key] !== b[key]);
}

export type VolumeSource =
  { readonly from: 'snapshot'; readonly snapshot: SnapshotId } | { readonly from: 'volume'; readonly volume: VolumeId };
