// How far the monitor extends stores, and that neither a clock that is set nor a store that hangs has a say in it.

import { expect, test } from 'vitest';
import { systemClock } from '../../src/system/clock.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import type { DeviceKey, StoreName, VolumeId } from '../../src/vocabulary/ids.ts';
import { deviceKey, isTail, storeDevice, storeOf } from '../../src/vocabulary/ids.ts';
import { fail } from '../../src/vocabulary/errors.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { kib, mib, sectors } from '../../src/vocabulary/units.ts';
import { idOf } from '../contract/ids.ts';
import { blank } from '../contract/blank.ts';
import { poolEngine } from './pool-engine.ts';
import { createWorld } from './world.ts';
import type { World } from './world.ts';

const HOUR_MS = 3_600_000;
const EXTENT = kib(64);

interface Story {
  readonly world: World;
  readonly engine: PoolEngine;
  readonly time: { ms: number; wallMs: number };
  /** Sectors that the kernel says of a store in the place of its own count. */
  readonly used: Map<StoreName, bigint>;
  /** Stores on whose devices every step hangs, or is refused. */
  readonly hangs: Set<StoreName>;
  readonly refuses: Set<StoreName>;
  /** Devices that keep the table they have. */
  readonly rigid: Set<DeviceKey>;
}

async function begin(disk = mib(256)): Promise<Story> {
  const world = createWorld({ seed: 1, extent: EXTENT, disks: [disk] });
  const time = { ms: 0, wallMs: 0 };
  const used: Story['used'] = new Map();
  const hangs: Story['hangs'] = new Set();
  const refuses: Story['refuses'] = new Set();
  const rigid: Story['rigid'] = new Set();
  const kernel: Kernel = {
    ...world.kernel,
    apply: async (steps) => {
      const touched = steps.flatMap((step) => ('device' in step ? (storeOf(step.device) ?? []) : []));
      if (touched.some((store) => hangs.has(store))) await never();
      if (touched.some((store) => refuses.has(store))) fail('internal', 'refused');
      if (steps.some((step) => step.do === 'swap' && rigid.has(step.device))) fail('internal', 'rigid');
      await world.kernel.apply(steps);
    },
    statuses: async () => {
      const stores = new Map(
        [...(await world.kernel.observe()).devices].map(([key, { live }]) => {
          const [target] = live ?? [];
          const cow = target?.type === 'snapshot' && target.cow.on === 'device' ? target.cow.device : undefined;
          return [key, cow === undefined ? undefined : storeOf(cow)];
        }),
      );
      return new Map(
        [...(await world.kernel.statuses())].map(([key, status]) => {
          const store = stores.get(key);
          const told = store === undefined ? undefined : used.get(store);
          return [key, status.state === 'counts' && told !== undefined ? { ...status, used: sectors(told) } : status];
        }),
      );
    },
  };
  const clock = { nowMs: () => time.ms + time.wallMs, monotonicMs: () => time.ms, sleep: () => Promise.resolve() };
  const engine = await poolEngine(world, { kernel, clock });
  await engine.open();
  return { world, engine, time, used, hangs, refuses, rigid };
}

const never = (): Promise<void> => new Promise(() => undefined);

/** A volume in use with a snapshot; the snapshot's store. */
async function snapped(
  { engine, world }: Story,
  name: string,
  size: Bytes,
): Promise<{ id: VolumeId; store: StoreName }> {
  const { id } = await engine.createVolume(blank(name, size));
  await engine.activate(id);
  const { id: snapshot } = await engine.createSnapshot(id, `${name}-snapshot`);
  await engine.settle();
  const { devices } = await world.kernel.observe();
  const [target] = devices.get(deviceKey(snapshot, 'view'))?.live ?? [];
  const cow: DeviceKey | undefined =
    target?.type === 'snapshot' && target.cow.on === 'device' ? target.cow.device : undefined;
  const store = cow === undefined ? undefined : storeOf(cow);
  if (store === undefined) throw new Error('The snapshot has no store that can grow');
  return { id, store };
}

async function sizeOf({ world }: Story, store: StoreName): Promise<bigint> {
  return (await world.lvm.report()).stores.find((one) => one.store === store)?.size ?? 0n;
}

/** As if all of these stores but so much had been written, and so much time had passed. */
async function fill(story: Story, stores: readonly StoreName[], left: bigint, ms: number): Promise<void> {
  for (const store of stores) story.used.set(store, ((await sizeOf(story, store)) - left) / 512n);
  story.time.ms += ms;
}

