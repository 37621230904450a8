// What has become of a restore -> the status that its object shows. Pure; nothing is decided here.

import type { Restore } from '../../engine/engine.ts';
import { unreachable } from '../../vocabulary/errors.ts';
import type { Condition, Status, VolumeRestore } from '../api/objects.ts';
import { timeText } from '../api/objects.ts';
import type { FailReason, MergeReason, Reason, WaitReason } from './reasons.ts';

export type Outcome =
  /** Of one that has begun: nobody can tell how far it is; it stays in the phase Merging. */
  | {
      readonly phase: 'Waiting';
      readonly reason: WaitReason;
      readonly message: string;
      /** Who holds the volume: `name`, or `namespace/name` where that is another one. */
      readonly pods?: readonly string[];
    }
  | {
      readonly phase: 'Merging';
      readonly reason: MergeReason;
      readonly message: string;
      readonly restore: Restore;
    }
  /** Without a restore: it is known to have begun, and the node keeps no record of it any more. */
  | { readonly phase: 'Succeeded'; readonly message: string; readonly restore: Restore | undefined }
  | { readonly phase: 'Failed'; readonly reason: FailReason; readonly message: string };

/** What stays once it is known. */
export interface Facts {
  readonly node?: string;
  readonly restoreID?: string;
  readonly originClaimName?: string;
  readonly askedTime?: string;
}

const MAX_PODS = 20;
const MAX_MESSAGE = 2000;

export function statusOf(object: VolumeRestore, outcome: Outcome, facts: Facts, nowMs: number): Status {
  const { status: before, metadata } = object;
  const now = timeText(nowMs);
  const reason: Reason = outcome.phase === 'Succeeded' ? 'Merged' : outcome.reason;
  const message = outcome.message.slice(0, MAX_MESSAGE);
  const { startTime = now, node, restoreID, askedTime, beganTime, totalBytes, remainingBytes, progress } = before;
  const { safetySnapshotName, originClaimName } = before;
  const pods = outcome.phase === 'Waiting' ? (outcome.pods ?? []).slice(0, MAX_PODS) : [];
  return {
    observedGeneration: metadata.generation,
    phase: outcome.phase === 'Waiting' && hasBegun(object) ? 'Merging' : outcome.phase,
    reason,
    message,
    startTime,
    ...defined({ node, restoreID, askedTime, beganTime, totalBytes, remainingBytes, progress }),
    ...defined({ safetySnapshotName, originClaimName }),
    ...facts,
    ...progressOf(outcome, now),
    ...(pods.length === 0 ? {} : { blockingPods: [...pods] }),
    conditions: conditionsOf(before.conditions ?? [], outcome, { reason, message }, metadata.generation, now),
  };
}

/** Leaves out what is undefined. */
function defined<T extends object>(values: T): Partial<T> {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  const known: Partial<T> = {};
  return Object.assign(known, Object.fromEntries(entries));
}

function progressOf(outcome: Outcome, now: string): Partial<Status> {
  switch (outcome.phase) {
    case 'Waiting':
      return {};
    case 'Failed':
      return { completionTime: now };
    case 'Merging': {
      const { totalBytes, remainingBytes, startedMs } = outcome.restore;
      return {
        progress: percent(totalBytes, remainingBytes),
        totalBytes: Number(totalBytes),
        remainingBytes: Number(remainingBytes),
        beganTime: timeText(startedMs),
      };
    }
    case 'Succeeded': {
      const { restore } = outcome;
      const ended = { progress: '100%', remainingBytes: 0 };
      if (restore === undefined) return { ...ended, completionTime: now };
      return {
        ...ended,
        totalBytes: Number(restore.totalBytes),
        beganTime: timeText(restore.startedMs),
        completionTime: restore.endedMs === undefined ? now : timeText(restore.endedMs),
      };
    }
    default:
      return unreachable(outcome);
  }
}

/** Rounded down: 100% is said when nothing is left. */
export function percent(total: bigint, remaining: bigint): string {
  if (total <= 0n) return remaining <= 0n ? '100%' : '0%';
  const moved = total > remaining ? total - remaining : 0n;
  return `${(moved * 100n) / total}%`;
}

/** Begun and Complete are always there; Failed only where it is true, as a Job has it. */
function conditionsOf(
  before: readonly Condition[],
  { phase }: Outcome,
  { reason, message }: { readonly reason: Reason; readonly message: string },
  observedGeneration: number,
  now: string,
): Condition[] {
  const make = (type: string, isTrue: boolean, reason: string): Condition => {
    const status = isTrue ? 'True' : 'False';
    const known = before.find((one) => one.type === type);
    const lastTransitionTime = known?.status === status ? known.lastTransitionTime : now;
    return { type, status, reason, message, lastTransitionTime, observedGeneration };
  };
  const kept = before.find(({ type, status }) => type === 'Begun' && status === 'True');
  const hasBegun = phase === 'Merging' || phase === 'Succeeded';
  const begun = hasBegun ? make('Begun', true, 'Begun') : (kept ?? make('Begun', false, reason));
  const complete = make('Complete', phase === 'Succeeded', reason);
  return phase === 'Failed' ? [begun, complete, make('Failed', true, reason)] : [begun, complete];
}

export function hasBegun({ status }: Pick<VolumeRestore, 'status'>): boolean {
  return (status.conditions ?? []).some(({ type, status }) => type === 'Begun' && status === 'True');
}

/** Nothing more will happen to it. */
export function isOver({ status: { phase } }: Pick<VolumeRestore, 'status'>): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}
