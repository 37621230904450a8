import { expect, test } from 'vitest';
import {
  changes,
  claimSubject,
  eventBody,
  eventName,
  restoreSubject,
} from '../../../../src/kubernetes/restores/events.ts';
import type { Status } from '../../../../src/kubernetes/api/objects.ts';
import { safetyName, safetyObjects } from '../../../../src/kubernetes/restores/safety.ts';
import { hasBegun, percent, statusOf } from '../../../../src/kubernetes/restores/status.ts';
import { bytes } from '../../../../src/vocabulary/units.ts';
import { NOW, objectOf, restoreOf } from '../object.ts';

test.each([
  [1000n, 580n, '42%'],
  [1000n, 1n, '99%'],
  [1000n, 0n, '100%'],
  [1000n, 1000n, '0%'],
  [1000n, 2000n, '0%'],
  [0n, 0n, '100%'],
  [0n, 5n, '0%'],
])('of %d with %d left: %s', (total, remaining, text) => {
  expect(percent(total, remaining)).toBe(text);
});

const at = (status: Status, seconds: number, outcome: Parameters<typeof statusOf>[1]): Status =>
  statusOf(objectOf({ status }), outcome, {}, NOW + seconds * 1000);

test('from first sight to the end: times stay, and so do facts', () => {
  const waiting = at({}, 0, { phase: 'Waiting', reason: 'VolumeInUse', message: 'm', pods: ['p'] });
  expect(waiting).toEqual({
    observedGeneration: 1,
    phase: 'Waiting',
    reason: 'VolumeInUse',
    message: 'm',
    startTime: '2030-01-01T12:00:00Z',
    blockingPods: ['p'],
    conditions: ['Begun', 'Complete'].map((type) => ({
      type,
      status: 'False',
      reason: 'VolumeInUse',
      message: 'm',
      lastTransitionTime: '2030-01-01T12:00:00Z',
      observedGeneration: 1,
    })),
  });
  const merging = at({ ...waiting, node: 'a', safetySnapshotName: 's' }, 9, {
    phase: 'Merging',
    reason: 'Merging',
    message: 'm',
    restore: restoreOf(),
  });
  expect(merging).toMatchObject({
    phase: 'Merging',
    progress: '42%',
    totalBytes: 1000,
    remainingBytes: 580,
    node: 'a',
    safetySnapshotName: 's',
    startTime: '2030-01-01T12:00:00Z',
    beganTime: '2030-01-01T11:59:55Z',
  });
  expect(merging.blockingPods).toBeUndefined();
  expect(merging.conditions?.map((one) => [one.status, one.lastTransitionTime])).toEqual([
    ['True', '2030-01-01T12:00:09Z'],
    ['False', '2030-01-01T12:00:00Z'],
  ]);
  const ended = restoreOf({ phase: 'done', endedMs: NOW + 10_000, remainingBytes: bytes(0) });
  const done = at(merging, 11, { phase: 'Succeeded', message: 'm', restore: ended });
  expect(done).toMatchObject({ progress: '100%', remainingBytes: 0, completionTime: '2030-01-01T12:00:10Z' });
  expect(hasBegun({ status: done })).toBe(true);
  const unknown = at(merging, 11, { phase: 'Succeeded', message: 'm', restore: undefined });
  expect(unknown).toMatchObject({ completionTime: '2030-01-01T12:00:11Z', beganTime: '2030-01-01T11:59:55Z' });
  const failed = at(waiting, 12, { phase: 'Failed', reason: 'TimedOut', message: 'm' });
  expect(failed.conditions?.map(({ type, status }) => [type, status])).toEqual([
    ['Begun', 'False'],
    ['Complete', 'False'],
    ['Failed', 'True'],
  ]);
  const without = restoreOf({ phase: 'done' });
  expect(at(merging, 13, { phase: 'Succeeded', message: 'm', restore: without }).completionTime).toBe(
    '2030-01-01T12:00:13Z',
  );
});

