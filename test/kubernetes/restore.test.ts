// VolumeRestores from object to object: a real API server with the real definition, the real controller, and the real engine
// on the simulated node.

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { DRIVER_NAME } from '../../src/controller/identity.ts';
import { handleOf } from '../../src/csi/replies.ts';
import type { VolumeId } from '../../src/vocabulary/ids.ts';
import { FINALIZER } from '../../src/kubernetes/restores/decide.ts';
import { startControlPlane } from '../../tools/cluster/control-plane.ts';
import type { ControlPlane } from '../../tools/cluster/control-plane.ts';
import { apiOf, restorePath } from './api.ts';
import type { Api } from './api.ts';
import { installDefinitions } from './definitions.ts';
import { startNode } from './node.ts';
import type { Node } from './node.ts';

let plane: ControlPlane;
let api: Api;
let a: Node;
let b: Node;
let namespace = '';
let count = 0;

beforeAll(async () => {
  plane = await startControlPlane({ name: 'restores' });
  await installDefinitions(plane);
  api = apiOf(plane);
  a = await startNode(api, 'a', 'aAAA');
  b = await startNode(api, 'b', 'bBBB');
  await Promise.all([api.node('a'), api.node('b')]);
  a.startController();
  b.startController();
}, 1_500_000);

afterAll(async () => {
  await Promise.all([a?.stop(), b?.stop()]);
  await plane?.stop();
});

beforeEach(async () => {
  count += 1;
  namespace = `t${count}`;
  await api.namespace(namespace);
});

afterEach(() => {
  a.finishMerges();
  b.finishMerges();
});

/** Claim `shop` with snapshot `friday` (tag 1), then written with tag 2; not staged. */
async function shop(node: Node = a): Promise<VolumeId> {
  const volume = await node.claim(namespace, 'shop');
  await node.stage(volume);
  node.write(volume, 1);
  await node.snapshot(namespace, 'friday', volume);
  node.write(volume, 2);
  await node.unstage(volume);
  return volume;
}

const FRIDAY = { persistentVolumeClaimName: 'shop', volumeSnapshotName: 'friday' };

test('a volume goes back, is used while it merges, and the object tells', async () => {
  const volume = await shop();
  await api.restore(namespace, 'back', FRIDAY);
  const merging = await api.until(namespace, 'back', 'Merging');
  expect(merging.status).toMatchObject({ reason: 'Merging', node: 'a', observedGeneration: 1 });
  expect(merging.status.progress).toMatch(/^\d{1,2}%$/);
  expect(merging.status.restoreID).toMatch(/^default\.aAAAaA\.r-/);
  await a.stage(volume);
  expect(a.read(volume)).toBe(1);
  a.finishMerges();
  const { status, metadata } = await api.until(namespace, 'back', 'Succeeded', 'Merged');
  expect(status).toMatchObject({ progress: '100%', remainingBytes: 0 });
  expect(status.conditions?.map(({ type, status, reason }) => [type, status, reason])).toEqual([
    ['Begun', 'True', 'Begun'],
    ['Complete', 'True', 'Merged'],
  ]);
  expect(status.blockingPods).toBeUndefined();
  expect(metadata.finalizers).toEqual([]);
  // What has happened is told when it stands in the status, so a moment later.
  const told = async (): Promise<readonly string[]> =>
    (await api.events(namespace)).map(({ kind, name, reason }) => `${kind} ${name} ${reason}`).sort();
  await expect
    .poll(told, { timeout: 20_000 })
    .toEqual([
      'PersistentVolumeClaim shop RestoreBegun',
      'PersistentVolumeClaim shop RestoreSucceeded',
      'VolumeRestore back RestoreBegun',
      'VolumeRestore back RestoreSucceeded',
    ]);
  await a.unstage(volume);
});

test('a volume in use: who holds it, and it begins by itself', async () => {
  const volume = await shop();
  await api.pod(namespace, 'shop-0', 'shop', 'a');
  await a.stage(volume);
  await api.restore(namespace, 'back', FRIDAY);
  const { status } = await api.until(namespace, 'back', 'Waiting', 'VolumeInUse');
  expect(status.blockingPods).toEqual(['shop-0']);
  expect(status.message).toContain("Pod 'shop-0' uses the volume");
  expect(a.read(volume)).toBe(2);
  await a.unstage(volume);
  await api.remove(`/api/v1/namespaces/${namespace}/pods/shop-0?gracePeriodSeconds=0`);
  const merging = await api.until(namespace, 'back', 'Merging');
  expect(merging.status.blockingPods).toBeUndefined();
  expect(a.read(volume)).toBe(1);
});

