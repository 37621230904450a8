// VolumeRestores of a volume in use: who holds it, on activation by a restarted pod, and a fork that is promoted under its
// pod; and what is wrong is said.

import { expect, test } from 'vitest';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('restore');
const POLL = { timeout: 240_000, interval: 1_000 };

const put = (pod: string, text: string): Promise<string> =>
  room.exec(pod, 'sh', '-c', `echo ${text} >/data/text; sync`);
const text = async (pod: string): Promise<string> => (await room.exec(pod, 'cat', '/data/text')).trim();

test(
  'a volume in use, and then it goes back',
  async () => {
    await room.apply('shop.yaml');
    await room.ready('shop');
    await put('shop', 'friday');
    await room.apply('friday.yaml');
    await room.field('volumesnapshot/friday', '.status.readyToUse', 'true');
    await room.apply('fork.yaml');
    await put('shop', 'monday');

    await room.apply('restore-friday.yaml');
    const restore = 'volumerestore/back-to-friday';
    await room.field(restore, '.status.reason', 'VolumeInUse');
    expect(await room.value(restore, '.status.blockingPods[0]')).toBe('shop');
    await room.event('VolumeRestore/back-to-friday', "Pod 'shop' uses the volume");
    await room.event('PersistentVolumeClaim/shop', "VolumeRestore 'back-to-friday': Pod 'shop' uses the volume");
    expect(await text('shop')).toBe('monday');
    // Its owner lets go; nothing else has to be done.
    await room.remove('pod/shop');
    await room.condition(restore, 'Begun');
    await room.apply('shop.yaml');
    await room.ready('shop');
    expect(await text('shop')).toBe('friday');
    await room.condition(restore, 'Complete');
    const shown = await room.kubectl('get', 'volumerestores', 'back-to-friday');
    expect(shown).toMatch(/shop +friday +NameOrigin +Succeeded +100% +Merged/);
    await expect.poll(() => room.value(restore, '.status.safetySnapshotName'), POLL).toMatch(/^back-to-friday-safety-/);
    const safety = await room.value(restore, '.status.safetySnapshotName');
    await room.field(`volumesnapshot/${safety}`, '.status.readyToUse', 'true');
    await room.remember();
  },
  2 * TEST_LIMIT_MS,
);

test(
  'at the next start of its pod',
  async () => {
    await put('shop', 'tuesday');
    await room.apply('restore-on-activate.yaml');
    const restore = 'volumerestore/friday-at-next-start';
    await room.field(restore, '.status.reason', 'WaitsForActivation');
    expect(await text('shop')).toBe('tuesday');
    await room.remove('pod/shop');
    await room.apply('shop.yaml');
    await room.ready('shop');
    expect(await text('shop')).toBe('friday');
    await room.condition(restore, 'Complete');
  },
  2 * TEST_LIMIT_MS,
);

test(
  'a fork takes over, and its pod goes on',
  async () => {
    await room.ready('test-a');
    expect(await text('test-a')).toBe('friday');
    const container = '.status.containerStatuses[0].containerID';
    const before = await room.value('pod/test-a', container);
    const writer = 'n=0; while :; do n=$((n+1)); echo $n >>/data/lines; sync; sleep 0.2; done';
    await room.exec('test-a', 'sh', '-c', `(${writer}) >/dev/null 2>&1 &`);
    // The volume that is to be given up may have no other dependants, and nobody may use it.
    const safety = await room.value('volumerestore/back-to-friday', '.status.safetySnapshotName');
    await room.remove(`volumesnapshot/${safety}`);
    await room.apply('promote-fork.yaml');
    const restore = 'volumerestore/promote-test-a';
    await room.field(restore, '.status.reason', 'VolumeInUse');
    await room.remove('pod/shop');
    await room.condition(restore, 'Complete');
    expect(await room.value('pod/test-a', container)).toBe(before);
    await room.event('PersistentVolumeClaim/shop', 'Its volume has been given up');
    const lines = (await room.exec('test-a', 'cat', '/data/lines')).trim().split('\n').map(Number);
    expect(lines).toEqual(lines.map((_, index) => index + 1));
    expect(await text('test-a')).toBe('friday');
    // The claim shows a volume that is gone, and can be deleted.
    await room.remove('pvc/shop');
  },
  2 * TEST_LIMIT_MS,
);

const restoreOf = (name: string, spec: object): string =>
  JSON.stringify({ apiVersion: 'snapmerge.io/v1alpha1', kind: 'VolumeRestore', metadata: { name }, spec });

test(
  'what is wrong is said',
  async () => {
    await room.create(restoreOf('no-claim', { persistentVolumeClaimName: 'none', volumeSnapshotName: 'friday' }));
    await room.create(
      restoreOf('no-snapshot', { persistentVolumeClaimName: 'test-a', volumeSnapshotName: 'none', timeoutSeconds: 5 }),
    );
    await room.create(restoreOf('no-fork', { persistentVolumeClaimName: 'test-a', mode: 'NameSnapshot' }));
    await expect(room.create(restoreOf('no-name', { persistentVolumeClaimName: 'test-a' }))).rejects.toThrow(
      'volumeSnapshotName is required',
    );
    await room.field('volumerestore/no-claim', '.status.reason', 'ClaimNotFound');
    await room.field('volumerestore/no-snapshot', '.status.phase', 'Failed');
    expect(await room.value('volumerestore/no-snapshot', '.status.message')).toContain(
      'SnapshotNotFound: There is no VolumeSnapshot',
    );
    await room.event('VolumeRestore/no-snapshot', 'TimedOut');
  },
  TEST_LIMIT_MS,
);