test('what is long is cut to what the definition takes', () => {
  const pods = Array.from({ length: 30 }, (_, index) => `p${index}`);
  const status = at({}, 0, { phase: 'Waiting', reason: 'VolumeInUse', message: 'm'.repeat(5000), pods });
  expect([status.message?.length, status.blockingPods?.length]).toEqual([2000, 20]);
});

test('what is told: each change once, and to whom', () => {
  const waiting = at({}, 0, { phase: 'Waiting', reason: 'VolumeInUse', message: 'm' });
  const beginning = at({}, 0, { phase: 'Waiting', reason: 'Beginning', message: 'm' });
  const queued = at({}, 0, { phase: 'Waiting', reason: 'Queued', message: 'm' });
  const merging = at(waiting, 0, { phase: 'Merging', reason: 'Merging', message: 'm', restore: restoreOf() });
  const stuck = at(merging, 0, { phase: 'Merging', reason: 'MergeStuck', message: 'm', restore: restoreOf() });
  const done = at(merging, 0, { phase: 'Succeeded', message: 'm', restore: restoreOf() });
  const failed = at(waiting, 0, { phase: 'Failed', reason: 'TimedOut', message: 'm' });
  const short = (before: Status, after: Status) =>
    changes(before, after).map(({ event: { type, reason }, toClaim }) => [type, reason, toClaim]);
  expect(short({}, waiting)).toEqual([['Warning', 'VolumeInUse', true]]);
  expect(short(waiting, waiting)).toEqual([]);
  expect(short({}, beginning)).toEqual([]);
  expect(short(beginning, queued)).toEqual([['Normal', 'Queued', false]]);
  expect(short(waiting, merging)).toEqual([['Normal', 'RestoreBegun', true]]);
  expect(short(waiting, done)).toEqual([
    ['Normal', 'RestoreBegun', true],
    ['Normal', 'RestoreSucceeded', true],
  ]);
  expect(short(merging, stuck)).toEqual([['Warning', 'MergeStuck', true]]);
  expect(short(waiting, failed)).toEqual([['Warning', 'RestoreFailed', true]]);
  expect(short(waiting, {})).toEqual([]);
  expect(short(waiting, { phase: 'Pending' })).toEqual([]);
  expect(changes(waiting, merging)[0]?.event.message).toBe(
    'The volume shows the snapshot and can be used; 1 MiB are moved in the background',
  );
  expect(changes(waiting, { ...merging, originClaimName: 'old' })[0]?.event.message).toContain("claim 'old'");
});

test('the same event has the same name, and another object another', () => {
  const event = { type: 'Normal', reason: 'R', message: 'm'.repeat(2000) } as const;
  const one = restoreSubject(objectOf());
  const claim = claimSubject('shop', 'back', 'u');
  expect(eventName(one, event)).toBe(eventName(one, { ...event }));
  expect(eventName(claim, event)).not.toBe(eventName(one, event));
  expect(eventName(one, { ...event, message: 'n' })).not.toBe(eventName(one, event));
  const body = eventBody(one, event, NOW, 'a');
  expect(body).toMatchObject({ involvedObject: one, source: { component: 'snapmerge', host: 'a' }, count: 1 });
  expect(String(body['message'])).toHaveLength(1000);
});

test('the safety snapshot as objects', () => {
  const object = objectOf({ name: 'b'.repeat(253) });
  expect(safetyName(object)).toBe(`safety-${object.metadata.uid}`);
  const { name, snapshot, content } = safetyObjects(object, 'default.AbCdEf.s-0000000001', 'Block', 'a');
  expect(name).toHaveLength(253);
  expect(name.endsWith('-safety-6b1f0')).toBe(true);
  expect(snapshot.body).toMatchObject({
    metadata: { name, namespace: 'shop' },
    spec: { source: { volumeSnapshotContentName: `snapmerge-safety-${object.metadata.uid}` } },
  });
  expect(content.body).toMatchObject({
    metadata: { labels: { 'snapshot.storage.kubernetes.io/managed-by': 'a' } },
    spec: {
      source: { snapshotHandle: 'default.AbCdEf.s-0000000001' },
      sourceVolumeMode: 'Block',
      volumeSnapshotRef: { name, namespace: 'shop' },
    },
  });
});
