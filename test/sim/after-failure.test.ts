// What one operation has left behind that failed, because LVM or the kernel would not, and what the next one makes of it: the
// records of the family stay true, and it can be shown.

import { expect, test } from 'vitest';
import type { PoolEngine } from '../../src/engine/pool.ts';
import { SnapmergeError } from '../../src/errors.ts';
import { deviceKey } from '../../src/ids.ts';
import type { SnapshotId, VolumeId } from '../../src/ids.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import { inTurn } from '../../src/dm/kernel.ts';
import type { Step } from '../../src/dm/step.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import { kib, mib } from '../../src/units.ts';
import { poolEngine } from './pool-engine.ts';
import type { World } from './world.ts';
import { createWorld } from './world.ts';

const PARAMETERS = {
  layout: 'linear',
  chunk: kib(16),
  snapshotReservePercent: 10,
  onFull: 'wait',
  scratch: false,
} as const;

interface Scene {
  readonly world: World;
  readonly engine: PoolEngine;
  /** Refuses what it says true to. */
  readonly broken: { remove: boolean; retag: () => boolean; step: (step: Step) => boolean };
  readonly create: (name: string, snapshot?: SnapshotId) => Promise<VolumeId>;
}

async function scene(): Promise<Scene> {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(48)] });
  const broken: Scene['broken'] = { remove: false, retag: () => false, step: () => false };
  const refuse = (what: string): never => {
    throw new SnapmergeError('unavailable', `Cannot ${what}`);
  };
  const lvm: Lvm = {
    ...world.lvm,
    remove: async (store) => (broken.remove ? refuse('remove') : world.lvm.remove(store)),
    retag: async (...args) => (broken.retag() ? refuse('retag') : world.lvm.retag(...args)),
  };
  const apply: Kernel['apply'] = inTurn(async (step) =>
    broken.step(step) ? refuse(step.do) : world.kernel.apply([step]),
  );
  const engine = await poolEngine(world, { lvm, kernel: { ...world.kernel, apply } });
  await engine.open();
  const make = { requiredBytes: mib(4), limitBytes: undefined, parameters: PARAMETERS };
  return {
    world,
    engine,
    broken,
    create: async (name, snapshot) => {
      const source = snapshot === undefined ? undefined : ({ from: 'snapshot', snapshot } as const);
      return (await engine.createVolume({ ...make, name, source })).id;
    },
  };
}

test('a fork is promoted after another one was deleted and could not be removed', async () => {
  const { world, engine, broken, create } = await scene();
  const origin = await create('origin');
  await engine.activate(origin);
  const { id: snapshot } = await engine.createSnapshot(origin, 'base');
  const [kept, other] = [await create('kept', snapshot), await create('other', snapshot)];
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

  broken.remove = true;
  await engine.deleteVolume(other).catch(() => undefined);
  await expect(engine.startRestore(promote)).rejects.toThrow('Cannot remove');
  expect((await engine.getVolume(kept))?.health).toEqual({ state: 'healthy' });
  broken.remove = false;
  const { id } = await engine.startRestore(promote);
  await engine.settle();
  world.control.finishMerges();
  await engine.look();
  await engine.settle();
  expect((await engine.getRestore(id))?.phase).toBe('done');
  expect((await engine.listVolumes()).map((volume) => volume.id)).toEqual([kept]);
  expect(await engine.getSnapshot(snapshot)).toBeUndefined();
});

test('a volume is snapshotted, and asked to grow again, after it has grown in its records alone', async () => {
  const { world, engine, broken, create } = await scene();
  const volume = await create('volume');
  await engine.activate(volume);
  const blocksShown = (): number => world.inspect.content(deviceKey(volume, 'top'))?.length ?? 0;

  broken.step = (step) => step.do === 'load';
  await expect(engine.expandVolume(volume, mib(8), undefined)).rejects.toThrow('Cannot load');
  await expect(engine.expandVolume(volume, mib(8), undefined)).rejects.toThrow('Cannot load');
  await expect(engine.createSnapshot(volume, 'too early')).rejects.toThrow('Cannot load');
  expect(await engine.listSnapshots()).toEqual([]);
  expect(blocksShown()).toBe(1024);
  broken.step = () => false;
  await engine.createSnapshot(volume, 'then');
  expect(blocksShown()).toBe(2048);
  expect(await engine.expandVolume(volume, mib(8), undefined)).toBe(mib(8));
});

test('a snapshot keeps what it shows when the only thing that decided the one it reads through is deleted', async () => {
  const { world, engine, broken, create } = await scene();
  const volume = await create('volume');
  await engine.activate(volume);
  const top = deviceKey(volume, 'top');
  world.user.write(top, 3, [31]);
  const { id: snapshot } = await engine.createSnapshot(volume, 'friday');
  const clone = {
    name: 'clone',
    requiredBytes: mib(4),
    limitBytes: undefined,
    parameters: PARAMETERS,
    source: { from: 'volume', volume },
  } as const;

  // The clone is decided, and with it the hidden snapshot; only that one's own mark is not taken off.
  let retags = 0;
  broken.retag = () => (retags += 1) === 2;
  await expect(engine.createVolume(clone)).rejects.toThrow('Cannot retag');
  const { id } = await engine.createVolume(clone);
  world.user.write(top, 3, [32]);
  await engine.deleteVolume(id);
  await engine.createSnapshot(volume, 'saturday');
  world.user.write(top, 3, [33]);
  await engine.show(new Set([snapshot]));
  expect(world.inspect.content(deviceKey(snapshot, 'view'))?.[3]).toBe(31);
});
