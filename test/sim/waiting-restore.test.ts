// A restore that waited, was decided, and could not be shown at once: it has begun, and nothing else of the family begins beside
// it on what was known before.

import { expect, test } from 'vitest';
import type { Kernel } from '../../src/dm/kernel.ts';
import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import type { SnapshotId } from '../../src/vocabulary/ids.ts';
import { deviceKey } from '../../src/vocabulary/ids.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { PLAIN, blank } from '../contract/blank.ts';
import { poolEngine } from './pool-engine.ts';
import { createWorld } from './world.ts';

const PARAMETERS = { ...PLAIN, snapshotReservePercent: 100 } as const;
const REQUEST = {
  mode: 'origin',
  keepSnapshot: true,
  safetySnapshotName: undefined,
  replace: false,
  token: undefined,
} as const;

test('a restore that has been decided is begun, also where the kernel refuses its first step', async () => {
  const world = createWorld({ extent: kib(64), disks: [mib(64)], mergeOnResume: 1 });
  let refuses = false;
  let refused = 0;
  const apply: Kernel['apply'] = async (steps) => {
    const begins = steps.some((step) => step.do === 'load' && step.table[0]?.type === 'snapshot-merge');
    if (refuses && begins) {
      refused += 1;
      throw new SnapmergeError('precondition', 'Cannot freeze it now');
    }
    await world.kernel.apply(steps);
  };
  const engine = await poolEngine(world, { kernel: { ...world.kernel, apply }, leastHeadroom: mib(4) });
  await engine.open();
  const { id: volume } = await engine.createVolume(blank('volume', mib(1), PARAMETERS));
  await engine.activate(volume);
  const images = new Map<SnapshotId, readonly number[] | undefined>();
  const top = deviceKey(volume, 'top');
  const snapshots: SnapshotId[] = [];
  for (const name of ['first', 'second', 'third', 'fourth']) {
    for (let block = snapshots.length; block < 200; block += 3)
      world.user.write(top, block, [1000 * snapshots.length + block + 1]);
    const { id } = await engine.createSnapshot(volume, name);
    images.set(id, world.inspect.content(top));
    snapshots.push(id);
  }
  const [, second, third, fourth] = snapshots;
  if (second === undefined || third === undefined || fourth === undefined) throw new Error('a snapshot is missing');
  for (let block = 0; block < 200; block += 7) world.user.write(top, block, [9000 + block]);
  await engine.deactivate(volume);
  await engine.settle();
  await engine.startRestore({ ...REQUEST, volume, snapshot: fourth });
  const waiting = await engine.startRestore({ ...REQUEST, volume, snapshot: third });
  expect(waiting.phase).toBe('waiting');
  // Now the first reads through a ghost, which can be absorbed as soon as nothing else merges.
  await engine.deleteSnapshot(second);
  images.delete(second);

  expect(world.control.finishMerges()).toBe(true);
  refuses = true;
  await engine.look();
  await engine.settle();
  expect(refused).toBeGreaterThan(0);
  const tags = (await world.lvm.report()).stores.flatMap((store) => store.tags);
  expect(tags.some((tag) => tag.startsWith(`sm.restore=${waiting.id.slice(2)}`))).toBe(true);
  expect(tags.filter((tag) => tag.startsWith('sm.merging'))).toEqual([]);

  refuses = false;
  await engine.activate(volume);
  expect(world.inspect.content(top)).toEqual(images.get(third));
  for (let round = 0; round < 6; round += 1) {
    await engine.settle();
    expect(world.control.finishMerges()).toBe(true);
    await engine.look();
  }
  expect((await engine.getRestore(waiting.id))?.phase).toBe('done');
  expect(world.inspect.content(top)).toEqual(images.get(third));
  await engine.show(new Set(images.keys()));
  for (const [id, image] of images) expect(world.inspect.content(deviceKey(id, 'view'))).toEqual(image);
});