test('a volume in use for too long', async () => {
  const volume = await shop();
  await a.stage(volume);
  await api.restore(namespace, 'back', { ...FRIDAY, timeoutSeconds: 3 });
  const { status, metadata } = await api.until(namespace, 'back', 'Failed', 'TimedOut');
  expect(status.message).toMatch(/^It has not begun within 3 s\. VolumeInUse: /);
  expect(status.conditions?.map(({ type, status }) => [type, status])).toEqual([
    ['Begun', 'False'],
    ['Complete', 'False'],
    ['Failed', 'True'],
  ]);
  expect(status.completionTime).toBeDefined();
  await a.unstage(volume);
  expect(a.read(volume)).not.toBe(1);
  expect(metadata.name).toBe('back');
});

test('on activation, with a safety snapshot that becomes a VolumeSnapshot', async () => {
  const volume = await shop();
  await a.stage(volume);
  await api.restore(namespace, 'later', { ...FRIDAY, mode: 'OnActivate', safetySnapshot: true });
  await api.until(namespace, 'later', 'Waiting', 'WaitsForActivation');
  a.write(volume, 3);
  await a.unstage(volume);
  await a.stage(volume);
  expect(a.read(volume)).toBe(1);
  const { status } = await api.untilSo(namespace, 'later', ({ status }) => status.safetySnapshotName !== undefined);
  expect(status.safetySnapshotName).toMatch(/^later-safety-[0-9a-f]{5}$/);
  const snapshot = await api.get(
    `/apis/snapshot.storage.k8s.io/v1/namespaces/${namespace}/volumesnapshots/${status.safetySnapshotName}`,
  );
  expect(snapshot).toMatchObject({
    spec: { source: { volumeSnapshotContentName: expect.stringMatching(/^snapmerge-safety-/) } },
  });
  a.finishMerges();
  await api.until(namespace, 'later', 'Succeeded');
  await a.unstage(volume);
});

test('a snapshot that is not kept goes with its object', async () => {
  const volume = await shop();
  await api.restore(namespace, 'back', { ...FRIDAY, keepSnapshot: false });
  await api.until(namespace, 'back', 'Merging');
  await gone(`/apis/snapshot.storage.k8s.io/v1/namespaces/${namespace}/volumesnapshots/friday`);
  a.finishMerges();
  await api.until(namespace, 'back', 'Succeeded');
  expect((await a.engine().listSnapshots()).filter((one) => one.volume === volume)).toEqual([]);
});

test('a fork takes over its origin, whose owner is told', async () => {
  const origin = await shop();
  const snapshot = (await a.engine().listSnapshots()).find((one) => one.volume === origin);
  const fork = await a.claim(namespace, 'fork', snapshot?.id);
  await a.stage(fork);
  a.write(fork, 5);
  await a.stage(origin);
  await api.pod(namespace, 'shop-0', 'shop', 'a');
  await api.restore(namespace, 'promote', { persistentVolumeClaimName: 'fork', mode: 'NameSnapshot' });
  const waiting = await api.until(namespace, 'promote', 'Waiting', 'VolumeInUse');
  expect(waiting.status).toMatchObject({ blockingPods: ['shop-0'], originClaimName: 'shop' });
  await a.unstage(origin);
  await api.until(namespace, 'promote', 'Merging');
  a.write(fork, 6);
  a.finishMerges();
  const { status } = await api.until(namespace, 'promote', 'Succeeded');
  expect(status.message).toContain("The volume of claim 'shop' has been given up");
  expect(a.read(fork)).toBe(6);
  expect(await a.engine().getVolume(origin)).toBeUndefined();
  await expect
    .poll(() => api.events(namespace), { timeout: 20_000 })
    .toContainEqual(expect.objectContaining({ kind: 'PersistentVolumeClaim', name: 'shop', reason: 'VolumeGivenUp' }));
  await a.unstage(fork);
});

test('of two for one claim the older comes first', async () => {
  const volume = await shop();
  await a.stage(volume);
  await api.restore(namespace, 'first', { ...FRIDAY, mode: 'OnActivate' });
  await api.until(namespace, 'first', 'Waiting', 'WaitsForActivation');
  await api.restore(namespace, 'second', FRIDAY);
  const { status } = await api.until(namespace, 'second', 'Waiting', 'AnotherRestore');
  expect(status.message).toContain("VolumeRestore 'first' of the same claim comes first");
  await api.remove(restorePath(namespace, 'first'));
  await api.untilGone(namespace, 'first');
  await api.until(namespace, 'second', 'Waiting', 'VolumeInUse');
  await a.unstage(volume);
  await api.until(namespace, 'second', 'Merging');
});

