// A store that was to be removed and is still there, because LVM would not: whatever is asked of its family then, its records
// stay true.

import { expect, test } from 'vitest';
import { createPoolEngine } from '../../src/engine/pool.ts';
import { SnapmergeError } from '../../src/errors.ts';
import { poolName } from '../../src/ids.ts';
import type { VolumeId } from '../../src/ids.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import { silentLog } from '../../src/ports.ts';
import { kib, mib } from '../../src/units.ts';
import { idOf } from '../contract/ids.ts';
import { createWorld } from './world.ts';

const PARAMETERS = {
  layout: 'linear',
  chunk: kib(16),
  snapshotReservePercent: 10,
  onFull: 'wait',
  scratch: false,
} as const;

test('a fork is promoted after another one could be deleted, but not removed', async () => {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(48)] });
  let isBroken = false;
  const lvm: Lvm = {
    ...world.lvm,
    remove: async (store) => {
      if (isBroken) throw new SnapmergeError('unavailable', `Cannot remove '${store}'`);
      await world.lvm.remove(store);
    },
  };
  let next = 1;
  const engine = createPoolEngine({
    pool: poolName('test'),
    vg: (await world.lvm.report()).vgUuid,
    lvm,
    kernel: world.kernel,
    host: world.host,
    clock: { nowMs: () => (next += 1), sleep: () => Promise.resolve() },
    drawId: () => idOf(next++),
    log: silentLog,
    reservePercent: 0,
    leastHeadroom: kib(128),
  });
  await engine.open();
  const make = { requiredBytes: mib(4), limitBytes: undefined, parameters: PARAMETERS };
  const { id: origin } = await engine.createVolume({ ...make, name: 'origin', source: undefined });
  await engine.activate(origin);
  const { id: snapshot } = await engine.createSnapshot(origin, 'base');
  const fork = async (name: string): Promise<VolumeId> =>
    (await engine.createVolume({ ...make, name, source: { from: 'snapshot', snapshot } })).id;
  const [kept, other] = [await fork('kept'), await fork('other')];
  await engine.deactivate(origin);
  const promote = {
    volume: kept,
    snapshot,
    mode: 'snapshot',
    keepSnapshot: false,
    safetySnapshotName: undefined,
    replace: false,
    token: undefined,
  } as const;

  isBroken = true;
  await engine.deleteVolume(other).catch(() => undefined);
  await expect(engine.startRestore(promote)).rejects.toThrow('Cannot remove');
  expect((await engine.getVolume(kept))?.health).toEqual({ state: 'healthy' });
  isBroken = false;
  const { id } = await engine.startRestore(promote);
  await engine.settle();
  world.control.finishMerges();
  await engine.look();
  await engine.settle();
  expect((await engine.getRestore(id))?.phase).toBe('done');
  expect((await engine.listVolumes()).map((volume) => volume.id)).toEqual([kept]);
  expect(await engine.getSnapshot(snapshot)).toBeUndefined();
});
