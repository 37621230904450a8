// Events: what is told about a restore, to whom, and what an Event object looks like. Pure.

import { createHash } from 'node:crypto';
import { unreachable } from '../../vocabulary/errors.ts';
import type { VolumeRestore } from '../api/objects.ts';
import { timeText } from '../api/objects.ts';
import type { Status } from '../api/objects.ts';
import { hasBegun } from './status.ts';

/** What an event is about. */
export interface Subject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  /** Without it `kubectl describe` does not show the event. */
  readonly uid: string | undefined;
}

export interface EventText {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

export function restoreSubject({ metadata: { namespace, name, uid } }: VolumeRestore): Subject {
  return { apiVersion: 'snapmerge.io/v1alpha1', kind: 'VolumeRestore', namespace, name, uid };
}

export function claimSubject(namespace: string, name: string, uid: string): Subject {
  return { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name, uid };
}

export interface Told {
  readonly event: EventText;
  /** Also to the owner of the claim, whose volume it is about. */
  readonly toClaim: boolean;
}

/** What is worth telling when one status takes the place of another. */
export function changes(before: Status, after: Status): readonly Told[] {
  const { reason = '', message = '' } = after;
  const begins = hasBegun({ status: after }) && !hasBegun({ status: before });
  const told: Told[] = begins
    ? [{ event: { type: 'Normal', reason: 'RestoreBegun', message: begunMessage(after) }, toClaim: true }]
    : [];
  if (after.phase === before.phase && reason === before.reason) return told;
  switch (after.phase) {
    case 'Succeeded':
      return [...told, { event: { type: 'Normal', reason: 'RestoreSucceeded', message }, toClaim: true }];
    case 'Failed':
      return [
        ...told,
        { event: { type: 'Warning', reason: 'RestoreFailed', message: `${reason}: ${message}` }, toClaim: true },
      ];
    case 'Merging':
      return reason === 'Merging' ? told : [...told, { event: { type: 'Warning', reason, message }, toClaim: true }];
    case 'Waiting':
      if (reason === 'Beginning') return told;
      return [
        ...told,
        {
          event: { type: isOrdinary(reason) ? 'Normal' : 'Warning', reason, message },
          toClaim: reason === 'VolumeInUse',
        },
      ];
    case 'Pending':
    case undefined:
      return told;
    default:
      return unreachable(after.phase);
  }
}

/** Waiting that needs nobody. */
function isOrdinary(reason: string): boolean {
  return reason === 'Queued' || reason === 'WaitsForActivation' || reason === 'AnotherRestore';
}

function begunMessage({ totalBytes = 0, originClaimName }: Status): string {
  const mebibytes = Math.ceil(totalBytes / 1024 / 1024);
  if (originClaimName !== undefined) {
    return `The volume takes over the storage of claim '${originClaimName}': ${mebibytes} MiB are moved in the background`;
  }
  return `The volume shows the snapshot and can be used; ${mebibytes} MiB are moved in the background`;
}

/** The same event about the same object has the same name, so that it is counted instead of repeated. */
export function eventName(subject: Subject, { reason, message }: EventText): string {
  const hash = createHash('sha256')
    .update(`${subject.kind}\0${subject.uid ?? ''}\0${reason}\0${message}`)
    .digest('hex');
  return `${subject.name.slice(0, 200)}.${hash.slice(0, 16)}`;
}

export interface EventBody {
  readonly lastTimestamp: string;
  readonly [key: string]: unknown;
}

/** `instance`: the node whose driver tells it. */
export function eventBody(subject: Subject, event: EventText, nowMs: number, instance: string): EventBody {
  const { namespace } = subject;
  const now = timeText(nowMs);
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: eventName(subject, event), namespace },
    involvedObject: subject,
    ...event,
    message: event.message.slice(0, 1000),
    source: { component: 'snapmerge', host: instance },
    firstTimestamp: now,
    lastTimestamp: now,
    count: 1,
  };
}
