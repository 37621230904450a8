// What is to be done for one VolumeRestore, from what is seen of it: the object, where its volume lives, and what the node
// knows of the restore. Pure: looking is done in look.ts, doing in round.ts, and each round begins with a new look, so
// whatever was interrupted is found again.

import type { Restore } from '../../engine/engine.ts';
import { unreachable } from '../../vocabulary/errors.ts';
import type { ErrorKind } from '../../vocabulary/errors.ts';
import type { Status, VolumeRestore } from '../api/objects.ts';
import { timeText } from '../api/objects.ts';
import type { Failure, Problem, Wait } from './reasons.ts';
import { fails, waits } from './reasons.ts';
import { hasBegun, isOver, statusOf } from './status.ts';
import type { Facts, Outcome } from './status.ts';

/** Held from before the node is asked until what follows from the beginning is done: nothing is left behind on a node. */
export const FINALIZER = 'snapmerge.io/restore';

/** Where the volume lives, as far as it can be told. */
export type Sight =
  /** Nothing names a node. Every driver sees the same then. */
  | { readonly at: 'unknown'; readonly problem: Problem }
  | { readonly at: 'elsewhere'; readonly node: string; readonly exists: boolean }
  | ({ readonly at: 'here' } & Here);

export interface Here {
  /** The handle of the restore that this object asks for; undefined while the volume's handle is not known. */
  readonly restoreID: string | undefined;
  /** What the node knows under that handle. */
  readonly known: Restore | undefined;
  /** Another restore of the volume has begun since this one was asked for. */
  readonly outdone: boolean;
  /** Why it could not be asked for, or looked for. */
  readonly problem: Problem | undefined;
  /** Pods that use the volume, or the one that is to be given up. */
  readonly pods: readonly string[];
  readonly inUse: boolean;
  /** In the mode NameSnapshot the claim of the origin, if it is in the same namespace. */
  readonly originClaimName: string | undefined;
  /** The name of an earlier VolumeRestore of the same claim that has not begun. */
  readonly before: string | undefined;
}

export interface Refusal {
  readonly kind: ErrorKind;
  readonly message: string;
}

export interface Seen {
  readonly object: VolumeRestore;
  readonly nowMs: number;
  /** The name of this node. */
  readonly node: string;
  readonly sight: Sight;
  /** What the node answered when it was asked to begin, in this round. */
  readonly refusal: Refusal | undefined;
  /** What follows from the beginning has been tried in this round: undefined, not yet. */
  readonly followed: 'done' | 'failed' | undefined;
}

export type Act =
  /** Ask the node to begin. */
  | 'start'
  /** Take back what has not begun. */
  | 'cancel'
  /** It has begun: make the safety snapshot an object, delete what was not to be kept, tell the origin's owner. */
  | 'follow-up';

export interface Decision {
  /** Written first, if it differs from what is there. */
  readonly status: Status | undefined;
  /** Undefined: as it is. Added before the act, taken away when nothing is left to do. */
  readonly finalizer: boolean | undefined;
  readonly act: Act | undefined;
  /** When to look again, without having been told of a change; undefined: not at all. */
  readonly againMs: number | undefined;
}

const NOTHING: Decision = { status: undefined, finalizer: undefined, act: undefined, againMs: undefined };

/** While a person may be looking on, then while nobody is. */
const SOON_MS = 2_000;
const LATER_MS = 5_000;
const FIRST_MINUTE_MS = 60_000;
/** What every driver of the cluster asks after. */
const SHARED_MS = 10_000;
/** What another node works on: only whether that is still there. */
const ELSEWHERE_MS = 300_000;
const LEAVING_MS = 30_000;
const RETRY_FOLLOW_UP_MS = 10_000;

export function decide(seen: Seen): Decision {
  const { object, sight } = seen;
  const isLeaving = object.metadata.deletionTimestamp !== undefined;
  const isHeld = object.metadata.finalizers.includes(FINALIZER);
  if ((isOver(object) || isLeaving) && !isHeld) return NOTHING;
  switch (sight.at) {
    case 'unknown':
      // Held by none, unless somebody has been asked: as when an object comes back from an export, with its finalizer.
      if (isHeld && object.status.askedTime !== undefined) return NOTHING;
      return isLeaving ? { ...NOTHING, finalizer: false } : unlessTooLate(seen, sight.problem, SHARED_MS);
    case 'elsewhere':
      return elsewhere(seen, sight, isLeaving, isHeld);
    case 'here':
      if (isOver(object)) return letGo(seen, hasBegun(object));
      return isLeaving ? leave(seen, sight) : goOn(seen, sight, isHeld);
    default:
      return unreachable(sight);
  }
}

