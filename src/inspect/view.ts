// What there is to see of a node's pools, as values: made from records and devices (pool.ts), carried over the socket
// (wire.ts), printed by the command line. All sizes are bytes, all times Unix milliseconds. Types and their names only.

import type { EntityId, PoolName, SnapshotId, StoreName, VgUuid, VolumeId } from '../vocabulary/ids.ts';
import type { Layout } from '../vocabulary/parameters.ts';
import type { Name, RestoreMode } from '../records/record.ts';
import type { Bytes } from '../vocabulary/units.ts';

/** A fork is a volume that hangs on a snapshot. */
export type ImageKind = 'volume' | 'fork' | 'snapshot';

/** What the kernel says of the exceptions of an image, or said once: `sound` also where it holds none now. */
export type ImageState = 'sound' | 'invalid' | 'overflow' | 'merge-failed' | 'unknown';

export interface TopView {
  /** `/dev/dm-N` */
  readonly path: string;
  /** Mounts and processes that have it open. */
  readonly openers: number;
}

export type MergeKind = 'restore' | 'promotion' | 'absorption';

export interface MergeView {
  /**
   * A restore rolls this image back to `with`; with a promotion the fork takes over its origin `with`, with an absorption
   * the ghost `with`.
   */
  readonly kind: MergeKind;
  readonly with: EntityId;
  /** `r-` and ten characters; undefined for an absorption. */
  readonly restore: string | undefined;
  /** Bytes that were to be moved when it began; undefined where nobody counted. */
  readonly total: Bytes | undefined;
  /** Bytes still to be moved; undefined while it is not in the kernel. */
  readonly left: Bytes | undefined;
}

/** A restore that has been asked for and has not begun. */
export interface WishView {
  /** `r-` and ten characters. */
  readonly restore: string;
  readonly mode: RestoreMode;
  readonly snapshot: SnapshotId;
  /** What it waited for when it was last looked at; empty when nobody knows. */
  readonly reason: string;
}

/** A store that has no room left, and cannot be extended: writers wait. */
export interface FullView {
  /** Whose writes wait: the image itself, or the volume that feeds it. */
  readonly writer: EntityId;
  /** Bytes of extents that the pool would have to have free. */
  readonly missing: Bytes;
}

export interface ImageView {
  readonly id: EntityId;
  readonly name: Name;
  readonly kind: ImageKind;
  /** Deleted by its user, still read through. */
  readonly ghost: boolean;
  /** Its changes do not outlive its staging. */
  readonly scratch: boolean;
  readonly size: Bytes;
  readonly createdMs: number;
  /** What it reads through; undefined for a data store. */
  readonly parent: EntityId | undefined;
  /** What a volume was made from, also when that is gone; a snapshot's volume. */
  readonly source: EntityId | undefined;
  readonly layout: Layout;
  /** Undefined for a data store. */
  readonly chunk: Bytes | undefined;
  readonly store: StoreName;
  readonly storeSize: Bytes;
  /** Bytes of its store that hold something: all of a data store; undefined where nobody has counted. */
  readonly used: Bytes | undefined;
  /** Devices on top of each other that show it, or would if it were shown; of a volume, up to what is mounted. */
  readonly depth: number;
  /** Its view is in the kernel. Otherwise it is dormant. */
  readonly shown: boolean;
  /** Takes what is overwritten below it, now or when that is written again. */
  readonly fed: boolean;
  /** The device of a volume that is staged. */
  readonly top: TopView | undefined;
  readonly state: ImageState;
  /** A disk under its store is missing or has failed. */
  readonly damaged: boolean;
  readonly merge: MergeView | undefined;
  readonly wish: WishView | undefined;
  readonly full: FullView | undefined;
}

export type FindingKind =
  /** A device shows something else than the records say, or is not there. */
  | 'table'
  /** A device's table is right, and its state is not: suspended, an inactive table, read-only. */
  | 'state'
  /** Law 4: a volume can be written, and what its writes feed is not there. */
  | 'not-fed'
  /** The kernel calls a store invalid, or its merge failed. */
  | 'lost'
  /** A store is too short, or a disk under it is missing. */
  | 'store'
  /** Devices and stores that nothing needs. */
  | 'left-over'
  /** Two live devices hold one store's exceptions. */
  | 'law'
  /** More devices lie on top of each other than a kernel is sure to bear. */
  | 'depth';

