// Names are given once, also to those who ask for one at the same time.

import { expect, test } from 'vitest';
import { kib, mib } from '../../src/units.ts';
import { blank } from '../contract/blank.ts';
import { poolEngine } from './pool-engine.ts';
import { createWorld } from './world.ts';

test('a restore and a snapshot that ask for one name at once make one snapshot of it', async () => {
  const world = createWorld({ extent: kib(64), disks: [mib(32)] });
  const engine = await poolEngine(world);
  await engine.open();
  const { id: volume } = await engine.createVolume(blank('volume', mib(1)));
  const { id: snapshot } = await engine.createSnapshot(volume, 'good');
  const request = { volume, snapshot, mode: 'origin', keepSnapshot: true, replace: false, token: undefined } as const;
  const both = await Promise.allSettled([
    engine.startRestore({ ...request, safetySnapshotName: 'before' }),
    engine.createSnapshot(volume, 'before'),
  ]);
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  expect((await engine.listSnapshots()).filter(({ name }) => name === 'before')).toHaveLength(1);
});