function elsewhere(
  seen: Seen,
  { node, exists }: Extract<Sight, { at: 'elsewhere' }>,
  isLeaving: boolean,
  isHeld: boolean,
): Decision {
  // A node that is only away for a while finishes what it has begun, and is the only one who can take back the rest.
  if (exists) return { ...NOTHING, againMs: isLeaving ? LEAVING_MS : ELSEWHERE_MS };
  if (isLeaving || isOver(seen.object)) return { ...NOTHING, finalizer: false };
  const problem = waits(
    'NodeGone',
    `Node '${node}', which holds the volume, is no longer part of the cluster; it goes on if the node comes back, and ` +
      `can be deleted otherwise`,
  );
  // What the node had noted before it went, it would still do.
  if (isHeld || hasBegun(seen.object)) return report(seen, { phase: 'Waiting', ...problem }, SHARED_MS);
  return unlessTooLate(seen, problem, SHARED_MS);
}

/** The object is being deleted: what has not begun is taken back, what has goes on without it. */
function leave(seen: Seen, here: Here): Decision {
  const { known, problem } = here;
  if (known?.phase === 'waiting') return { ...NOTHING, act: 'cancel', againMs: SOON_MS };
  // Whether it has been noted, and what it has left, cannot be told now.
  if (problem !== undefined && isSilent(problem)) {
    const message = `It is deleted when the node can take it back: ${problem.message}`;
    return report(seen, { phase: 'Waiting', reason: problem.reason, message }, LATER_MS);
  }
  return letGo(seen, known !== undefined || hasBegun(seen.object));
}

/** Whether anything is noted on the node cannot be told now. */
function isSilent(problem: Problem): problem is Wait {
  return problem.reason === 'PoolUnavailable' || problem.reason === 'NodeError';
}

/**
 * Nothing holds the object any more once what follows is done; its deletion does not wait for what fails. What has not begun
 * has left nothing on the node, its safety snapshot included.
 */
function letGo({ object, followed }: Seen, isBegun: boolean): Decision {
  const isLeaving = object.metadata.deletionTimestamp !== undefined;
  if (isBegun && followed === undefined) return { ...NOTHING, act: 'follow-up' };
  if (followed === 'failed' && !isLeaving) return { ...NOTHING, againMs: RETRY_FOLLOW_UP_MS };
  return { ...NOTHING, finalizer: false };
}

function goOn(seen: Seen, here: Here, isHeld: boolean): Decision {
  const { known } = here;
  if (known === undefined) return unknown(seen, here, isHeld);
  const facts = factsOf(seen, here);
  switch (known.phase) {
    case 'waiting':
      return noted(seen, here, known, facts);
    case 'merging':
    case 'failed': {
      // What the kernel or the records do not allow now heals when the cause is gone, so it is no end.
      const reason = known.phase === 'failed' ? 'MergeStuck' : 'Merging';
      const message =
        known.phase === 'failed'
          ? `${known.message}; see 'snapmerge status' on node '${seen.node}'`
          : 'The volume shows the snapshot and can be used; the rest is moved in the background';
      const outcome: Outcome = { phase: 'Merging', reason, message: promoted(seen, message), restore: known };
      return begun(seen, outcome, facts, isHeld);
    }
    case 'done':
      return begun(
        seen,
        { phase: 'Succeeded', message: promoted(seen, 'All has been moved'), restore: known },
        facts,
        isHeld,
      );
    default:
      return unreachable(known.phase);
  }
}

/** In the mode NameSnapshot it is the origin's storage that goes on. */
function promoted({ object: { spec, status } }: Seen, message: string): string {
  if (spec.mode !== 'NameSnapshot') return message;
  const origin = status.originClaimName === undefined ? 'its origin' : `claim '${status.originClaimName}'`;
  const about = message.startsWith('The volume shows')
    ? 'The volume goes on as it is; it is moved onto the storage of its origin'
    : message;
  return `${about}. The volume of ${origin} has been given up`;
}

/** The status first, so that pods may start; then what follows, while the object is held. */
function begun(seen: Seen, outcome: Outcome, facts: Facts, isHeld: boolean): Decision {
  const status = statusOf(seen.object, outcome, facts, seen.nowMs);
  const againMs = outcome.phase === 'Succeeded' ? undefined : SOON_MS;
  if (!isHeld) return { ...NOTHING, status, againMs };
  if (seen.followed === undefined)
    return { status, finalizer: undefined, act: 'follow-up', againMs: RETRY_FOLLOW_UP_MS };
  if (seen.followed === 'failed') return { ...NOTHING, status, againMs: againMs ?? RETRY_FOLLOW_UP_MS };
  return { status, finalizer: false, act: undefined, againMs };
}

