// Names are given once, also to those who ask for one at the same time.

import { expect, test } from 'vitest';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { blank } from '../contract/blank.ts';
import { poolEngine } from './pool-engine.ts';
import type { World } from './world.ts';
import { createWorld } from './world.ts';

test.each([
  { of: 'the same volume', first: 'restore' },
  { of: 'the same volume', first: 'snapshot' },
  { of: 'another volume', first: 'restore' },
  { of: 'another volume', first: 'snapshot' },
])(
  'a restore and a snapshot of $of that ask for one name at once, the $first first, make one',
  async ({ of, first }) => {
    const world = createWorld({ extent: kib(64), disks: [mib(32)] });
    // Each has looked before the other has made anything.
    const create: World['lvm']['create'] = async (...asked) => {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await world.lvm.create(...asked);
    };
    const engine = await poolEngine(world, { lvm: { ...world.lvm, create } });
    await engine.open();
    const { id: volume } = await engine.createVolume(blank('volume', mib(1)));
    const { id: other } = await engine.createVolume(blank('other', mib(1)));
    const { id: snapshot } = await engine.createSnapshot(volume, 'good');
    const request = { volume, snapshot, mode: 'origin', keepSnapshot: true, replace: false, token: undefined } as const;
    const calls = [
      () => engine.startRestore({ ...request, safetySnapshotName: 'before' }),
      () => engine.createSnapshot(of === 'another volume' ? other : volume, 'before'),
    ];
    const inOrder = first === 'restore' ? calls : calls.toReversed();
    const both = await Promise.allSettled(inOrder.map(async (call) => call()));
    expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect((await engine.listSnapshots()).filter(({ name }) => name === 'before')).toHaveLength(1);
  },
);
