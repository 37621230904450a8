// What fails once a thing has been decided is no final answer: whoever asked must ask again, or nobody deletes it.

import { expect, test } from 'vitest';
import { fail } from '../../src/vocabulary/errors.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import { deviceKey } from '../../src/vocabulary/ids.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { clockOf } from '../clock.ts';
import { blank } from '../contract/blank.ts';
import { poolEngine } from './pool-engine.ts';
import type { World } from './world.ts';
import { createWorld } from './world.ts';

interface Story {
  readonly world: World;
  readonly engine: PoolEngine;
  /** What goes wrong from now on. */
  readonly wrong: { flush: boolean; resume: boolean; create: boolean; remove: boolean };
  readonly now: { ms: number };
  /** The next driver, with the same going wrong. */
  readonly again: () => Promise<PoolEngine>;
}

async function begin(): Promise<Story> {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(128)] });
  const wrong: Story['wrong'] = { flush: false, resume: false, create: false, remove: false };
  const lvm: Lvm = {
    ...world.lvm,
    create: async (...args) => (wrong.create ? fail('internal', 'no store') : world.lvm.create(...args)),
    flush: async () => (wrong.flush ? fail('internal', 'no flush') : world.lvm.flush()),
  };
  const apply: Kernel['apply'] = async (steps) => {
    if (wrong.resume && steps.some((step) => step.do === 'load')) fail('internal', 'no table');
    if (wrong.remove && steps.some((step) => step.do === 'remove')) fail('internal', 'no removal');
    await world.kernel.apply(steps);
  };
  const now = { ms: 1_000_000 };
  const clock = clockOf(() => now.ms);
  const again = async () => poolEngine(world, { lvm, kernel: { ...world.kernel, apply }, clock });
  const engine = await again();
  await engine.open();
  return { world, engine, wrong, now, again };
}

test('a volume that is decided and not flushed is asked for again, and there', async () => {
  const { engine, wrong } = await begin();
  wrong.flush = true;
  await expect(engine.createVolume(blank('shop', mib(4)))).rejects.toMatchObject({ kind: 'unavailable' });
  wrong.flush = false;
  const { id } = await engine.createVolume(blank('shop', mib(4)));
  expect((await engine.listVolumes()).map((volume) => volume.id)).toEqual([id]);
});

test('a snapshot that is decided and not shown is asked for again, and there', async () => {
  const { engine, wrong } = await begin();
  const { id } = await engine.createVolume(blank('shop', mib(4)));
  await engine.activate(id);
  wrong.resume = true;
  await expect(engine.createSnapshot(id, 'friday')).rejects.toMatchObject({ kind: 'unavailable' });
  wrong.resume = false;
  const { id: snapshot } = await engine.createSnapshot(id, 'friday');
  expect((await engine.listSnapshots()).map((one) => one.id)).toEqual([snapshot]);
});

test('a snapshot that is decided and not shown is not ready, and what is made from it shows its freeze', async () => {
  const { engine, wrong, world } = await begin();
  const { id } = await engine.createVolume(blank('shop', mib(4)));
  await engine.activate(id);
  world.user.write(deviceKey(id, 'top'), 0, [1]);
  wrong.resume = true;
  await expect(engine.createSnapshot(id, 'friday')).rejects.toMatchObject({ kind: 'unavailable' });
  const [listed] = await engine.listSnapshots();
  if (listed === undefined) throw new Error('it is not there');
  expect(listed.pending).toBe(true);
  expect(await engine.getSnapshot(listed.id)).toMatchObject({ pending: true });
  const fork = { ...blank('fork', mib(4)), source: { from: 'snapshot', snapshot: listed.id } } as const;
  await expect(engine.createVolume(fork)).rejects.toThrow('no table');
  wrong.resume = false;
  const made = await engine.createVolume(fork);
  expect(await engine.getSnapshot(listed.id)).toMatchObject({ pending: false });
  // What is written from then on is not in it.
  world.user.write(deviceKey(id, 'top'), 0, [2]);
  await engine.activate(made.id);
  expect(world.inspect.content(deviceKey(made.id, 'top'))?.[0]).toBe(1);
});

