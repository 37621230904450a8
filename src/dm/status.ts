// What the kernel says of a running snapshot or merge, as a union: numbers, or one of the words that mean trouble. Pure.

import type { Sectors } from '../vocabulary/units.ts';

export type SnapshotStatus =
  /**
   * Sectors of the store in use, of its total, and of those the ones for metadata. A snapshot-merge is finished when
   * used equals metadata.
   */
  | { readonly state: 'counts'; readonly used: Sectors; readonly total: Sectors; readonly metadata: Sectors }
  | { readonly state: 'invalid' }
  | { readonly state: 'overflow' }
  | { readonly state: 'merge-failed' }
  | { readonly state: 'unknown' };

export function mergeFinished(status: SnapshotStatus): boolean {
  return status.state === 'counts' && status.used === status.metadata;
}

/** The words that the kernel prints instead of numbers (drivers/md/dm-snap.c, snapshot_status). */
export const STATUS_WORDS: ReadonlyMap<string, 'invalid' | 'overflow' | 'merge-failed' | 'unknown'> = new Map([
  ['Invalid', 'invalid'],
  ['Overflow', 'overflow'],
  ['Merge failed', 'merge-failed'],
  ['Unknown', 'unknown'],
]);