function noted(seen: Seen, { pods, problem }: Here, known: Restore, facts: Facts): Decision {
  if (problem?.final === true) return { ...NOTHING, act: 'cancel', againMs: SOON_MS };
  if (seen.object.spec.mode === 'OnActivate') {
    const holders = pods.length === 0 ? '' : `; now it is used by ${namesOf(pods)}`;
    const message = `It begins when the volume is next staged on node '${seen.node}', before a pod gets it${holders}`;
    return report(seen, { phase: 'Waiting', reason: 'WaitsForActivation', message, pods }, LATER_MS, facts);
  }
  // The end of waiting is told when the node has taken it back.
  if (isTooLate(seen)) return { ...NOTHING, act: 'cancel', againMs: SOON_MS };
  return report(seen, { phase: 'Waiting', reason: 'Queued', message: known.message }, SOON_MS, facts);
}

function unknown(seen: Seen, here: Here, isHeld: boolean): Decision {
  const { object, refusal } = seen;
  const { problem } = here;
  const { reason, askedTime } = object.status;
  // Before the volume's state is known, nothing follows from what is not known of the restore.
  if (problem !== undefined && !problem.final) {
    if (hasBegun(object) && here.restoreID !== undefined && !isSilent(problem)) return ended(seen, problem, isHeld);
    // What the node may have noted it would do, however late; once it answers, that is taken back.
    const mayBeNoted = askedTime !== undefined && isHeld && isSilent(problem);
    if (hasBegun(object) || mayBeNoted)
      return report(seen, { phase: 'Waiting', ...problem }, LATER_MS, factsOf(seen, here));
    return unlessTooLate(seen, problem, LATER_MS, factsOf(seen, here));
  }
  if (problem?.reason === 'VolumeGone' || problem?.reason === 'ClaimChanged') return failed(seen, problem);
  if (hasBegun(object)) return forgotten(seen, isHeld);
  if (reason === 'WaitsForActivation' || reason === 'Queued') {
    return isTooLate(seen) ? tooLate(seen, object.status.message ?? '') : cancelled(seen);
  }
  if (askedTime !== undefined && here.outdone) {
    const message =
      'Another restore of the volume has been done since this one was asked for; create another VolumeRestore if this one is still wanted';
    return failed(seen, fails('Superseded', message));
  }
  if (problem !== undefined) return failed(seen, problem);
  if (here.before !== undefined) {
    const message = `VolumeRestore '${here.before}' of the same claim comes first and has not begun; delete it if it is not wanted`;
    return unlessTooLate(seen, waits('AnotherRestore', message), SOON_MS, factsOf(seen, here));
  }
  if (refusal === undefined && isLate(seen)) return tooLate(seen, whyOf(object));
  // Written before the node is asked: what comes back from an interruption knows that it may have been asked.
  if (askedTime === undefined || !isHeld) {
    // Rounded up: what began before is not taken for what began since.
    const facts = { ...factsOf(seen, here), askedTime: timeText(seen.nowMs + 999) };
    const message = `Node '${seen.node}' is asked to begin`;
    const status = statusOf(object, { phase: 'Waiting', reason: 'Beginning', message }, facts, seen.nowMs);
    return { status, finalizer: true, act: undefined, againMs: 0 };
  }
  if (refusal === undefined) return { ...NOTHING, act: 'start', againMs: SOON_MS };
  return refused(seen, here, refusal);
}

/** What was last said of it. */
function whyOf({ status: { reason, message } }: VolumeRestore): string {
  return reason === undefined ? '' : `${reason}: ${message ?? ''}`;
}

/** The driver or its node was away until after the deadline: what is asked for at all is asked for once, whatever the time. */
function isLate(seen: Seen): boolean {
  const { startTime, askedTime } = seen.object.status;
  if (startTime === undefined || !isTooLate(seen)) return false;
  return askedTime === undefined || seen.nowMs - Date.parse(askedTime) > FIRST_MINUTE_MS;
}

/** It has begun, and the node knows of it no more: a later restore has left its mark in the place of this one's. */
function forgotten(seen: Seen, isHeld: boolean): Decision {
  const message = 'All has been moved; a later restore of the volume has taken its place';
  return begun(seen, { phase: 'Succeeded', message, restore: undefined }, {}, isHeld);
}

/** It has begun, the node answers, and knows of it no more; what is missing besides tells why. */
function ended(seen: Seen, problem: Wait, isHeld: boolean): Decision {
  if (problem.reason === 'ClaimNotFound' || problem.reason === 'ClaimNotBound') {
    const message = 'It had begun; the claim has gone since, and the node knows of the restore no more';
    return failed(seen, fails('VolumeGone', message));
  }
  const isOfSnapshot = problem.reason === 'SnapshotNotFound' || problem.reason === 'SnapshotNotReady';
  return isOfSnapshot ? forgotten(seen, isHeld) : report(seen, { phase: 'Waiting', ...problem }, LATER_MS);
}

