// How deep images may lie on each other: what is asked for beyond that is refused before anything of it is there, snapshots
// go on being taken, and what an earlier version has shown is left as it is.

import { expect, test } from 'vitest';
import { MOST_NESTED, MOST_NESTED_NEW, imageDepths, liveDepths } from '../../src/converge/depth.ts';
import { desired } from '../../src/converge/desired.ts';
import { buildForest } from '../../src/records/build-forest.ts';
import { plan } from '../../src/converge/plan.ts';
import type { PoolEngine, PoolPorts } from '../../src/engine/compose.ts';
import type { SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import { deviceKey, poolName } from '../../src/vocabulary/ids.ts';
import { viewPool } from '../../src/inspect/pool.ts';
import { judge } from '../../src/inspect/judge.ts';
import { silentLog } from '../../src/vocabulary/ports.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { PLAIN, blank } from '../contract/blank.ts';
import { runAtTheBound } from '../contract/depth.ts';
import { idOf } from '../contract/ids.ts';
import { poolEngine } from './pool-engine.ts';
import { simRig } from './rig.ts';
import type { World } from './world.ts';
import { createWorld } from './world.ts';

/** Of the newest so many snapshots of a volume forks can be made: below each lie the newer ones, the volume's view, a cow and a tail. */
const NEWEST = MOST_NESTED_NEW - 4;
/** What one that lies so deep still bears. */
const MORE = MOST_NESTED - MOST_NESTED_NEW;
/** A restore merges so many snapshots at once. */
const LEVELS = MOST_NESTED_NEW - 4;

interface Story {
  readonly world: World;
  readonly engine: PoolEngine;
  readonly shop: VolumeId;
  /** The oldest first. */
  readonly snapshots: SnapshotId[];
  readonly contents: Map<string, readonly number[] | undefined>;
}

const RESTORE = {
  mode: 'origin',
  keepSnapshot: true,
  safetySnapshotName: undefined,
  replace: false,
  token: undefined,
} as const;

/** A volume that is staged, with so many snapshots, each after a write. */
async function story(count: number, own: Partial<PoolPorts> = {}): Promise<Story> {
  const world = createWorld({ extent: kib(64), disks: [mib(512)], mergeOnResume: 1, metadataSize: mib(64) });
  const engine = await poolEngine(world, own);
  await engine.open();
  const { id: shop } = await engine.createVolume(blank('shop', mib(1)));
  await engine.activate(shop);
  const told: Story = { world, engine, shop, snapshots: [], contents: new Map() };
  await takeMore(told, count);
  return told;
}

async function takeMore({ world, engine, shop, snapshots, contents }: Story, count: number): Promise<void> {
  const top = deviceKey(shop, 'top');
  for (let n = 0; n < count; n += 1) {
    const number = snapshots.length + 1;
    if (world.inspect.devices().includes(top)) world.user.write(top, number % 200, [number]);
    const { id } = await engine.createSnapshot(shop, `hour ${number}`);
    contents.set(id, world.inspect.content(top) ?? contents.get(snapshots.at(-1) ?? ''));
    snapshots.push(id);
  }
}

/** A driver that has just started on what there is. */
async function restarted(told: Story, own: Partial<PoolPorts> = {}): Promise<Story> {
  let next = 10_000;
  const engine = await poolEngine(told.world, { drawId: () => idOf(next++), ...own });
  await engine.open();
  return { ...told, engine };
}

function nth<T>(list: readonly T[], at: number): T {
  const found = list.at(at);
  if (found === undefined) throw new Error(`Cannot find number ${at} of ${list.length}`);
  return found;
}

function forkOf(engine: PoolEngine, snapshot: SnapshotId, name = 'test-a') {
  return engine.createVolume({ ...blank(name, mib(1), PLAIN), source: { from: 'snapshot', snapshot } });
}

async function storesOf(world: World): Promise<number> {
  return (await world.lvm.report()).stores.length;
}

async function deepestLive({ world }: Story): Promise<number> {
  return Math.max(0, ...liveDepths(await world.kernel.observe()).values());
}

async function mergeAll({ world, engine }: Story): Promise<void> {
  for (let round = 0; round < 3 * MOST_NESTED; round += 1) {
    await engine.settle();
    expect(world.control.finishMerges()).toBe(true);
    await engine.look();
  }
}

test('a fork of the newest snapshots is made and staged, one of an older is refused, and nothing of it is there', async () => {
  const told = await story(NEWEST + 1);
  const { world, engine, snapshots, contents } = told;
  const before = await storesOf(world);
  await expect(forkOf(engine, nth(snapshots, 0))).rejects.toMatchObject({
    kind: 'precondition',
    message:
      `Cannot make a volume from snapshot '${nth(snapshots, 0)}': volume 'test-a' would be shown by ${MOST_NESTED_NEW + 1} ` +
      `devices on top of each other, and more than ${MOST_NESTED_NEW} could bring the kernel down; take a newer snapshot, ` +
      'or delete newer ones that nothing else needs: they are merged then',
  });
  expect(await storesOf(world)).toBe(before);

  const { id: fork } = await forkOf(engine, nth(snapshots, 1));
  await engine.activate(fork);
  expect(await deepestLive(told)).toBe(MOST_NESTED_NEW);
  expect(world.inspect.content(deviceKey(fork, 'top'))).toEqual(contents.get(nth(snapshots, 1)));
});

test('snapshots go on being taken over a staged fork, until it would lie too deep; unstaged it is in nobody’s way', async () => {
  const told = await story(NEWEST);
  const { world, engine, shop, snapshots, contents } = told;
  const { id: fork } = await forkOf(engine, nth(snapshots, 0));
  await engine.activate(fork);
  await takeMore(told, MORE);
  expect(await deepestLive(told)).toBe(MOST_NESTED);
  const before = await storesOf(world);
  await expect(engine.createSnapshot(shop, 'one more')).rejects.toMatchObject({
    kind: 'precondition',
    message: expect.stringMatching(
      new RegExp(
        `^Cannot snapshot volume '${shop}': volume 'test-a' would be shown by ${MOST_NESTED + 1} devices .*unstage it`,
      ),
    ),
  });
  expect(await storesOf(world)).toBe(before);
  expect(await deepestLive(told)).toBe(MOST_NESTED);

  world.control.crashPower();
  const again = await restarted(told);
  await again.engine.activate(fork);
  expect(world.inspect.content(deviceKey(fork, 'top'))).toEqual(contents.get(nth(snapshots, 0)));

  await again.engine.deactivate(fork);
  await takeMore(again, 1);
  await expect(again.engine.activate(fork)).rejects.toMatchObject({
    kind: 'precondition',
    message: expect.stringMatching(
      /^Cannot stage volume .*; delete snapshots that it reads through and nothing else needs/,
    ),
  });
  expect((await again.engine.getVolume(fork))?.health.state).toBe('healthy');
  expect(await deepestLive(again)).toBeLessThan(MOST_NESTED);

  // What the sentence promises.
  await again.engine.deleteSnapshot(nth(snapshots, 20));
  await mergeAll(again);
  await again.engine.activate(fork);
  expect(await deepestLive(again)).toBe(MOST_NESTED);
  expect(world.inspect.content(deviceKey(fork, 'top'))).toEqual(contents.get(nth(snapshots, 0)));
});

test('what an earlier version has shown is left as it is, told, and goes with its unstaging', async () => {
  const told = await story(NEWEST);
  const { world, engine, shop, snapshots, contents } = told;
  const { id: fork } = await forkOf(engine, nth(snapshots, 0));
  await engine.deactivate(shop);
  await takeMore(told, 40);
  await showAnyway(told, fork);
  const depth = NEWEST + 40 + 4;
  expect(await deepestLive(told)).toBe(depth);
  const warned: unknown[] = [];
  const log = { ...silentLog, warn: (fields: object) => warned.push(fields), child: () => log };
  const now = await restarted(told, { log });
  await now.engine.settle();

  expect(warned).toContainEqual({ volume: fork, depth, most: MOST_NESTED });
  expect(await deepestLive(now)).toBe(depth);
  expect(world.inspect.content(deviceKey(fork, 'top'))).toEqual(contents.get(nth(snapshots, 0)));
  expect(world.user.write(deviceKey(fork, 'top'), 3, [77])).toBe('done');
  expect(await now.engine.getVolume(fork)).toMatchObject({
    active: true,
    health: { state: 'degraded', reason: expect.stringContaining(`shown by ${depth} devices`) },
  });
  const contentsNow = viewPool(await now.engine.inspect());
  expect(judge({ name: poolName('test'), problem: '', contents: contentsNow }).wrong).toEqual([
    expect.stringMatching(new RegExp(`fork 'test-a' is staged, and shown by ${depth} devices`)),
  ]);
  expect(contentsNow.families.flatMap(({ findings }) => findings)).toEqual([
    expect.objectContaining({ kind: 'depth', subject: deviceKey(fork, 'top') }),
  ]);
  // Others of the family go on.
  await now.engine.activate(shop);
  const { id: other } = await forkOf(now.engine, nth(snapshots, -1), 'test-b');
  await now.engine.activate(other);
  await expect(now.engine.createSnapshot(shop, 'deeper')).rejects.toMatchObject({ kind: 'precondition' });
  await now.engine.activate(fork);
  expect(await deepestLive(now)).toBe(depth);
  // One that lies deep waits: after a power cut its merge could not be shown again, and nothing else of the family.
  await now.engine.deleteSnapshot(nth(snapshots, 5));
  await mergeAll(now);
  expect(await deepestLive(now)).toBe(depth);
  // What is advised helps, also there.
  await now.engine.deleteSnapshot(nth(snapshots, -6));
  await mergeAll(now);
  expect(await deepestLive(now)).toBe(depth - 1);
  expect(world.inspect.content(deviceKey(fork, 'top'))?.slice(4)).toEqual(contents.get(nth(snapshots, 0))?.slice(4));

  await now.engine.deactivate(fork);
  await takeMore(now, 1);
  await expect(now.engine.activate(fork)).rejects.toMatchObject({ kind: 'precondition' });
  expect((await now.engine.health()).ready).toBe(true);
});

/** As a version without a bound would: the fork's devices, by the records. */
async function showAnyway({ world }: Story, fork: VolumeId): Promise<void> {
  const forest = buildForest((await world.lvm.report()).stores);
  for (const family of forest.families.values()) {
    const wanted = desired(family, { volumes: new Set([fork]), pinned: new Set() });
    await world.kernel.apply(plan(await world.kernel.observe(), wanted));
  }
}

test('after a power cut, what was staged beyond the bound is not staged again, and the rest of the family is', async () => {
  const told = await story(NEWEST);
  const { world, engine, shop, snapshots, contents } = told;
  const { id: fork } = await forkOf(engine, nth(snapshots, 0));
  await engine.deactivate(shop);
  await takeMore(told, 40);
  await showAnyway(told, fork);
  world.control.crashPower();
  const now = await restarted(told);
  await now.engine.activate(shop);
  await expect(now.engine.activate(fork)).rejects.toMatchObject({
    kind: 'precondition',
    message: expect.stringContaining(`shown by ${NEWEST + 44} devices`),
  });
  expect(await deepestLive(now)).toBeLessThan(MOST_NESTED);
  // The newest are merged first: what lies deeper comes into reach by that.
  for (const snapshot of snapshots.slice(20, 44)) await now.engine.deleteSnapshot(snapshot);
  await mergeAll(now);
  await now.engine.activate(fork);
  expect(await deepestLive(now)).toBe(NEWEST + 40 - 24 + 4);
  expect(world.inspect.content(deviceKey(fork, 'top'))).toEqual(contents.get(nth(snapshots, 0)));
});

test('ghosts that lie too deep to be merged wait until those above them have been', async () => {
  const told = await story(MOST_NESTED + 20);
  const { world, engine, snapshots, contents } = told;
  const gone = [...snapshots.slice(2, 6), ...snapshots.slice(40, 44)];
  for (const snapshot of gone) await engine.deleteSnapshot(snapshot);
  await mergeAll(told);
  expect(await storesOf(world)).toBe(1 + MOST_NESTED + 20 - 4);
  for (const snapshot of snapshots.slice(44, 66)) await engine.deleteSnapshot(snapshot);
  await mergeAll(told);
  expect(await storesOf(world)).toBe(1 + MOST_NESTED + 20 - 8 - 22);
  await engine.show(new Set([nth(snapshots, 0), nth(snapshots, 6)]));
  for (const at of [0, 6]) {
    const id = nth(snapshots, at);
    expect(world.inspect.content(deviceKey(id, 'view'))).toEqual(contents.get(id));
  }
});

test('a restore over more snapshots than can lie on each other is refused in every form, and done in two steps', async () => {
  const told = await story(LEVELS + 10);
  const { world, engine, shop, snapshots, contents } = told;
  const far = nth(snapshots, 0);
  await expect(
    engine.startRestore({ ...RESTORE, mode: 'onactivate', volume: shop, snapshot: far }),
  ).rejects.toMatchObject({
    kind: 'precondition',
    message: expect.stringMatching(
      new RegExp(`^Cannot restore volume '${shop}' to snapshot '${far}': .*restore to a newer snapshot first`),
    ),
  });
  await engine.deactivate(shop);
  await engine.settle();
  const before = await storesOf(world);
  const refused = engine.startRestore({ ...RESTORE, volume: shop, snapshot: far });
  await expect(refused).rejects.toMatchObject({ kind: 'precondition' });
  expect(await storesOf(world)).toBe(before);
  // One less than fits, because the safety snapshot is merged too.
  const near = nth(snapshots, -(LEVELS - 1));
  const first = await engine.startRestore({ ...RESTORE, volume: shop, snapshot: near, safetySnapshotName: 'before' });
  expect(first.phase).toBe('merging');
  const waits = await engine.startRestore({ ...RESTORE, volume: shop, snapshot: far });
  expect(waits.phase).toBe('waiting');
  expect(await deepestLive(told)).toBeLessThanOrEqual(MOST_NESTED_NEW);
  await mergeAll(told);
  expect((await engine.getRestore(waits.id))?.phase).toBe('done');
  await engine.activate(shop);
  expect(world.inspect.content(deviceKey(shop, 'top'))).toEqual(contents.get(far));
  for (const id of [nth(snapshots, -1), near, nth(snapshots, 4)]) {
    await engine.show(new Set([id]));
    expect(world.inspect.content(deviceKey(id, 'view'))).toEqual(contents.get(id));
  }
});

test('a restore that was to begin at the next staging begins although snapshots were taken meanwhile', async () => {
  const told = await story(LEVELS);
  const { world, engine, shop, snapshots, contents } = told;
  const wish = await engine.startRestore({ ...RESTORE, mode: 'onactivate', volume: shop, snapshot: nth(snapshots, 0) });
  await takeMore(told, 8);
  await engine.deactivate(shop);
  await engine.activate(shop);
  expect((await engine.getRestore(wish.id))?.phase).toBe('merging');
  expect(world.inspect.content(deviceKey(shop, 'top'))).toEqual(contents.get(nth(snapshots, 0)));
  expect(await deepestLive(told)).toBeLessThanOrEqual(MOST_NESTED);
});

test('clones and expansions that would lie too deep are refused, and leave nothing', async () => {
  const told = await story(NEWEST);
  const { world, engine, snapshots } = told;
  const { id: fork } = await forkOf(engine, nth(snapshots, 0));
  const before = await storesOf(world);
  const clone = { ...blank('copy', mib(1)), source: { from: 'volume', volume: fork } } as const;
  await expect(engine.createVolume(clone)).rejects.toMatchObject({
    kind: 'precondition',
    message: expect.stringMatching(/^Cannot clone volume .*; delete snapshots that it reads through/),
  });
  expect(await storesOf(world)).toBe(before);

  await takeMore(told, MORE);
  await engine.activate(fork);
  await expect(engine.expandVolume(fork, mib(2), undefined)).rejects.toMatchObject({
    kind: 'precondition',
    message: expect.stringMatching(/^Cannot expand volume /),
  });
  expect((await engine.getVolume(fork))?.size).toBe(mib(1));
  expect(await deepestLive(told)).toBe(MOST_NESTED);
});

test('a fork that has come to lie deep is in the way of nothing that does not lie deep itself', async () => {
  const told = await story(NEWEST);
  const { world, engine, shop, snapshots, contents } = told;
  const { id: fork } = await forkOf(engine, nth(snapshots, 0));
  await engine.activate(fork);
  await takeMore(told, 8);
  expect(await deepestLive(told)).toBe(MOST_NESTED_NEW + 8);
  await engine.createVolume({ ...blank('copy', mib(1)), source: { from: 'volume', volume: shop } });
  await forkOf(engine, nth(snapshots, -1), 'test-b');
  await engine.deactivate(shop);
  const target = nth(snapshots, -3);
  await engine.startRestore({ ...RESTORE, volume: shop, snapshot: target });
  await engine.activate(shop);
  expect(world.inspect.content(deviceKey(shop, 'top'))).toEqual(contents.get(target));
  expect(world.inspect.content(deviceKey(fork, 'top'))).toEqual(contents.get(nth(snapshots, 0)));
  expect(await deepestLive(told)).toBeLessThanOrEqual(MOST_NESTED);
});

test('how deep an image lies is what the kernel shows', async () => {
  const { world, engine, snapshots } = await story(6);
  const { id: fork } = await forkOf(engine, nth(snapshots, 2));
  await engine.activate(fork);
  await engine.createSnapshot(fork, 'of the fork');
  await engine.show(new Set(snapshots));
  await engine.expandVolume(fork, mib(2), undefined);
  const [family] = buildForest((await world.lvm.report()).stores).families.values();
  if (family === undefined) throw new Error('the family has gone');
  const live = liveDepths(await world.kernel.observe());
  const shown = [...family.nodes.keys()].map((id) => [
    id,
    live.get(deviceKey(id, 'top')) ?? live.get(deviceKey(id, 'view')),
  ]);
  expect(new Map(shown.map(([id, depth]) => [id, depth]))).toEqual(imageDepths(family));
});

test('at the bound all is read, written, cut off, staged again and merged', async () => {
  const world = createWorld({ extent: kib(512), disks: [mib(512)], metadataSize: mib(64) });
  const { vgUuid } = await world.lvm.report();
  let next = 1;
  const open = async (): Promise<PoolEngine> => {
    const engine = await poolEngine(world, { drawId: () => idOf(next++) });
    await engine.open();
    return engine;
  };
  await expect(runAtTheBound(simRig(world, vgUuid), open)).resolves.toBeUndefined();
});
