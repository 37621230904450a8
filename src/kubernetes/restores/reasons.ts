// Every reason that the status of a VolumeRestore can name, with what it means for the object. docs/volume-restore.md says of
// each what to do.

/** Not begun, and may still begin by itself. */
export type WaitReason =
  /** The node has been asked; until it has answered, nothing is known. */
  | 'Beginning'
  | 'ClaimNotFound'
  | 'ClaimNotBound'
  | 'SnapshotNotFound'
  | 'SnapshotNotReady'
  /** The volume's pool does not answer now. */
  | 'PoolUnavailable'
  /** The volume's pool is none of the node's. */
  | 'PoolMissing'
  /** What the node answered is no state of the restore: its records contradict each other, or a command failed. */
  | 'NodeError'
  /** The node that held the volume is no longer part of the cluster. */
  | 'NodeGone'
  /** Pods use the volume, or in the mode NameSnapshot its origin. */
  | 'VolumeInUse'
  /** An earlier VolumeRestore of the same claim has not begun yet. */
  | 'AnotherRestore'
  /** The state of the volume forbids it now; the message says what stands in the way. */
  | 'Blocked'
  | 'NoRoom'
  /** Noted on the node: begins when another merge of the same storage is over. */
  | 'Queued'
  /** Noted on the node: begins when the volume is next staged. */
  | 'WaitsForActivation';

/** The volume shows the snapshot's contents. */
export type MergeReason =
  | 'Merging'
  /** The kernel or the node's records do not let it go on; it does when the cause is gone. */
  | 'MergeStuck';

/** It will not be done. */
export type FailReason =
  | 'WrongDriver'
  | 'WrongSnapshot'
  | 'SnapshotGone'
  | 'VolumeGone'
  | 'ScratchVolume'
  | 'NotAFork'
  /** What would be given up belongs to a claim of another namespace. */
  | 'OtherNamespace'
  /** The claim has been bound to another volume since the node was asked. */
  | 'ClaimChanged'
  | 'TimedOut'
  | 'Cancelled'
  /** Another restore of the volume has been done since this one was asked for. */
  | 'Superseded';

export type Reason = WaitReason | MergeReason | FailReason | 'Merged';

/** What keeps a restore from beginning, found before the node is asked. */
export type Problem = Wait | Failure;

export interface Wait {
  readonly final: false;
  readonly reason: WaitReason;
  readonly message: string;
}

export interface Failure {
  readonly final: true;
  readonly reason: FailReason;
  readonly message: string;
}

export function waits(reason: WaitReason, message: string): Wait {
  return { final: false, reason, message };
}

export function fails(reason: FailReason, message: string): Failure {
  return { final: true, reason, message };
}
