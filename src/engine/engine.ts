// The use cases of one pool, as an interface: what the CSI services, the restore service and the command line call. All
// sizes are bytes, all times are Unix milliseconds. Types only; src/engine/compose.ts is the form that works.

import type { EntityId, PoolName, SnapshotId, StoreName, VgUuid, VolumeId } from '../vocabulary/ids.ts';
import type { Look } from '../inspect/pool.ts';
import type { RestoreMode } from '../records/record.ts';
import type { Layout, VolumeParameters, VolumeSource } from '../vocabulary/parameters.ts';
import type { Bytes } from '../vocabulary/units.ts';

export type { Layout, RestoreMode, VolumeParameters, VolumeSource };

export interface CreateVolume {
  /** The CSI name: 1 to 128 characters, any characters. Idempotent by it. */
  readonly name: string;
  readonly requiredBytes: Bytes;
  /** Undefined: no limit. */
  readonly limitBytes: Bytes | undefined;
  readonly parameters: VolumeParameters;
  readonly source: VolumeSource | undefined;
}

export type Health =
  | { readonly state: 'healthy' }
  /** It can be read and written, and not all is well: a half of a raid1 is gone, writers wait, what was decided is not shown. */
  | { readonly state: 'degraded'; readonly reason: string }
  /** Some of it cannot be read now: a disk does not answer. Nothing says that it is lost. */
  | { readonly state: 'inaccessible'; readonly reason: string }
  /** Some of its contents are gone for good. */
  | { readonly state: 'lost'; readonly reason: string };

export interface Volume {
  readonly id: VolumeId;
  /** Undefined where the name could not be kept as text (it is then known by its hash). */
  readonly name: string | undefined;
  readonly size: Bytes;
  readonly createdMs: number;
  readonly parameters: VolumeParameters;
  /** What it was made from, also when that is gone. */
  readonly source: VolumeSource | undefined;
  /** Its top device is there. */
  readonly active: boolean;
  readonly health: Health;
}

export interface Snapshot {
  readonly id: SnapshotId;
  readonly name: string | undefined;
  readonly volume: VolumeId;
  readonly size: Bytes;
  readonly createdMs: number;
  /** Its store ran full where that was to drop it: its contents are gone. */
  readonly lost: boolean;
  /** Recorded, and not taken yet: its moment is still to come, or is not written down. */
  readonly pending: boolean;
}

export interface StartRestore {
  /** In mode `snapshot` the fork that is to be promoted. */
  readonly volume: VolumeId;
  /** Undefined in mode `snapshot`: what it was made from, also where that is a clone's hidden snapshot. */
  readonly snapshot: SnapshotId | undefined;
  readonly mode: RestoreMode;
  readonly keepSnapshot: boolean;
  /** Take a snapshot of this name of the volume as it is, just before; not in mode `snapshot`, in which it stays as it is. */
  readonly safetySnapshotName: string | undefined;
  /** In place of a restore of the volume that has not begun. */
  readonly replace: boolean;
  /** Ten characters, the restore's id after `r-`: asked again with the same, it is not done again. Undefined: drawn. */
  readonly token: string | undefined;
}

/** `waiting`: noted, not begun, and nothing of the volume has changed yet. */
export type RestorePhase = 'waiting' | 'merging' | 'done' | 'failed';

export interface Restore {
  /** `r-` and ten characters; the one that StartRestore returned. */
  readonly id: string;
  readonly volume: VolumeId;
  readonly snapshot: SnapshotId;
  readonly mode: RestoreMode;
  readonly phase: RestorePhase;
  readonly keepSnapshot: boolean;
  readonly safetySnapshot: SnapshotId | undefined;
  /** Bytes that were to be moved when it began, and those still to be moved now. */
  readonly totalBytes: Bytes;
  readonly remainingBytes: Bytes;
  /** Chunks still to be moved, over all stores; undefined when the kernel has not been asked. */
  readonly remainingChunks: number | undefined;
  /** How fast it gets on, from the last seconds; undefined until that is known. */
  readonly bytesPerSecond: number | undefined;
  /** When it began; of a waiting one, when it was asked for. */
  readonly startedMs: number;
  readonly endedMs: number | undefined;
  /** What went wrong, or why it waits. */
  readonly message: string;
}

export interface Capacity {
  readonly available: Bytes;
  readonly maximumVolume: Bytes;
  readonly minimumVolume: Bytes;
}

export interface ActiveVolume {
  /** The top device: `/dev/dm-N`. */
  readonly path: string;
  readonly majorMinor: string;
  readonly size: Bytes;
}

