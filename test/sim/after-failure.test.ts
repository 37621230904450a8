// What one operation has left behind that failed, because LVM or the kernel would not, and what the next one makes of it: the
// records of the family stay true, and it can be shown.

import { expect, test } from 'vitest';
import type { CreateVolume } from '../../src/engine/engine.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import { deviceKey } from '../../src/vocabulary/ids.ts';
import type { SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import { inTurn } from '../../src/dm/kernel.ts';
import type { Step } from '../../src/dm/step.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { clockOf } from '../clock.ts';
import { PLAIN, blank } from '../contract/blank.ts';
import { poolEngine } from './pool-engine.ts';
import type { World } from './world.ts';
import { createWorld } from './world.ts';

const PARAMETERS = { ...PLAIN, chunk: kib(16) } as const;

const cloneOf = (volume: VolumeId): CreateVolume => ({
  ...blank('clone', mib(4), PARAMETERS),
  source: { from: 'volume', volume },
});

interface Scene {
  readonly world: World;
  readonly engine: PoolEngine;
  /** Refuses what it says true to. */
  readonly broken: {
    remove: boolean;
    shrink: boolean;
    flush: boolean;
    retag: () => boolean;
    step: (step: Step) => boolean;
  };
  /** How often LVM has been asked to shrink a store. */
  readonly shrinks: () => number;
  readonly pass: (ms: number) => void;
  readonly create: (name: string, snapshot?: SnapshotId) => Promise<VolumeId>;
}

async function scene(): Promise<Scene> {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(48)] });
  const broken: Scene['broken'] = {
    remove: false,
    shrink: false,
    flush: false,
    retag: () => false,
    step: () => false,
  };
  let shrinks = 0;
  let ms = 0;
  const refuse = (what: string): never => {
    throw new SnapmergeError('unavailable', `Cannot ${what}`);
  };
  const lvm: Lvm = {
    ...world.lvm,
    remove: async (store) => (broken.remove ? refuse('remove') : world.lvm.remove(store)),
    shrink: async (...args) => {
      shrinks += 1;
      await (broken.shrink ? refuse('shrink') : world.lvm.shrink(...args));
    },
    retag: async (...args) => (broken.retag() ? refuse('retag') : world.lvm.retag(...args)),
    flush: async () => (broken.flush ? refuse('flush') : world.lvm.flush()),
  };
  const apply: Kernel['apply'] = inTurn(async (step) =>
    broken.step(step) ? refuse(step.do) : world.kernel.apply([step]),
  );
  const clock = clockOf(() => (ms += 1));
  const engine = await poolEngine(world, { lvm, clock, kernel: { ...world.kernel, apply } });
  await engine.open();
  const make = { requiredBytes: mib(4), limitBytes: undefined, parameters: PARAMETERS };
  return {
    world,
    engine,
    broken,
    shrinks: () => shrinks,
    pass: (by) => void (ms += by),
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
  // What cannot be removed hangs on nothing from then on, and stands in nobody's way.
  const { id } = await engine.startRestore(promote);
  expect((await engine.getVolume(kept))?.health).toEqual({ state: 'healthy' });
  await engine.settle();
  broken.remove = false;
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
  const clone = cloneOf(volume);

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

test('a snapshot that could not be taken is no answer for who asks again, and neither is a clone', async () => {
  const { world, engine, broken, create } = await scene();
  const volume = await create('volume');
  await engine.activate(volume);
  const top = deviceKey(volume, 'top');
  const clone = cloneOf(volume);
  const asked = [() => engine.createSnapshot(volume, 'friday'), () => engine.createVolume(clone)];
  const shown: (readonly number[] | undefined)[] = [];
  for (const [index, ask] of asked.entries()) {
    world.user.write(top, 3, [10 * index + 1]);
    broken.step = (step) => step.do === 'suspend';
    await expect(ask()).rejects.toThrow('Cannot suspend');
    await expect(ask()).rejects.toThrow('Cannot suspend');
    world.user.write(top, 3, [10 * index + 2]);
    broken.step = () => false;
    const { id } = await ask();
    world.user.write(top, 3, [10 * index + 3]);
    await engine.show(new Set([id]));
    shown.push(world.inspect.content(deviceKey(id, 'view')));
    await engine.show(new Set());
  }
  expect(shown.map((blocks) => blocks?.[3])).toEqual([2, 12]);
});

test('what is answered when it is asked for again is on the disks, also where the first flush failed', async () => {
  const { world, engine, broken, create } = await scene();
  broken.flush = true;
  await expect(create('volume')).rejects.toThrow('Cannot flush');
  await expect(create('volume')).rejects.toThrow('Cannot flush');
  broken.flush = false;
  const volume = await create('volume');
  await engine.stop();
  world.control.crashPower({ contents: 'everything', commits: 'everything' });
  const after = await poolEngine(world);
  await after.open();
  expect((await after.listVolumes()).map(({ id }) => id)).toEqual([volume]);
});

test.each(['level0', 'level1', 'level2', 'view'] as const)(
  'a fork is restored after its %s could not be resumed for a whole converge, and nothing of it is taken for lost',
  async (device) => {
    const { world, engine, broken, create } = await scene();
    const origin = await create('origin');
    await engine.activate(origin);
    world.user.write(deviceKey(origin, 'top'), 3, [3]);
    const { id: base } = await engine.createSnapshot(origin, 'base');
    const fork = await create('fork', base);
    await engine.activate(fork);
    const top = deviceKey(fork, 'top');
    const snapshots: SnapshotId[] = [];
    for (const name of ['first', 'second']) {
      for (let block = 0; block < 100; block += 3) world.user.write(top, block + snapshots.length, [1000 + block]);
      snapshots.push((await engine.createSnapshot(fork, name)).id);
    }
    const [first, second] = snapshots;
    if (first === undefined || second === undefined) throw new Error('a snapshot is missing');
    await engine.show(new Set([first]));
    const then = world.inspect.content(deviceKey(first, 'view'));
    await engine.show(new Set());
    world.user.write(top, 3, [4, 5, 6]);
    await engine.deactivate(fork);
    await engine.settle();

    broken.step = (step) => step.do === 'resume' && step.device === deviceKey(fork, device);
    const request = { volume: fork, snapshot: first, keepSnapshot: true, safetySnapshotName: undefined } as const;
    await engine.startRestore({ ...request, mode: 'origin', replace: false, token: 'asked' }).catch(() => undefined);
    broken.step = () => false;
    const { id } = await engine.startRestore({ ...request, mode: 'origin', replace: false, token: 'asked' });
    for (let round = 0; round < 4; round += 1) {
      await engine.look();
      await engine.settle();
      world.control.finishMerges();
    }
    await engine.activate(fork);
    expect(world.inspect.content(top)).toEqual(then);
    expect((await engine.getRestore(id))?.phase).toBe('done');
    expect((await world.lvm.report()).stores.filter(({ tags }) => tags.includes('sm.lost'))).toEqual([]);
  },
);

test('a writer goes on where its store was extended although the driver was told that it failed', async () => {
  const { world, engine, broken, create } = await scene();
  const volume = await create('volume');
  await engine.activate(volume);
  const top = deviceKey(volume, 'top');
  await engine.createSnapshot(volume, 'friday');
  await engine.settle();
  await engine.look();
  const storeSize = async (): Promise<bigint> =>
    (await world.lvm.report()).stores.find(({ tags }) => tags.includes('sm.name=friday'))?.size ?? 0n;
  const before = await storeSize();
  let block = 0;
  while ((await storeSize()) === before) {
    world.user.write(top, block, [block + 1, block + 1, block + 1, block + 1]);
    block += 4;
    broken.flush = true;
    await engine.look();
    broken.flush = false;
    expect(block).toBeLessThan(1024);
  }
  // A report that knows of it, before anybody looks again.
  await engine.listVolumes();
  while (block < 1024 && world.user.write(top, block, [block + 1, block + 1, block + 1, block + 1]) === 'done')
    block += 4;
  for (let round = 0; round < 20; round += 1) await engine.look();
  expect(world.user.queued()).toEqual([]);
});

test('a writer waits at the end of a store whose volume could not be made larger', async () => {
  const { world, engine, broken, create } = await scene();
  const origin = await create('origin');
  const { id: base } = await engine.createSnapshot(origin, 'base');
  const fork = await create('fork', base);
  await engine.activate(fork);
  const top = deviceKey(fork, 'top');
  broken.step = (step) => step.do === 'load' && step.device === deviceKey(fork, 'view');
  await expect(engine.expandVolume(fork, mib(6), undefined)).rejects.toThrow('Cannot load');
  const seen = new Set<string>();
  for (let block = 0; block < 1024; block += 4) {
    const outcome = world.user.write(top, block, [1, 2, 3, 4]);
    seen.add(outcome);
    if (outcome === 'queued') break;
  }
  expect(seen).not.toContain('failed');
  broken.step = () => false;
  expect(await engine.expandVolume(fork, mib(6), undefined)).toBe(mib(6));
  for (let round = 0; round < 10; round += 1) {
    await engine.look();
    await engine.settle();
  }
  expect(world.user.queued()).toEqual([]);
  expect(world.inspect.content(top)?.slice(0, 4)).toEqual([1, 2, 3, 4]);
});

test('a mounted fork whose writers wait for room is promoted later, and is not taken for one that was cut', async () => {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(8)] });
  const engine = await poolEngine(world, { leastHeadroom: kib(64) });
  await engine.open();
  const { id: origin } = await engine.createVolume(blank('origin', mib(4), PARAMETERS));
  const { id: base } = await engine.createSnapshot(origin, 'base');
  const source = { from: 'snapshot', snapshot: base } as const;
  const { id: fork } = await engine.createVolume({ ...blank('fork', mib(4), PARAMETERS), source });
  await engine.activate(fork);
  await engine.createVolume(blank('what takes the rest', mib(2), PARAMETERS));
  let outcome = 'done';
  for (let block = 0; block < 1024 && outcome === 'done'; block += 4) {
    outcome = world.user.write(deviceKey(fork, 'top'), block, [1, 2, 3, 4]);
    await engine.look();
  }
  expect(outcome).toBe('queued');
  const request = { volume: fork, snapshot: base, mode: 'snapshot', keepSnapshot: true } as const;
  const asked = engine.startRestore({ ...request, safetySnapshotName: undefined, replace: false, token: undefined });
  await expect(asked).rejects.toThrow(/more free space|more than pool/);
});

test('a store that LVM will not shrink sets nothing going again and again', async () => {
  const { engine, broken, create, shrinks, pass } = await scene();
  const volume = await create('volume');
  await engine.activate(volume);
  broken.shrink = true;
  await engine.createSnapshot(volume, 'friday');
  // Read through by a fork, so that it is shown, and fed no more.
  const friday = (await engine.listSnapshots())[0]?.id;
  await engine.activate(await create('look', friday));
  await engine.createSnapshot(volume, 'saturday');
  for (let turn = 0; turn < 10; turn += 1) {
    await engine.settle();
    await engine.look();
  }
  expect(shrinks()).toBe(1);
  broken.shrink = false;
  pass(60_000);
  await engine.look();
  await engine.settle();
  expect(shrinks()).toBe(2);
});
