// Room that is about to be given back: a request that lacks room waits until what was deleted, merged or has become too large
// is gone, and is refused only then.

import { expect, test } from 'vitest';
import { systemClock } from '../../src/system/clock.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import { storeName } from '../../src/vocabulary/ids.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { bytes, kib, mib } from '../../src/vocabulary/units.ts';
import { blank } from '../contract/blank.ts';
import { poolEngine } from './pool-engine.ts';
import type { World } from './world.ts';
import { createWorld } from './world.ts';

const PARAMETERS = {
  layout: 'linear',
  chunk: kib(16),
  snapshotReservePercent: 100,
  onFull: 'wait',
  scratch: false,
} as const;

/** Room for a volume and two snapshots of which nothing is known yet. */
async function openEngine(): Promise<PoolEngine> {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(27)] });
  return poolEngine(world, { clock: systemClock });
}

const create = (engine: PoolEngine, name: string, size: Bytes) =>
  engine.createVolume({
    name,
    requiredBytes: size,
    limitBytes: undefined,
    parameters: PARAMETERS,
    source: undefined,
  });

test('what a former snapshot gives back in the background is waited for', async () => {
  const engine = await openEngine();
  await engine.start();
  const { id } = await create(engine, 'shop', mib(8));
  await engine.activate(id);
  await engine.createSnapshot(id, 'friday');
  await engine.createSnapshot(id, 'saturday');
  await create(engine, 'office', mib(8));
  expect(await engine.listVolumes()).toHaveLength(2);
  await engine.stop();
});

test('what is not given back is not waited for', async () => {
  const engine = await openEngine();
  await engine.start();
  await create(engine, 'shop', mib(8));
  await expect(create(engine, 'too large', mib(20))).rejects.toMatchObject({ kind: 'exhausted' });
  expect(await engine.listVolumes()).toHaveLength(1);
  await engine.stop();
});

test('nobody is refused by what was read before somebody else gave room back', async () => {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(27)] });
  // Time passes when it is told to: all that follows is done in no time, as on a machine that is quick enough.
  const now = { ms: 0 };
  const engine = await poolEngine(world, { clock: { ...systemClock, monotonicMs: () => now.ms } });
  await engine.start();
  now.ms += 60_000;
  const others = storeName('sm_0000000001');
  await world.lvm.create(others, mib(24), 'linear', []);
  expect(await engine.listVolumes()).toHaveLength(0);
  await world.lvm.remove(others);
  await create(engine, 'shop', mib(8));
  expect(await engine.listVolumes()).toHaveLength(1);
  await engine.stop();
});

test.each([
  [kib(64), kib(512)],
  [kib(640), kib(2560)],
  [mib(4), mib(4)],
])(
  'in extents of %d bytes sizes are multiples of %d: of whole extents, and of the largest chunk',
  async (extent, unit) => {
    const world = createWorld({ seed: 1, extent, disks: [mib(80)] });
    const engine = await poolEngine(world, { clock: systemClock });
    const { id, size } = await create(engine, 'shop', kib(4));
    expect(size).toBe(unit);
    expect(await engine.expandVolume(id, bytes(unit + 1n), undefined)).toBe(2n * unit);
    expect((await engine.capacity('linear')).minimumVolume).toBe(unit);
    await engine.stop();
  },
);

test('what is free on disks of other sizes is promised for the layout that it is asked for', async () => {
  const world = createWorld({ seed: 1, extent: mib(1), disks: [mib(64), mib(16), mib(16)] });
  const engine = await poolEngine(world, { clock: systemClock });
  for (const [layout, largest, all] of [
    ['linear', 96, 96],
    ['striped', 48, 48],
    ['raid1', 31, 32],
  ] as const) {
    const { maximumVolume, available } = await engine.capacity(layout);
    expect([maximumVolume, available]).toEqual([mib(largest), mib(all)]);
    const request = { limitBytes: undefined, source: undefined, parameters: { ...PARAMETERS, layout } };
    const { id } = await engine.createVolume({ ...request, name: layout, requiredBytes: maximumVolume });
    await engine.deleteVolume(id);
    await engine.settle();
  }
  await engine.stop();
});

test('of many calls at once none takes the reserve: each counts what the others are about to take', async () => {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(64)] });
  // LVM takes its time, so that all of them have looked before any has made its store.
  const create: World['lvm']['create'] = async (...asked) => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    await world.lvm.create(...asked);
  };
  const engine = await poolEngine(world, { lvm: { ...world.lvm, create }, reservePercent: 20 });
  await engine.open();
  const names = Array.from({ length: 12 }, (_, at) => `volume-${at}`);
  const outcomes = await Promise.allSettled(names.map((name) => engine.createVolume(blank(name, mib(8)))));
  const refused = outcomes.flatMap((one) => (one.status === 'rejected' ? [String(one.reason)] : []));
  expect(refused.length).toBeGreaterThan(0);
  for (const text of refused) expect(text).toMatch(/beside its reserve of 20 %/);
  const { free, size } = await world.lvm.report();
  expect(free * 5n).toBeGreaterThanOrEqual(size);
  // Nothing is kept for those who were refused, or are done.
  expect(free * 5n).toBeLessThan(size + 5n * mib(8));
});
