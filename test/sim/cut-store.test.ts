// A store that somebody has made smaller than what it uses, while nobody used its volume. What may grow ends in a tail, which
// gives zeroes to who reads there: so it must be noticed before anybody is given the volume.

import { expect, test } from 'vitest';
import type { SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import { deviceKey } from '../../src/vocabulary/ids.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { blank } from '../contract/blank.ts';
import { poolEngine } from './pool-engine.ts';
import type { World } from './world.ts';
import { createWorld } from './world.ts';

const HAS_BEEN_CUT =
  /^Cannot stage volume '.*': (?:snapshot|volume) '.*' is not whole: store '.*' has .* and uses .*: it has been cut/;

interface Story {
  readonly world: World;
  readonly engine: PoolEngine;
  readonly volume: VolumeId;
  readonly time: { ms: number };
}

async function begin(): Promise<Story> {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(128)] });
  const time = { ms: 0 };
  const clock = { nowMs: () => time.ms, monotonicMs: () => time.ms, sleep: () => Promise.resolve() };
  const engine = await poolEngine(world, { clock });
  await engine.open();
  const { id } = await engine.createVolume(blank('volume', mib(16)));
  await engine.activate(id);
  return { world, engine, volume: id, time };
}

function write({ world }: Story, volume: VolumeId, blocks: number): void {
  for (let block = 0; block < blocks; block += 1) world.user.write(deviceKey(volume, 'top'), block, [block + 1]);
  world.user.flush(deviceKey(volume, 'top'));
}

async function storeOf({ world }: Story, tag: string) {
  const found = (await world.lvm.report()).stores.find(({ tags }) => tags.includes(tag));
  if (found === undefined) throw new Error(`no store has the tag ${tag}`);
  return found;
}

/** Smaller by what it used last, as `lvreduce` does it without a word. */
async function cut(story: Story, tag: string): Promise<void> {
  const { store } = await storeOf(story, tag);
  await story.world.lvm.shrink(store, kib(64));
  // No report from before counts.
  story.time.ms += 60_000;
}

test.each([
  ['that takes what the volume overwrites', 200],
  // More exceptions than one area of metadata has: the second area lies in what is cut off.
  ['whose second area of metadata is gone', 1100],
])('a store %s has been cut: the volume is not staged, and nothing is added to the store', async (_, blocks) => {
  const story = await begin();
  const { engine, world, volume } = story;
  const snapshot: SnapshotId = (await engine.createSnapshot(volume, 'first')).id;
  write(story, volume, blocks);
  await engine.deactivate(volume);
  await engine.settle();
  await cut(story, `sm.snapshot=${snapshot}`);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    await expect(engine.activate(volume)).rejects.toThrow(HAS_BEEN_CUT);
    await engine.settle();
    await engine.look();
    expect(world.inspect.devices().filter((key) => key.startsWith(volume))).toEqual([]);
    expect((await storeOf(story, `sm.snapshot=${snapshot}`)).size).toBe(kib(64));
  }
  await engine.deleteSnapshot(snapshot);
  await engine.activate(volume);
  expect(world.inspect.content(deviceKey(volume, 'top'))?.slice(0, 2)).toEqual([1, 2]);
});

test("a fork's own store has been cut: the fork is not staged, and its origin is", async () => {
  const story = await begin();
  const { engine, world, volume } = story;
  const { id: snapshot } = await engine.createSnapshot(volume, 'first');
  const { id: fork } = await engine.createVolume({
    ...blank('fork', mib(16)),
    source: { from: 'snapshot', snapshot },
  });
  await engine.activate(fork);
  write(story, fork, 300);
  await engine.deactivate(fork);
  await engine.settle();
  await cut(story, `sm.volume=${fork}`);
  await expect(engine.activate(fork)).rejects.toThrow(HAS_BEEN_CUT);
  expect(world.inspect.content(deviceKey(fork, 'top'))).toBeUndefined();
  write(story, volume, 100);
  await engine.deactivate(volume);
  await engine.activate(volume);
  expect(world.inspect.content(deviceKey(volume, 'top'))?.slice(0, 2)).toEqual([1, 2]);
});

test('a store that was made small while nothing fed it, and a full one after a power cut, are no cut stores', async () => {
  const story = await begin();
  const { engine, world, volume } = story;
  await engine.createSnapshot(volume, 'first');
  write(story, volume, 300);
  await engine.deactivate(volume);
  await engine.settle();
  await engine.activate(volume);
  write(story, volume, 600);
  world.control.crashPower();
  const again = await poolEngine(world, {});
  await again.open();
  await again.activate(volume);
  expect(world.inspect.content(deviceKey(volume, 'top'))?.slice(0, 2)).toEqual([1, 2]);
});

