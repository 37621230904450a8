// The definition of VolumeRestore as an API server applies it: what it refuses and with which words, what it fills in, and
// what kubectl shows.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { startControlPlane } from '../../tools/cluster/control-plane.ts';
import type { ControlPlane } from '../../tools/cluster/control-plane.ts';
import { apiOf, restorePath } from './api.ts';
import type { Api } from './api.ts';
import { installDefinitions } from './definitions.ts';

let plane: ControlPlane;
let api: Api;

beforeAll(async () => {
  plane = await startControlPlane({ name: 'definition' });
  await installDefinitions(plane);
  api = apiOf(plane);
}, 1_500_000);

afterAll(async () => {
  await plane?.stop();
});

const FRIDAY = { persistentVolumeClaimName: 'shop', volumeSnapshotName: 'friday' };

test('defaults', async () => {
  const { spec } = await api.restore('default', 'plain', FRIDAY);
  expect(spec).toEqual({
    ...FRIDAY,
    mode: 'NameOrigin',
    keepSnapshot: true,
    safetySnapshot: false,
    timeoutSeconds: 600,
  });
});

test.each([
  [{}, 'spec.persistentVolumeClaimName: Required value'],
  [{ persistentVolumeClaimName: 'shop' }, 'volumeSnapshotName is required in the modes NameOrigin and OnActivate'],
  [
    { persistentVolumeClaimName: 'shop', mode: 'OnActivate' },
    'volumeSnapshotName is required in the modes NameOrigin and OnActivate',
  ],
  [
    { persistentVolumeClaimName: 'fork', mode: 'NameSnapshot', safetySnapshot: true },
    'safetySnapshot has no use in the mode NameSnapshot',
  ],
  [{ ...FRIDAY, mode: 'Sideways' }, 'Unsupported value: "Sideways"'],
  [{ ...FRIDAY, volumeSnapshotName: 'elsewhere/friday' }, 'spec.volumeSnapshotName: Invalid value'],
  [{ ...FRIDAY, persistentVolumeClaimName: '' }, 'spec.persistentVolumeClaimName: Invalid value'],
  [{ ...FRIDAY, timeoutSeconds: -1 }, 'greater than or equal to 0'],
  [{ ...FRIDAY, keepSnapshot: 'yes' }, 'must be of type boolean'],
])('refuses %j', async (spec, says) => {
  await expect(api.restore('default', 'wrong', spec)).rejects.toThrow(says);
});

test('a fork needs no snapshot named', async () => {
  const made = await api.restore('default', 'promote', { persistentVolumeClaimName: 'fork', mode: 'NameSnapshot' });
  expect(made.spec.volumeSnapshotName).toBeUndefined();
});

test('spec cannot be changed', async () => {
  await api.restore('default', 'fixed', FRIDAY);
  for (const change of [{ timeoutSeconds: 5 }, { mode: 'OnActivate' }, { volumeSnapshotName: null }]) {
    await expect(api.patch(restorePath('default', 'fixed'), { spec: change })).rejects.toThrow(
      'spec cannot be changed; delete this VolumeRestore and create another one',
    );
  }
});

test('users do not write the status by accident, and the status not the spec', async () => {
  await api.restore('default', 'apart', FRIDAY);
  await api.patch(restorePath('default', 'apart'), { status: { phase: 'Succeeded' } });
  expect((await api.look('default', 'apart'))?.status.phase).toBeUndefined();
  await api.patch(`${restorePath('default', 'apart')}/status`, {
    spec: { mode: 'OnActivate' },
    status: { phase: 'Failed' },
  });
  expect(await api.look('default', 'apart')).toMatchObject({
    spec: { mode: 'NameOrigin' },
    status: { phase: 'Failed' },
  });
  await expect(
    api.patch(`${restorePath('default', 'apart')}/status`, { status: { phase: 'Nowhere' } }),
  ).rejects.toThrow('Unsupported value: "Nowhere"');
});

test('kubectl answers the first question', async () => {
  await api.restore('default', 'shown', { ...FRIDAY, mode: 'OnActivate' });
  const status = { phase: 'Waiting', reason: 'WaitsForActivation', progress: '42%', node: 'a' };
  await api.patch(`${restorePath('default', 'shown')}/status`, { status });
  const short = await plane.kubectl(['get', 'vrs', 'shown']);
  const [head = '', line = ''] = short.trim().split('\n');
  expect(head.split(/\s{2,}/)).toEqual(['NAME', 'PVC', 'SNAPSHOT', 'MODE', 'PHASE', 'PROGRESS', 'REASON', 'AGE']);
  expect(line.split(/\s{2,}/).slice(0, 7)).toEqual([
    'shown',
    'shop',
    'friday',
    'OnActivate',
    'Waiting',
    '42%',
    'WaitsForActivation',
  ]);
  const wide = await plane.kubectl(['get', 'volumerestores', '--output=wide']);
  expect(wide.split('\n')[0]).toMatch(/NODE\s+SAFETY SNAPSHOT\s+MESSAGE$/);
  const ours = await plane.kubectl([
    'get',
    'vrs',
    '--field-selector=spec.persistentVolumeClaimName=fork',
    '--output=name',
  ]);
  expect(ours.trim()).toBe('volumerestore.snapmerge.io/promote');
  expect(await plane.kubectl(['explain', 'volumerestore.spec.mode'])).toContain(
    'NameOrigin: the volume keeps its name',
  );
});