test('deletion takes back what waits, and not what has begun', async () => {
  const volume = await shop();
  await a.stage(volume);
  await api.restore(namespace, 'later', { ...FRIDAY, mode: 'OnActivate' });
  await api.until(namespace, 'later', 'Waiting', 'WaitsForActivation');
  await api.remove(restorePath(namespace, 'later'));
  await api.untilGone(namespace, 'later');
  expect((await a.engine().listRestores()).filter((one) => one.volume === volume)).toEqual([]);
  await a.unstage(volume);
  await api.restore(namespace, 'back', FRIDAY);
  await api.until(namespace, 'back', 'Merging');
  await api.remove(restorePath(namespace, 'back'));
  await api.untilGone(namespace, 'back');
  expect(a.read(volume)).toBe(1);
  a.finishMerges();
});

test('what is taken back on the node has failed', async () => {
  const volume = await shop();
  await a.stage(volume);
  await api.restore(namespace, 'later', { ...FRIDAY, mode: 'OnActivate' });
  await api.until(namespace, 'later', 'Waiting', 'WaitsForActivation');
  const restore = (await a.engine().listRestores()).find((one) => one.volume === volume);
  await a.engine().cancelRestore(restore?.id ?? '');
  const { status } = await api.until(namespace, 'later', 'Failed', 'Cancelled');
  expect(status.message).toContain("on node 'a'");
  await a.unstage(volume);
});

test('the driver dies at every step, and it goes on', async () => {
  const volume = await shop();
  await a.stage(volume);
  await api.restore(namespace, 'back', { ...FRIDAY, safetySnapshot: true });
  await a.restart();
  await api.until(namespace, 'back', 'Waiting', 'VolumeInUse');
  await a.unstage(volume);
  await api.until(namespace, 'back', 'Merging');
  await a.restart();
  await api.untilSo(namespace, 'back', ({ status }) => status.safetySnapshotName !== undefined);
  await a.restart();
  a.finishMerges();
  await api.until(namespace, 'back', 'Succeeded');
  const safety = (await a.engine().listSnapshots()).filter((one) => one.name?.startsWith('safety-') === true);
  expect(safety.filter((one) => one.volume === volume)).toHaveLength(1);
});

test('the API server is away while it begins, merges and ends', { timeout: 180_000 }, async () => {
  const volume = await shop();
  await a.stage(volume);
  await api.restore(namespace, 'later', { ...FRIDAY, mode: 'OnActivate', safetySnapshot: true });
  await api.until(namespace, 'later', 'Waiting', 'WaitsForActivation');
  await plane.stopApi();
  await a.unstage(volume);
  await a.stage(volume);
  expect(a.read(volume)).toBe(1);
  a.write(volume, 7);
  a.finishMerges();
  await plane.startApi();
  await api.until(namespace, 'later', 'Succeeded');
  const { status } = await api.untilSo(namespace, 'later', (one) => one.status.safetySnapshotName !== undefined);
  expect(status.beganTime).toBeDefined();
  expect(a.read(volume)).toBe(7);
  await a.unstage(volume);
});

test('a node that is gone lets go of its objects', async () => {
  const c = await startNode(api, 'c', 'cCCC');
  await api.node('c');
  c.startController();
  const volume = await shop(c);
  await c.stage(volume);
  await api.restore(namespace, 'later', { ...FRIDAY, mode: 'OnActivate' });
  await api.until(namespace, 'later', 'Waiting', 'WaitsForActivation');
  await c.stop();
  // Only away: it may come back, and would still do what it has noted.
  await api.remove(restorePath(namespace, 'later'));
  expect((await api.look(namespace, 'later'))?.metadata.finalizers).toEqual([FINALIZER]);
  await api.remove('/api/v1/nodes/c');
  // The next look of the others is half a minute away; a change is seen at once.
  await api.patch(restorePath(namespace, 'later'), { metadata: { annotations: { look: 'again' } } });
  await api.untilGone(namespace, 'later');
  await api.restore(namespace, 'never', FRIDAY);
  const { status } = await api.until(namespace, 'never', 'Waiting', 'NodeGone');
  expect(status.message).toContain("Node 'c', which holds the volume, is no longer part of the cluster");
});

