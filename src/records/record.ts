// What the tags of one store say, as a value: which entity (volume or snapshot) lives here, where the store's image hangs
// in the tree, and the few marks that change. Types only; tags.ts is the text, dm/family.ts makes the tree.

import type { SnapshotId, StoreName, VolumeId } from '../vocabulary/ids.ts';
import type { VolumeParameters, VolumeSource } from '../vocabulary/parameters.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { maxBytes } from '../vocabulary/units.ts';

/** Where a store's image gets what it does not hold itself. */
export type Place =
  /** Nowhere: a data store holds everything. */
  | { readonly kind: 'root' }
  /**
   * In the chain of a volume's snapshots: over the member with the next higher number, and the highest over the view of
   * the volume (or of what took the volume's place). Numbers may be negative: a promoted fork's snapshot is its oldest.
   */
  | { readonly kind: 'chain'; readonly volume: VolumeId; readonly seq: number }
  /** Over the view of one snapshot. */
  | { readonly kind: 'fork'; readonly snapshot: SnapshotId };

/** A CSI name as text where LVM allows all its characters, by its SHA-256 otherwise. */
export type Name = { readonly as: 'text'; readonly text: string } | { readonly as: 'hash'; readonly hash: string };

interface EntityFacts {
  readonly name: Name;
  readonly size: Bytes;
  readonly createdMs: number;
  /** A snapshot carries its volume's. */
  readonly parameters: VolumeParameters;
}

export type Entity =
  | (EntityFacts & { readonly kind: 'volume'; readonly id: VolumeId; readonly source: VolumeSource | undefined })
  | (EntityFacts & { readonly kind: 'snapshot'; readonly id: SnapshotId; readonly volume: VolumeId });

/**
 * How a volume is rolled back: `origin` keeps the volume's name and takes the snapshot's contents, now; `onactivate` the
 * same, when the volume is next staged; `snapshot` keeps the fork's name and contents, and takes its origin's storage.
 */
export type RestoreMode = 'origin' | 'snapshot' | 'onactivate';

/** A restore that has been asked for and has not begun: written on the volume's home store. */
export interface RestoreWish {
  readonly token: string;
  readonly mode: RestoreMode;
  readonly snapshot: SnapshotId;
  readonly keepSnapshot: boolean;
  /** Any characters; the snapshot does not exist yet. */
  readonly safetySnapshotName: string | undefined;
  readonly askedMs: number;
}

/**
 * A restore that has been decided: written on the volume's home store, and by being there it makes the stores that carry
 * `pending` with its token count.
 */
export interface RestoreMark {
  readonly token: string;
  readonly mode: RestoreMode;
  readonly snapshot: SnapshotId;
  /** Promote: the home of the origin, which is given up; all is merged into its image. Undefined: the volume's own. */
  readonly into: StoreName | undefined;
  /**
   * Stores to merge, the lowest (first merged into the base) first; the last one is the restored snapshot's, or the
   * promoted fork's own.
   */
  readonly stack: readonly StoreName[];
  /** Bytes of the image that is merged: the volume's size when it began. */
  readonly size: Bytes;
  readonly keepSnapshot: boolean;
  readonly safetySnapshot: SnapshotId | undefined;
  readonly totalBytes: Bytes;
  readonly startedMs: number;
}

/** The last restore that ended, for those who ask later. */
export interface RestoredMark {
  readonly token: string;
  readonly mode: RestoreMode;
  readonly snapshot: SnapshotId;
  readonly keepSnapshot: boolean;
  readonly safetySnapshot: SnapshotId | undefined;
  readonly totalBytes: Bytes;
  readonly startedMs: number;
  readonly endedMs: number;
}

export interface StoreRecord {
  readonly store: StoreName;
  /** The volume that the family began with; it stays the family's name when that volume is gone. */
  readonly family: VolumeId;
  /** Of the stores that name one entity, the one with the highest generation is its home. */
  readonly generation: number;
  readonly entity: Entity;
  readonly place: Place;
  /** Chunk of a cow store; undefined for a data store. */
  readonly chunk: Bytes | undefined;
  /**
   * How much of what it hangs on shows through, in bytes: a fork that was made larger, or grew, shows zeroes from there,
   * whatever its parent has there now. Undefined for a data store.
   */
  readonly window: Bytes | undefined;
  /**
   * Bytes that the image shows, where that is more than the entity's size: a snapshot kept by a restore of a volume that
   * had grown since, through which newer and larger snapshots read; an origin that a larger fork is about to take over.
   */
  readonly image: Bytes | undefined;
  /** Volumes that are gone and whose chain now hangs on this image. */
  readonly anchors: readonly VolumeId[];
  /** Not decided: counts only when a decided store carries this token in its restore mark or in `decides`. */
  readonly pending: string | undefined;
  /** The token of other stores that count because this one does: a clone's hidden snapshot. */
  readonly decides: string | undefined;
  /** While the restore of this token runs, the image hangs on that level of the restored volume instead of its place. */
  readonly level: { readonly token: string; readonly index: number } | undefined;
  readonly deleted: boolean;
  /** All that it held has been merged away: it is nobody's home any more, and is to be removed. */
  readonly merged: boolean;
  /**
   * The kernel found that it lacks exceptions: a disk had failed, or it was full. It may look whole again once the disk
   * answers, and would show what its image never was.
   */
  readonly lost: boolean;
  /** Being merged into the store named here, which belongs to the parent; the parent's place is taken at the end. */
  readonly merging: StoreName | undefined;
  readonly wish: RestoreWish | undefined;
  readonly restore: RestoreMark | undefined;
  readonly restored: RestoredMark | undefined;
}

/** What nothing has happened to yet: the rest of a record that has just been made. */
export const UNMARKED = {
  generation: 1,
  image: undefined,
  anchors: [],
  pending: undefined,
  decides: undefined,
  level: undefined,
  deleted: false,
  merged: false,
  lost: false,
  merging: undefined,
  wish: undefined,
  restore: undefined,
  restored: undefined,
} as const;

/** How long the device that shows a record's image is. */
export function imageSize({ image, entity }: StoreRecord): Bytes {
  return image === undefined ? entity.size : maxBytes(image, entity.size);
}

/** A transient store that was lost is made anew with its device. */
export function isLost({ lost, entity }: StoreRecord): boolean {
  return lost && !(entity.kind === 'volume' && entity.parameters.scratch);
}