const FEW_AND_MANY = [
  ['', 300],
  [' and its second area of metadata is gone', 1100],
] as const;

test.each(FEW_AND_MANY)("a snapshot's store has been cut%s: a fork of it is not staged", async (_, blocks) => {
  const story = await begin();
  const { engine, world, volume } = story;
  const { id: snapshot } = await engine.createSnapshot(volume, 'first');
  const { id: fork } = await engine.createVolume({
    ...blank('fork', mib(16)),
    source: { from: 'snapshot', snapshot },
  });
  write(story, volume, blocks);
  await engine.deactivate(volume);
  await engine.settle();
  await cut(story, `sm.snapshot=${snapshot}`);
  for (const id of [fork, volume]) {
    await expect(engine.activate(id)).rejects.toThrow(HAS_BEEN_CUT);
    await engine.settle();
    await engine.look();
    expect(world.inspect.content(deviceKey(id, 'top'))).toBeUndefined();
  }
  expect((await storeOf(story, `sm.snapshot=${snapshot}`)).size).toBe(kib(64));
});

test.each(FEW_AND_MANY)("a snapshot's store has been cut%s: no restore to it begins", async (_, blocks) => {
  const story = await begin();
  const { engine, world, volume } = story;
  const { id: snapshot } = await engine.createSnapshot(volume, 'first');
  write(story, volume, blocks);
  await engine.deactivate(volume);
  await engine.settle();
  await cut(story, `sm.snapshot=${snapshot}`);
  const request = { volume, snapshot, mode: 'origin', keepSnapshot: true, safetySnapshotName: undefined } as const;
  await expect(engine.startRestore({ ...request, replace: false, token: undefined })).rejects.toThrow(
    /^Cannot restore: store .* has been cut/,
  );
  await engine.settle();
  await engine.look();
  expect(await engine.listRestores()).toEqual([]);
  expect((await storeOf(story, `sm.snapshot=${snapshot}`)).size).toBe(kib(64));
  // What the volume holds is whole.
  await engine.deleteSnapshot(snapshot);
  await engine.activate(volume);
  expect(world.inspect.content(deviceKey(volume, 'top'))?.slice(0, 2)).toEqual([1, 2]);
});

test.each(FEW_AND_MANY)("a dormant fork's store has been cut%s: nothing merges it away", async (_, blocks) => {
  const story = await begin();
  const { engine, volume } = story;
  const { id: snapshot } = await engine.createSnapshot(volume, 'first');
  const { id: fork } = await engine.createVolume({
    ...blank('fork', mib(16)),
    source: { from: 'snapshot', snapshot },
  });
  await engine.activate(fork);
  write(story, fork, blocks);
  await engine.deactivate(fork);
  await engine.deactivate(volume);
  await engine.settle();
  await cut(story, `sm.volume=${fork}`);
  await engine.deleteSnapshot(snapshot);
  for (let turn = 0; turn < 3; turn += 1) {
    await engine.retry();
    await engine.look();
    story.world.control.finishMerges();
  }
  const { size, tags } = await storeOf(story, `sm.volume=${fork}`);
  expect(size).toBe(kib(64));
  expect(tags.filter((tag) => tag.startsWith('sm.merging'))).toEqual([]);
  await expect(engine.activate(fork)).rejects.toThrow(HAS_BEEN_CUT);
});

test('what is not whole is not staged on the second try, by the next driver, or beside who has all devices open', async () => {
  const story = await begin();
  const { engine, world, volume, time } = story;
  const { id: snapshot } = await engine.createSnapshot(volume, 'first');
  write(story, volume, 300);
  await engine.deactivate(volume);
  await engine.settle();
  await cut(story, `sm.snapshot=${snapshot}`);
  await expect(engine.activate(volume)).rejects.toThrow(HAS_BEEN_CUT);
  const left = world.inspect.devices();
  expect(left).not.toContain(deviceKey(volume, 'top'));
  for (const key of left) world.stranger.open(key);
  await expect(engine.activate(volume)).rejects.toThrow(HAS_BEEN_CUT);
  for (const key of left) world.stranger.close(key);
  world.control.crashDriver();
  const clock = { nowMs: () => time.ms, monotonicMs: () => time.ms, sleep: () => Promise.resolve() };
  const next = await poolEngine(world, { clock });
  await next.open();
  await next.look();
  await expect(next.activate(volume)).rejects.toThrow(HAS_BEEN_CUT);
  expect((await storeOf(story, `sm.snapshot=${snapshot}`)).size).toBe(kib(64));
});