/** A volume whose writers wait for room, or have just been let go on. */
export interface WaitingVolume {
  readonly volume: EntityId;
  /** The store that is full: the volume's own, or one that takes what it overwrites. */
  readonly store: StoreName;
  /** Bytes that the pool would have to have free. */
  readonly missingBytes: Bytes;
  readonly sinceMs: number;
}

export interface PoolHealth {
  readonly ready: boolean;
  /** LVM and the kernel answer: where that is true and it is not ready, disks of the group are missing. */
  readonly reachable: boolean;
  /** What does not answer, and what to do; empty when ready. */
  readonly problems: readonly string[];
}

/** One pool's engine. Errors are SnapmergeError. Every changing call runs to its end whether or not the caller waits. */
export interface Engine {
  readonly pool: PoolName;
  readonly vg: VgUuid;

  readonly createVolume: (request: CreateVolume) => Promise<Volume>;
  /** A volume that is not there is no error; one whose top device is in use is `precondition`. */
  readonly deleteVolume: (id: VolumeId) => Promise<void>;
  /** One of a family that cannot be trusted is a `contradiction`: it is there, and nothing can be said of it. */
  readonly getVolume: (id: VolumeId) => Promise<Volume | undefined>;
  /** The volume of this CSI name, also where the name is known only by its hash; deleted ones are left out. */
  readonly findVolume: (name: string) => Promise<Volume | undefined>;
  /** By creation time, then id; deleted ones are left out. */
  readonly listVolumes: () => Promise<readonly Volume[]>;
  /** Grows to at least `requiredBytes` (at most `limitBytes`) and returns the new size. */
  readonly expandVolume: (id: VolumeId, requiredBytes: Bytes, limitBytes: Bytes | undefined) => Promise<Bytes>;
  readonly capacity: (layout: Layout) => Promise<Capacity>;

  /** Idempotent by name; the same name for another volume is `exists`. */
  readonly createSnapshot: (volume: VolumeId, name: string) => Promise<Snapshot>;
  readonly deleteSnapshot: (id: SnapshotId) => Promise<void>;
  readonly getSnapshot: (id: SnapshotId) => Promise<Snapshot | undefined>;
  /** The snapshot of this CSI name, of any volume of this pool; deleted ones are left out. */
  readonly findSnapshot: (name: string) => Promise<Snapshot | undefined>;
  readonly listSnapshots: () => Promise<readonly Snapshot[]>;

  /**
   * Runs `work`, which activates the volume and acts on what it finds there, or hands its device out: no restore of the volume
   * begins meanwhile, but one that waited for that. `precondition` while a restore is being set up.
   */
  readonly stage: <T>(id: VolumeId, work: () => Promise<T>) => Promise<T>;
  /** Makes the volume's top device and all it reads through appear; idempotent. `precondition` while a restore is being set up. */
  readonly activate: (id: VolumeId) => Promise<ActiveVolume>;
  /** The active volume, or undefined when it is not active. */
  readonly active: (id: VolumeId) => Promise<ActiveVolume | undefined>;
  /** Takes away the top device and whatever nothing else needs; `precondition` while it is open. */
  readonly deactivate: (id: VolumeId) => Promise<void>;

  /**
   * Begins at once where it can. Where a merge of the same storage has to end first, and in mode `onactivate`, it is noted
   * and begins later (phase `waiting`); until then the volume cannot be staged, or is as it was.
   */
  readonly startRestore: (request: StartRestore) => Promise<Restore>;
  readonly getRestore: (id: string) => Promise<Restore | undefined>;
  readonly listRestores: () => Promise<readonly Restore[]>;
  /** Progress until the end (phase done or failed), at least one item; ends early when `signal` fires. */
  readonly watchRestore: (id: string, signal: AbortSignal) => AsyncIterable<Restore>;
  /** Only a restore that has not begun can be cancelled; otherwise `precondition`. */
  readonly cancelRestore: (id: string) => Promise<void>;

  readonly health: () => Promise<PoolHealth>;
  /** LVM and the kernel read anew. Waits for no operation. */
  readonly inspect: () => Promise<Look>;
  /** Volumes whose writers wait for room in the pool, now. */
  readonly waiting: () => Promise<readonly WaitingVolume[]>;
  /** Read, derive, converge, sweep, resume merges, start the monitor. */
  readonly start: () => Promise<void>;
  /** Lets changes under way finish and stops watching; leaves all devices as they are. */
  readonly stop: () => Promise<void>;
}

/** All pools of this node by name. */
export type Engines = ReadonlyMap<PoolName, Engine>;
