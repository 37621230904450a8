// A volume that is being staged is looked at, and perhaps formatted, before anybody has it open: no restore begins meanwhile.

import { expect, test } from 'vitest';
import { deviceKey } from '../../src/vocabulary/ids.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { blank } from '../contract/blank.ts';
import { poolEngine } from './pool-engine.ts';
import { createWorld } from './world.ts';

test('a restore waits until what is found in staging has been acted upon, and staging until a restore has begun', async () => {
  const world = createWorld({ extent: kib(64), disks: [mib(16)] });
  const engine = await poolEngine(world);
  await engine.open();
  const { id: volume } = await engine.createVolume(blank('volume', mib(1)));
  const top = deviceKey(volume, 'top');
  await engine.activate(volume);
  world.user.write(top, 0, [7]);
  const { id: snapshot } = await engine.createSnapshot(volume, 'with something');
  world.user.write(top, 0, [0]);
  await engine.deactivate(volume);

  const request = {
    volume,
    snapshot,
    keepSnapshot: true,
    safetySnapshotName: undefined,
    replace: false,
    token: undefined,
  };
  const restore = () => engine.startRestore({ ...request, mode: 'origin' });
  const seen = await engine.stage(volume, async () => {
    await engine.activate(volume);
    const found = world.user.read(top, 0, 1);
    await expect(restore()).rejects.toThrow(/it is being staged/);
    return [found, world.user.read(top, 0, 1)];
  });
  expect(seen).toEqual([[0], [0]]);

  const begins = restore();
  await expect(engine.stage(volume, () => Promise.resolve())).rejects.toThrow(/a restore of it is being set up/);
  await begins;
  expect(world.user.read(top, 0, 1)).toEqual([7]);
});

test('an unstaging that failed is finished by the next one, and until then the volume counts as staged', async () => {
  const world = createWorld({ extent: kib(64), disks: [mib(16)] });
  const engine = await poolEngine(world);
  await engine.open();
  const { id } = await engine.createVolume(blank('volume', mib(1)));
  const top = deviceKey(id, 'top');
  await engine.activate(id);
  world.control.failAfter(0, 'before');
  await expect(engine.deactivate(id)).rejects.toThrow(/a fault was asked for/);
  expect(world.inspect.devices()).toContain(top);
  expect(await engine.active(id)).toBeDefined();
  await expect(engine.deleteVolume(id)).rejects.toThrow(/it is staged on this node/);
  await engine.deactivate(id);
  expect(world.inspect.devices()).not.toContain(top);
  expect(await engine.active(id)).toBeUndefined();
  await engine.deleteVolume(id);
  expect(await engine.listVolumes()).toHaveLength(0);
});
