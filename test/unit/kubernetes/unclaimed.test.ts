import { clockOf } from '../../clock.ts';
import { expect, test } from 'vitest';
import { SnapmergeError } from '../../../src/vocabulary/errors.ts';
import { handleText, poolName, vgUuid, volumeId } from '../../../src/vocabulary/ids.ts';
import type { EventText, Subject } from '../../../src/kubernetes/restores/events.ts';
import type { ApiServer } from '../../../src/kubernetes/api/http.ts';
import { watchUnclaimed } from '../../../src/kubernetes/unclaimed.ts';
import { readyPools } from '../../../src/pools/pools.ts';
import type { Fields, Log } from '../../../src/vocabulary/ports.ts';
import { silentLog } from '../../../src/vocabulary/ports.ts';
import { createFakeEngine } from '../controller/fake-engine.ts';

const NOW = Date.parse('2030-01-01T12:00:00Z');
const engine = createFakeEngine();
const VOLUME = volumeId('v-0000000001');
const HERE = handleText(engine.pool, engine.vg, VOLUME);
const ELSEWHERE = handleText(poolName('default'), vgUuid('ZZZZZZ0123456789AbCdEf0123456789'), VOLUME);

interface Given {
  readonly uid?: string;
  readonly volumeHandle?: string;
  readonly snapshotHandle?: string;
  readonly driver?: string;
  readonly created?: string;
  readonly leaving?: boolean;
  readonly ready?: boolean;
}

const contentOf = (given: Given = {}) => ({
  metadata: {
    name: 'snapcontent-1',
    uid: given.uid ?? 'c1',
    creationTimestamp: given.created ?? '2030-01-01T11:59:00Z',
    ...(given.leaving === true ? { deletionTimestamp: '2030-01-01T11:59:30Z' } : {}),
  },
  spec: {
    driver: given.driver ?? 'csi.snapmerge.io',
    source:
      given.snapshotHandle === undefined
        ? { volumeHandle: given.volumeHandle ?? HERE }
        : { snapshotHandle: given.snapshotHandle },
    volumeSnapshotRef: { namespace: 'shop', name: 'friday', uid: 's1' },
  },
  ...(given.ready === undefined ? {} : { status: { readyToUse: given.ready } }),
});

type Answer = readonly ReturnType<typeof contentOf>[] | SnapmergeError;

/** One look for each answer; what was told and logged. */
async function looks(...answers: readonly Answer[]) {
  const told: (readonly [Subject, EventText])[] = [];
  const logged: (readonly [string, Fields])[] = [];
  const queries: unknown[] = [];
  const left = [...answers];
  const ending = new AbortController();
  const api: ApiServer = {
    request: async ({ path, query }) => {
      queries.push([path, query]);
      const answer = left.shift() ?? [];
      if (left.length === 0) ending.abort();
      if (answer instanceof SnapmergeError) throw answer;
      return { items: answer };
    },
    watch: async () => undefined,
  };
  const note = (level: string) => (fields: Fields) => void logged.push([level, fields]);
  const log: Log = { ...silentLog, error: note('error'), warn: note('warn') };
  const options = {
    api,
    cluster: { tell: async (subject: Subject, event: EventText) => void told.push([subject, event]) },
    pools: readyPools(new Map([[engine.pool, engine]])),
    node: 'worker-1',
    clock: clockOf(() => NOW),
    log,
    random: () => 0,
  };
  await watchUnclaimed(options, ending.signal);
  return { told, logged, queries };
}

test('a snapshot of ours that nobody takes is told once, with the remedy', async () => {
  const { told, logged, queries } = await looks([contentOf()], [contentOf()]);
  expect(queries[0]).toEqual([
    '/apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents',
    { labelSelector: '!snapshot.storage.kubernetes.io/managed-by', resourceVersion: '0' },
  ]);
  expect(told).toHaveLength(1);
  const [subject, event] = told[0] ?? [];
  expect(subject).toMatchObject({ kind: 'VolumeSnapshot', namespace: 'shop', name: 'friday', uid: 's1' });
  expect(event).toMatchObject({ type: 'Warning', reason: 'DistributedSnapshottingOff' });
  // With the flag alone the controller serves no snapshot of any driver.
  expect(event?.message).toMatch(/right to read nodes.*only then --enable-distributed-snapshotting/);
  expect(event?.message).toContain('snapshot.storage.kubernetes.io/managed-by=worker-1');
  expect(logged).toMatchObject([['error', { volumeSnapshot: 'shop/friday', remedy: event?.message }]]);
});

test('one that has gone and come again is told again', async () => {
  expect((await looks([contentOf()], [], [contentOf()])).told).toHaveLength(2);
});

test.each<[string, Given]>([
  ['is ready', { ready: true }],
  ['is of another driver', { driver: 'csi.example.com' }],
  ['is of a volume on another node', { volumeHandle: ELSEWHERE }],
  ['has just been made', { created: '2030-01-01T11:59:45Z' }],
  ['is being deleted', { leaving: true }],
])('nothing is said of one that %s', async (_, given) => {
  expect((await looks([contentOf(given)])).told).toEqual([]);
});

test('a content that a person made wants the label, not another controller', async () => {
  const snapshotHandle = handleText(engine.pool, engine.vg, VOLUME).replace('.v-', '.s-');
  const { told } = await looks([contentOf({ snapshotHandle })]);
  expect(told[0]?.[1].message).toContain('kubectl label volumesnapshotcontent snapcontent-1');
  expect(told[0]?.[1].message).not.toContain('--enable-distributed-snapshotting');
});

test('a cluster without snapshots, or an API server that is away, is no reason to end or to complain', async () => {
  const missing = new SnapmergeError('not-found', 'no such kind');
  const away = new SnapmergeError('unavailable', 'it does not answer');
  const { told, logged } = await looks(missing, away, [contentOf()]);
  expect(told).toHaveLength(1);
  expect(logged.map(([level]) => level)).toEqual(['error']);
  const forbidden = new SnapmergeError('precondition', 'not allowed');
  expect((await looks(forbidden)).logged.map(([level]) => level)).toEqual(['warn']);
});