export interface Finding {
  readonly kind: FindingKind;
  /** The device key, store or id that it is about. */
  readonly subject: string;
  readonly message: string;
}

export interface FamilyView {
  /** The volume that it began with, also when that is gone. */
  readonly id: VolumeId;
  /** Parents before those that read through them. */
  readonly images: readonly ImageView[];
  /** Bytes of all its stores, copies of a raid1 not counted twice. */
  readonly stored: Bytes;
  /** Why it would not converge; empty when it did. */
  readonly stuck: string;
  /** Something in it waits for room in the pool. */
  readonly waitsForRoom: boolean;
  /** An operation is under way: what differs may be about to be put right. */
  readonly busy: boolean;
  readonly findings: readonly Finding[];
}

/** Stores whose records contradict each other: nothing of them is touched. */
export interface TroubleView {
  /** Undefined when not even the family can be read. */
  readonly family: VolumeId | undefined;
  readonly stores: readonly StoreName[];
  /** Ids of volumes and snapshots, as far as the tags could be read. */
  readonly images: readonly string[];
  readonly reason: string;
}

export interface DiskView {
  readonly path: string;
  readonly size: Bytes;
  readonly free: Bytes;
  readonly missing: boolean;
  /** Nothing more is put on it (`pvchange -xn`). */
  readonly closed: boolean;
}

/** A pool whose LVM and kernel answered. */
export interface PoolContents {
  readonly vgName: string;
  readonly vgUuid: VgUuid;
  readonly size: Bytes;
  readonly free: Bytes;
  /** Of `free`, what new volumes may not take; undefined where nobody knows the configuration. */
  readonly reserve: Bytes | undefined;
  readonly metadataSize: Bytes;
  readonly metadataFree: Bytes;
  readonly disks: readonly DiskView[];
  /** Logical volumes in the group that are not ours. */
  readonly strangers: number;
  readonly families: readonly FamilyView[];
  readonly troubles: readonly TroubleView[];
  /** What belongs to no family. */
  readonly findings: readonly Finding[];
}

export interface PoolView {
  readonly name: PoolName;
  /** Why it does not answer; empty when it does. */
  readonly problem: string;
  /** Undefined when it does not answer. */
  readonly contents: PoolContents | undefined;
}

/** What the driver knows beside LVM and the kernel. Without a driver: see `unattended`. */
export interface Known {
  /** Volumes in use. */
  readonly active: ReadonlySet<VolumeId>;
  /** Images shown although no volume in use reads through them. */
  readonly pinned: ReadonlySet<EntityId>;
  readonly stuck: ReadonlyMap<VolumeId, string>;
  /** Families in which something waits. */
  readonly waiting: ReadonlySet<VolumeId>;
  /** By token: what a restore that has not begun waits for. */
  readonly whyWaiting: ReadonlyMap<string, string>;
  /** Stores for which writers wait. */
  readonly full: ReadonlyMap<StoreName, FullView>;
  /** Whether an operation of this family is under way. */
  readonly busy: (family: VolumeId) => boolean;
  /** Tokens of operations under way: what they prepare is not left over. */
  readonly underWay: ReadonlySet<string>;
  /** Bytes that a store used when its device was last taken away. */
  readonly measured: ReadonlyMap<StoreName, Bytes>;
  readonly reserve: Bytes | undefined;
}

/** For messages and lines: its name where that is known as text, its id otherwise. */
export function labelOf({ name, id }: { readonly name: Name; readonly id: EntityId }): string {
  return name.as === 'text' ? name.text : id;
}

export function isSnapshot(image: ImageView): image is ImageView & { readonly id: SnapshotId } {
  return image.kind === 'snapshot';
}

export interface NodeView {
  /** Of the driver. */
  readonly version: string;
  readonly pools: readonly PoolView[];
}
