// What the monitor sets going: a merge that is over is news once all merges of its restore are, and not before. A restore
// with a safety snapshot has such a merge from the beginning, because nothing has been written over that one yet.

import { clockOf } from '../clock.ts';
import { expect, test } from 'vitest';
import { createPoolEngine } from '../../src/engine/compose.ts';
import { deviceKey, poolName } from '../../src/vocabulary/ids.ts';
import { silentLog } from '../../src/vocabulary/ports.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { idOf } from '../contract/ids.ts';
import { blank } from '../contract/blank.ts';
import { createWorld } from './world.ts';

test('the first of two merges that ends sets nothing going', async () => {
  const world = createWorld({ extent: kib(512), disks: [mib(64)], mergeOnResume: 0 });
  let drawn = 0;
  let reports = 0;
  const engine = createPoolEngine({
    pool: poolName('test'),
    vg: (await world.lvm.report()).vgUuid,
    lvm: {
      ...world.lvm,
      report: async () => {
        reports += 1;
        return world.lvm.report();
      },
    },
    kernel: world.kernel,
    host: world.host,
    // Time passes, so that no report is shared.
    clock: clockOf(() => (drawn += 1000)),
    drawId: () => idOf((drawn += 1)),
    log: silentLog,
    reservePercent: 0,
    leastHeadroom: kib(512),
  });
  await engine.open();
  const { id: volume } = await engine.createVolume(blank('volume', mib(4)));
  await engine.activate(volume);
  const { id: snapshot } = await engine.createSnapshot(volume, 'snapshot');
  world.user.write(deviceKey(volume, 'top'), 0, [1, 2, 3, 4]);
  const restore = { volume, snapshot, mode: 'origin', keepSnapshot: true, safetySnapshotName: 'safety' } as const;
  await engine.startRestore({ ...restore, replace: false, token: undefined });
  await engine.settle();
  expect(world.inspect.merging()).toHaveLength(1);
  reports = 0;
  await engine.look();
  await engine.settle();
  expect(reports).toBe(0);
  world.control.finishMerges();
  await engine.look();
  await engine.settle();
  expect((await engine.listRestores()).map(({ phase }) => phase)).toEqual(['done']);
});
