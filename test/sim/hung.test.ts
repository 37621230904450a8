// A step of device-mapper or a zeroing that never returns, anywhere in an operation on one volume: all that is asked for of
// another volume goes on, and so do the lists, health and what operators look at. The driver is then killed, and the next
// one ends in the old state or the new.

import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/system/clock.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import { inTurn } from '../../src/dm/kernel.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import type { Host } from '../../src/host/host.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import type { DeviceKey, SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import { deviceKey } from '../../src/vocabulary/ids.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { blank } from '../contract/blank.ts';
import { leftovers } from '../contract/crash-look.ts';
import { idOf } from '../contract/ids.ts';
import { simCrashRig } from './crash-rig.ts';
import { poolEngine } from './pool-engine.ts';
import type { World } from './world.ts';
import { createWorld } from './world.ts';

const SIZE = mib(4);
/** Others are answered at once; this is for a machine that does something else. */
const LIMIT_MS = 60_000;
/** What an operation leaves to the background is begun within this. */
const BEHIND_MS = 20;

interface Scene {
  readonly world: World;
  readonly engine: PoolEngine;
  readonly volume: VolumeId;
  readonly monday: SnapshotId;
  readonly tuesday: SnapshotId;
  /** Of somebody else. */
  readonly other: VolumeId;
  readonly otherSnapshot: SnapshotId;
  readonly hang: { at: number; when: 'before' | 'after'; reached: boolean; dead: boolean };
}

const never = (): Promise<void> => new Promise(() => undefined);

async function scene(): Promise<Scene> {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(192)] });
  const hang: Scene['hang'] = { at: Number.POSITIVE_INFINITY, when: 'before', reached: false, dead: false };
  const alive = async (): Promise<void> => (hang.dead ? never() : undefined);
  const counted = async (work: () => Promise<void>): Promise<void> => {
    await alive();
    hang.at -= 1;
    const hangs = hang.at === -1;
    hang.reached ||= hangs;
    if (hangs && hang.when === 'before') await never();
    await work();
    if (hangs) await never();
  };
  const kernel: Kernel = {
    ...world.kernel,
    apply: inTurn((step) => counted(() => world.kernel.apply([step]))),
  };
  const host: Host = { ...world.host, zero: (...asked) => counted(() => world.host.zero(...asked)) };
  const lvm: Lvm = {
    ...world.lvm,
    create: async (...asked) => alive().then(() => world.lvm.create(...asked)),
    retag: async (...asked) => alive().then(() => world.lvm.retag(...asked)),
    extend: async (...asked) => alive().then(() => world.lvm.extend(...asked)),
    shrink: async (...asked) => alive().then(() => world.lvm.shrink(...asked)),
    remove: async (...asked) => alive().then(() => world.lvm.remove(...asked)),
  };
  const engine = await poolEngine(world, { kernel, host, lvm, clock: systemClock });
  await engine.start();
  const { id: volume } = await engine.createVolume(blank('volume', SIZE));
  await engine.activate(volume);
  write(world, volume, 1000);
  const { id: monday } = await engine.createSnapshot(volume, 'monday');
  write(world, volume, 2000);
  const { id: tuesday } = await engine.createSnapshot(volume, 'tuesday');
  write(world, volume, 3000);
  const { id: other } = await engine.createVolume(blank('other', SIZE));
  await engine.activate(other);
  write(world, other, 5000);
  const { id: otherSnapshot } = await engine.createSnapshot(other, 'of other');
  await engine.settle();
  return { world, engine, volume, monday, tuesday, other, otherSnapshot, hang };
}

function write(world: World, volume: VolumeId, tag: number): void {
  const top = deviceKey(volume, 'top');
  for (let block = 0; block < 16; block += 1) {
    if (world.user.write(top, block * 4, [tag + block]) !== 'done') throw new Error(`a write to '${volume}' waits`);
  }
  world.user.flush(top);
}

/** Every fourth block of what `write` has written. */
function written(world: World, volume: VolumeId, tag: number): boolean {
  return writtenIn(world, deviceKey(volume, 'top'), tag);
}

function writtenIn(world: World, device: DeviceKey, tag: number): boolean {
  const content = world.inspect.content(device) ?? [];
  return Array.from({ length: 16 }, (_, block) => content[block * 4] === tag + block).every(Boolean);
}

type Operation = (s: Scene) => Promise<unknown>;

const fork: Operation = async ({ engine, monday }) => {
  const { id } = await engine.createVolume({ ...blank('fork', SIZE), source: { from: 'snapshot', snapshot: monday } });
  await engine.activate(id);
};
const restore: Operation = async ({ engine, volume, monday }) => {
  await engine.startRestore({
    volume,
    snapshot: monday,
    mode: 'origin',
    keepSnapshot: true,
    safetySnapshotName: undefined,
    replace: false,
    token: undefined,
  });
};