test.each([
  ['as it is', 0],
  ['set back by an hour', -HOUR_MS],
  ['set forward by an hour', HOUR_MS],
])('a store grows as its writer writes, with the clock %s', async (_, step) => {
  const story = await begin();
  const { store } = await snapped(story, 'a', mib(64));
  await fill(story, [store], kib(192), 1000);
  await story.engine.look();
  const before = await sizeOf(story, store);
  story.time.wallMs = step;
  // 128 KiB in a second: for twenty of them 2.5 MiB, and twice that is asked for.
  await fill(story, [store], kib(64), 1000);
  await story.engine.look();
  expect(await sizeOf(story, store)).toBe(before - kib(64) + mib(5));
});

test('what one look makes of a moment asks for no gigabytes', async () => {
  const story = await begin(mib(16384));
  const { store } = await snapped(story, 'a', mib(8192));
  await fill(story, [store], mib(60), 1000);
  await story.engine.look();
  const before = await sizeOf(story, store);
  // 60 MiB in the shortest time that a clock can tell: 24 GiB in twenty seconds, if it went on so.
  await fill(story, [store], kib(64), 1);
  await story.engine.look();
  expect(await sizeOf(story, store)).toBe(before - kib(64) + mib(1024));
});

/** Two stores that one more look at growth extends, and how large the second is. */
async function twoNearlyFull() {
  const story = await begin();
  const [a, b] = [await snapped(story, 'a', mib(64)), await snapped(story, 'b', mib(64))];
  const stores = [a.store, b.store];
  await fill(story, stores, kib(192), 1000);
  await story.engine.look();
  const before = await sizeOf(story, b.store);
  return { story, a, b, stores, before };
}

test('a store that hangs in its extension holds up no other store', async () => {
  const { story, a, b, stores, before } = await twoNearlyFull();
  story.hangs.add(a.store);
  await fill(story, stores, kib(64), 1000);
  let isOver = false;
  void story.engine.look().then(() => (isOver = true));
  await expect.poll(() => sizeOf(story, b.store)).toBeGreaterThan(before);
  // Who looks next goes past what hangs.
  const reached = await sizeOf(story, b.store);
  await fill(story, [b.store], kib(64), 1000);
  await story.engine.look();
  expect(isOver).toBe(false);
  expect(await sizeOf(story, b.store)).toBeGreaterThan(reached);
});

test('a store whose extension is refused ends no look at the others', async () => {
  const { story, a, b, stores, before } = await twoNearlyFull();
  story.refuses.add(a.store);
  await fill(story, stores, kib(64), 1000);
  await story.engine.look();
  expect(await sizeOf(story, b.store)).toBeGreaterThan(before);
});

test('a store is laid flat although somebody has it open', async () => {
  const story = await begin();
  const { store } = await snapped(story, 'a', mib(64));
  story.world.stranger.open(storeDevice(store, 'cow'));
  for (let extensions = 0; extensions < 5; extensions += 1) {
    await fill(story, [store], kib(64), 100_000);
    await story.engine.look();
    await story.engine.settle();
    expect(story.world.inspect.devices().filter((key) => isTail(key))).toHaveLength(1);
  }
});

test('a store that cannot be laid flat does not nest without an end', async () => {
  const story = await begin(mib(1024));
  const { store } = await snapped(story, 'a', mib(512));
  story.rigid.add(storeDevice(store, 'cow'));
  const before = await sizeOf(story, store);
  const most = mib(500);
  let extensions = 0;
  for (; (await sizeOf(story, store)) < most; extensions += 1) {
    await fill(story, [store], kib(64), 100_000);
    await story.engine.look();
    await story.engine.settle();
    expect(extensions).toBeLessThan(30);
  }
  const tails = story.world.inspect.devices().filter((key) => isTail(key));
  expect(tails.length).toBeGreaterThan(4);
  // From then on by a quarter each: 256 KiB at a time it would be thousands.
  expect(Number(most) / Number(before)).toBeGreaterThan(8);
  expect(tails.length).toBeLessThan(24);
});

test('a pool is served although a family hangs in the kernel', async () => {
  const story = await begin();
  const [a, b] = [await snapped(story, 'a', mib(64)), await snapped(story, 'b', mib(64))];
  // The snapshot of one was deleted by a driver that died then: its devices are still to go, and that never ends.
  for (const { id, volume } of await story.engine.listSnapshots()) {
    if (volume === a.id) await story.engine.deleteSnapshot(id);
  }
  let next = 1000;
  const again = await poolEngine(story.world, {
    clock: systemClock,
    drawId: () => idOf(next++),
    kernel: {
      ...story.world.kernel,
      apply: async (steps) => {
        const touched = steps.flatMap((step) => ('device' in step ? [step.device] : []));
        if (touched.some((key) => key.startsWith(a.id) || storeOf(key) === a.store)) await never();
        await story.world.kernel.apply(steps);
      },
    },
  });
  await again.start();
  const { id } = await again.createSnapshot(b.id, 'while it hangs');
  expect((await again.getSnapshot(id))?.lost).toBe(false);
});