/** What is wrong, how it is brought about, and what the object says. */
const WRONG: readonly (readonly [string, () => Promise<Record<string, unknown>>, string, string, string])[] = [
  [
    'no such claim',
    async () => ({ ...FRIDAY, persistentVolumeClaimName: 'none' }),
    'Waiting',
    'ClaimNotFound',
    "There is no PersistentVolumeClaim 'none' in namespace",
  ],
  [
    'a claim that is not bound',
    async () => {
      await api.unbound(namespace, 'empty');
      return { ...FRIDAY, persistentVolumeClaimName: 'empty' };
    },
    'Waiting',
    'ClaimNotBound',
    "Claim 'empty' is Pending",
  ],
  [
    "somebody else's volume",
    async () => {
      const pv = `pv-${namespace}`;
      await api.claim({ namespace, claim: 'other', pv, driver: 'example.com', handle: 'x', node: 'a' });
      return { ...FRIDAY, persistentVolumeClaimName: 'other' };
    },
    'Failed',
    'WrongDriver',
    'is one of example.com',
  ],
  [
    'no such snapshot',
    async () => ({ ...FRIDAY, volumeSnapshotName: 'none' }),
    'Waiting',
    'SnapshotNotFound',
    "There is no VolumeSnapshot 'none' in namespace",
  ],
  [
    'a snapshot that is not ready',
    async () => {
      await api.snapshot({ namespace, snapshot: 'soon', driver: DRIVER_NAME, handle: 'x', ready: false });
      return { ...FRIDAY, volumeSnapshotName: 'soon' };
    },
    'Waiting',
    'SnapshotNotReady',
    'is not ready to use',
  ],
  [
    'a snapshot of another volume',
    async () => {
      const other = await a.claim(namespace, 'other');
      await a.snapshot(namespace, 'others', other);
      return { ...FRIDAY, volumeSnapshotName: 'others' };
    },
    'Failed',
    'WrongSnapshot',
    'Cannot restore volume',
  ],
  [
    'a snapshot on another node',
    async () => {
      const other = await b.claim(namespace, 'other');
      await b.snapshot(namespace, 'others', other);
      return { ...FRIDAY, volumeSnapshotName: 'others' };
    },
    'Failed',
    'WrongSnapshot',
    'is on another node than the volume',
  ],
  [
    "somebody else's snapshot",
    async () => {
      await api.snapshot({ namespace, snapshot: 'others', driver: 'example.com', handle: 'x' });
      return { ...FRIDAY, volumeSnapshotName: 'others' };
    },
    'Failed',
    'WrongDriver',
    'is one of example.com',
  ],
  [
    'a snapshot that is gone',
    async () => {
      const handle = handleOf(a.engine(), await takenAndDeleted());
      await api.snapshot({ namespace, snapshot: 'gone', driver: DRIVER_NAME, handle });
      return { ...FRIDAY, volumeSnapshotName: 'gone' };
    },
    'Failed',
    'SnapshotGone',
    'does not exist any more',
  ],
  [
    'a volume that is no fork',
    async () => ({ persistentVolumeClaimName: 'shop', mode: 'NameSnapshot' }),
    'Failed',
    'NotAFork',
    'is no fork',
  ],
  [
    'a volume that is gone',
    async () => {
      const volume = await a.claim(namespace, 'given-up');
      await a.engine().deleteVolume(volume);
      return { ...FRIDAY, persistentVolumeClaimName: 'given-up' };
    },
    'Failed',
    'VolumeGone',
    'does not exist any more',
  ],
];

test.each(WRONG)('%s', async (_, make, phase, reason, says) => {
  const volume = await shop();
  await a.stage(volume);
  await api.restore(namespace, 'back', await make());
  const { status } = await api.until(namespace, 'back', phase, reason);
  expect(status.message).toContain(says);
  await api.untilSo(namespace, 'back', ({ metadata }) => metadata.finalizers.length === 0);
  expect(status.conditions?.find(({ type }) => type === 'Begun')).toMatchObject({ status: 'False', reason });
  expect(a.read(volume)).toBe(2);
  await a.unstage(volume);
  // Two drivers look at it, and one of them tells.
  await api.remove(restorePath(namespace, 'back'));
  await api.untilGone(namespace, 'back');
  const told = (await api.events(namespace)).filter(({ kind }) => kind === 'VolumeRestore');
  expect(told.map(({ count }) => count)).toEqual([1]);
});

async function takenAndDeleted() {
  const volume = await a.claim(namespace, 'brief');
  const { id } = await a.engine().createSnapshot(volume, `brief-${namespace}`);
  await a.engine().deleteSnapshot(id);
  return id;
}

async function gone(path: string): Promise<void> {
  await expect.poll(async () => api.get(path), { timeout: 20_000 }).toBeUndefined();
}