/** What each begins with, and what may hang. */
const OPERATIONS: readonly (readonly [string, Operation | undefined, Operation])[] = [
  ['a snapshot', undefined, ({ engine, volume }) => engine.createSnapshot(volume, 'wednesday')],
  ['a fork that is staged', undefined, fork],
  ['the deletion of a snapshot in the middle', undefined, ({ engine, tuesday }) => engine.deleteSnapshot(tuesday)],
  ['an expansion', undefined, ({ engine, volume }) => engine.expandVolume(volume, mib(6), undefined)],
  ['an unstaging', undefined, ({ engine, volume }) => engine.deactivate(volume)],
  ['a staging', ({ engine, volume }) => engine.deactivate(volume), ({ engine, volume }) => engine.activate(volume)],
  ['a restore', ({ engine, volume }) => engine.deactivate(volume), restore],
];

/** All that somebody else asks for meanwhile. */
async function others({ engine, world, other, otherSnapshot }: Scene): Promise<void> {
  write(world, other, 6000);
  const { id: snapshot } = await engine.createSnapshot(other, 'another');
  write(world, other, 7000);
  const source = { from: 'snapshot', snapshot } as const;
  const { id: made } = await engine.createVolume({ ...blank('fork of other', SIZE), source });
  await engine.activate(made);
  expect(written(world, made, 6000)).toBe(true);
  await engine.deactivate(made);
  await engine.deleteVolume(made);
  await engine.deleteSnapshot(otherSnapshot);
  await engine.expandVolume(other, mib(6), undefined);
  await engine.deactivate(other);
  await engine.activate(other);
  expect(written(world, other, 7000)).toBe(true);
  expect((await engine.listVolumes()).map(({ name }) => name)).toContain('volume');
  expect((await engine.listSnapshots()).map(({ name }) => name)).toContain('another');
  await engine.inspect();
  await engine.health();
}

async function within<T>(work: Promise<T>): Promise<T> {
  const ending = new AbortController();
  const late = sleep(LIMIT_MS, undefined, { signal: ending.signal }).then(() => {
    throw new Error('somebody else waits');
  });
  late.catch(() => undefined);
  return Promise.race([work, late]).finally(() => ending.abort());
}

const BEGAN_WITH = { monday: 1000, tuesday: 2000, wednesday: 3000, another: 6000 } as const;

/** Each that is there shows what was written last before it; those that nobody deletes are there. */
async function snapshotsAreWhole({ world }: Scene, engine: PoolEngine): Promise<void> {
  const listed = await engine.listSnapshots();
  expect(listed.map(({ name }) => name)).toEqual(expect.arrayContaining(['monday', 'another']));
  await engine.show(new Set(listed.map(({ id }) => id)));
  const wrong = listed.filter(({ id, name }) => {
    const tag = Object.entries(BEGAN_WITH).find(([key]) => key === name)?.[1];
    return tag !== undefined && !writtenIn(world, deviceKey(id, 'view'), tag);
  });
  expect(wrong).toEqual([]);
  await engine.show(new Set());
}

/** False when there was nothing left to hang. */
async function hangsAt(
  [, before, operation]: (typeof OPERATIONS)[number],
  at: number,
  when: 'before' | 'after',
): Promise<boolean> {
  const s = await scene();
  const { engine, world, volume, other, hang } = s;
  await before?.(s);
  await engine.settle();
  Object.assign(hang, { at, when });
  const call = { ended: false };
  const asked = operation(s).finally(() => (call.ended = true));
  // A call may end with an error, because it does not wait for what hangs.
  asked.catch((error: unknown) => {
    if (!(error instanceof SnapmergeError)) throw error;
  });
  while (!call.ended && !hang.reached) await sleep(1);
  if (!hang.reached) await sleep(BEHIND_MS);
  if (!hang.reached) {
    // Nothing was left to hang: it has been done.
    await asked;
    await engine.settle();
    await engine.stop();
    return hang.reached;
  }
  await within(others(s));

  hang.dead = true;
  world.control.crashDriver();
  let next = 5000;
  const again = await poolEngine(world, { clock: systemClock, drawId: () => idOf(next++) });
  await again.open();
  for (let round = 0; round < 3; round += 1) {
    world.control.finishMerges();
    await again.retry();
  }
  expect(written(world, other, 7000)).toBe(true);
  const found = (await again.listVolumes()).find(({ id }) => id === volume);
  expect(found?.name).toBe('volume');
  await again.activate(volume);
  // A restore has begun, or has not; nothing else changes what the volume shows.
  const may = operation === restore ? [1000, 3000] : [3000];
  expect(may.filter((tag) => written(world, volume, tag))).toHaveLength(1);
  await snapshotsAreWhole(s, again);
  expect(await leftovers(simCrashRig(world))).toEqual([]);
  return true;
}

test.each(OPERATIONS)('%s that hangs anywhere holds up nobody else', { timeout: 600_000 }, async (...operation) => {
  for (const when of ['before', 'after'] as const) {
    let at = 0;
    while (await hangsAt(operation, at, when)) at += 1;
    expect(at).toBeGreaterThan(1);
  }
});
