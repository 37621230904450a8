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

/** A volume called 'before' is being made for as long as `release` has not been called. */
async function beside() {
  const world = createWorld({ extent: kib(64), disks: [mib(32)] });
  const gate = { slow: false, release: (): void => undefined };
  const zero: World['host']['zero'] = async (...asked) => {
    if (gate.slow) await new Promise<void>((resolve) => (gate.release = resolve));
    await world.host.zero(...asked);
  };
  const create: World['lvm']['create'] = async (...asked) => {
    if (gate.slow) await new Promise<void>((resolve) => (gate.release = resolve));
    await world.lvm.create(...asked);
  };
  const engine = await poolEngine(world, { host: { ...world.host, zero }, lvm: { ...world.lvm, create } });
  await engine.open();
  const { id: volume } = await engine.createVolume(blank('volume', mib(1)));
  const { id: other } = await engine.createVolume(blank('other', mib(1)));
  const { id: snapshot } = await engine.createSnapshot(volume, 'good');
  await engine.settle();
  const request = { volume, snapshot, mode: 'origin', keepSnapshot: true, replace: false, token: undefined } as const;
  const slowly = async <T>(work: () => Promise<T>): Promise<{ readonly end: () => Promise<T> }> => {
    gate.slow = true;
    const under = work();
    await new Promise((resolve) => setTimeout(resolve, 5));
    gate.slow = false;
    return {
      end: async () => {
        gate.release();
        return under;
      },
    };
  };
  return { world, engine, volume, other, snapshot, request, slowly };
}

test('a volume that is being made keeps no safety snapshot from its name', async () => {
  const { engine, request, slowly } = await beside();
  const making = await slowly(() => engine.createVolume(blank('before', mib(1))));
  await engine.startRestore({ ...request, safetySnapshotName: 'before' });
  expect((await engine.listSnapshots()).map(({ name }) => name)).toContain('before');
  await making.end();
});

test('a restore that waits, and whose name is being given, waits on; nothing else of its family does', async () => {
  const { world, engine, other, volume, snapshot, request, slowly } = await beside();
  const { id: newer } = await engine.createSnapshot(volume, 'newer');
  await engine.startRestore({ ...request, snapshot: newer, safetySnapshotName: undefined });
  const asked = await engine.startRestore({ ...request, snapshot, safetySnapshotName: 'before' });
  expect(asked.phase).toBe('waiting');
  const making = await slowly(() => engine.createSnapshot(other, 'before'));
  world.control.finishMerges();
  await engine.retry();
  await engine.retry();
  expect(await engine.getRestore(asked.id)).toMatchObject({
    phase: 'waiting',
    message: expect.stringContaining('before'),
  });
  expect((await engine.inspect()).known.stuck.size).toBe(0);
  await making.end();
});