function cancelled(seen: Seen): Decision {
  const message = `It was taken back, or replaced, on node '${seen.node}'; create another VolumeRestore if it is still wanted`;
  return failed(seen, fails('Cancelled', message));
}

function refused(seen: Seen, { pods, inUse }: Here, { kind, message }: Refusal): Decision {
  switch (kind) {
    case 'invalid':
    case 'not-found':
      return failed(seen, fails('WrongSnapshot', message));
    case 'exhausted':
      return unlessTooLate(seen, waits('NoRoom', `${message}; delete something in the pool, or extend it`), LATER_MS);
    case 'precondition':
      if (pods.length === 0 && !inUse) return unlessTooLate(seen, waits('Blocked', message), againMs(seen));
      return unlessTooLate(seen, waits('VolumeInUse', inUseMessage(seen, pods, message)), againMs(seen), {}, pods);
    case 'busy':
    case 'exists':
    case 'out-of-range':
    case 'unavailable':
    case 'contradiction':
    case 'cancelled':
    case 'internal':
      return unlessTooLate(seen, waits('NodeError', message), LATER_MS);
    default:
      return unreachable(kind);
  }
}

function inUseMessage({ object: { spec } }: Seen, pods: readonly string[], message: string): string {
  if (pods.length === 0) return message;
  const [isOne, isPromotion] = [pods.length === 1, spec.mode === 'NameSnapshot'];
  const who = `${isOne ? 'Pod' : 'Pods'} ${namesOf(pods)} ${isOne ? 'uses' : 'use'}`;
  const whose = isPromotion ? 'the volume that is to be given up' : 'the volume';
  const instead = isPromotion ? '' : ', or use the mode OnActivate';
  return `${who} ${whose}: scale down or delete what ${isOne ? 'it belongs' : 'they belong'} to${instead}`;
}

function namesOf(pods: readonly string[]): string {
  const shown = pods.slice(0, 5).map((name) => `'${name}'`);
  const more = pods.length > shown.length ? ` and ${pods.length - shown.length} more` : '';
  return `${shown.join(', ')}${more}`;
}

function againMs({ object, nowMs }: Seen): number {
  const { startTime } = object.status;
  return startTime === undefined || nowMs - Date.parse(startTime) < FIRST_MINUTE_MS ? SOON_MS : LATER_MS;
}

function factsOf(seen: Seen, { restoreID, originClaimName }: Here): Facts {
  return {
    node: seen.node,
    ...(restoreID === undefined ? {} : { restoreID }),
    // Once it has begun, the origin cannot be looked up any more.
    ...(originClaimName === undefined ? {} : { originClaimName }),
  };
}

function deadlineMs({ object: { spec, status }, nowMs }: Seen): number {
  if (spec.mode === 'OnActivate') return Infinity;
  const startMs = status.startTime === undefined ? nowMs : Date.parse(status.startTime);
  return startMs + spec.timeoutSeconds * 1000;
}

function isTooLate(seen: Seen): boolean {
  return seen.nowMs >= deadlineMs(seen);
}

function unlessTooLate(
  seen: Seen,
  problem: Problem,
  again: number,
  facts: Facts = {},
  pods: readonly string[] = [],
): Decision {
  if (problem.final) return failed(seen, problem);
  const { reason, message } = problem;
  if (isTooLate(seen)) return tooLate(seen, `${reason}: ${message}`);
  return report(seen, { phase: 'Waiting', reason, message, pods }, again, facts);
}

function tooLate(seen: Seen, why: string): Decision {
  const message = `It has not begun within ${seen.object.spec.timeoutSeconds} s. ${why}`;
  return failed(seen, fails('TimedOut', message));
}

function report(seen: Seen, outcome: Outcome, again: number, facts: Facts = {}): Decision {
  const status = statusOf(seen.object, outcome, facts, seen.nowMs);
  const left = deadlineMs(seen) - seen.nowMs;
  return { ...NOTHING, status, againMs: left > 0 ? Math.min(again, left) : again };
}

/** Once this is written the object is over, and a last round lets it go. */
function failed(seen: Seen, problem: Failure): Decision {
  const { reason, message } = problem;
  const status = statusOf(seen.object, { phase: 'Failed', reason, message }, {}, seen.nowMs);
  const isHeld = seen.object.metadata.finalizers.includes(FINALIZER);
  return { ...NOTHING, status, againMs: isHeld ? 0 : undefined };
}