test('what has failed before it was decided has failed, and so has a name that is taken', async () => {
  const { engine, wrong } = await begin();
  wrong.create = true;
  await expect(engine.createVolume(blank('shop', mib(4)))).rejects.toMatchObject({ kind: 'internal' });
  wrong.create = false;
  await engine.createVolume(blank('shop', mib(4)));
  await expect(engine.createVolume(blank('shop', mib(8)))).rejects.toMatchObject({ kind: 'exists' });
});

test.each(['asked for again', 'the background'])(
  'the time of a snapshot that was shown only later, by %s, is that of its freeze',
  async (by) => {
    const { engine, wrong, now } = await begin();
    const { id } = await engine.createVolume(blank('shop', mib(4)));
    await engine.activate(id);
    wrong.resume = true;
    await expect(engine.createSnapshot(id, 'friday')).rejects.toMatchObject({ kind: 'unavailable' });
    now.ms += 60_000;
    wrong.resume = false;
    const frozenMs = now.ms;
    if (by === 'the background') {
      await engine.settle();
      now.ms += 60_000;
    }
    const { createdMs } = await engine.createSnapshot(id, 'friday');
    expect(createdMs).toBe(frozenMs);
    expect((await engine.listSnapshots()).map((one) => one.createdMs)).toEqual([frozenMs]);
  },
);

test('a snapshot whose freeze went through, and what is behind it not, has the time of that freeze', async () => {
  const { engine, wrong, now } = await begin();
  const { id } = await engine.createVolume(blank('shop', mib(4)));
  await engine.activate(id);
  await engine.createSnapshot(id, 'thursday');
  now.ms += 60_000;
  const frozenMs = now.ms;
  wrong.remove = true;
  await expect(engine.createSnapshot(id, 'friday')).rejects.toMatchObject({ kind: 'unavailable' });
  wrong.remove = false;
  now.ms += 60_000;
  const { createdMs } = await engine.createSnapshot(id, 'friday');
  expect(createdMs).toBe(frozenMs);
});

test('a driver that ends between the commit and the freeze: the next one gives the time of its own freeze', async () => {
  const { engine, wrong, world, now, again } = await begin();
  const { id } = await engine.createVolume(blank('shop', mib(4)));
  await engine.activate(id);
  const { createdMs: thursdayMs } = await engine.createSnapshot(id, 'thursday');
  now.ms += 60_000;
  wrong.resume = true;
  await expect(engine.createSnapshot(id, 'friday')).rejects.toMatchObject({ kind: 'unavailable' });
  await engine.stop();
  // What is written until the next one can freeze it is in the snapshot.
  world.user.write(deviceKey(id, 'top'), 0, [2]);
  now.ms += 60_000;
  const next = await again();
  await next.open();
  expect((await next.listSnapshots()).filter(({ pending }) => pending)).toHaveLength(1);
  wrong.resume = false;
  expect(await next.createSnapshot(id, 'friday')).toMatchObject({ createdMs: now.ms, pending: false });
  expect((await next.createSnapshot(id, 'thursday')).createdMs).toBe(thursdayMs);
});

test.each(['staged', 'not staged'])('a driver that starts again changes no time of what was taken, %s', async (how) => {
  const { engine, now, again } = await begin();
  const { id } = await engine.createVolume(blank('shop', mib(4)));
  await engine.activate(id);
  await engine.createSnapshot(id, 'thursday');
  const { id: friday } = await engine.createSnapshot(id, 'friday');
  // The one before it is what the volume feeds from then on.
  await engine.deleteSnapshot(friday);
  if (how === 'not staged') await engine.deactivate(id);
  const before = await engine.listSnapshots();
  await engine.stop();
  now.ms += 60_000;
  const next = await again();
  await next.open();
  expect(await next.listSnapshots()).toEqual(before);
});
