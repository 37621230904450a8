// Merges that the kernel gives up because a disk does not answer for a while: nothing is lost, users go on where the disk
// lets them, and when it answers again the merges begin anew and come to their end.

import { clockOf } from '../clock.ts';
import { expect, test } from 'vitest';
import type { Kernel } from '../../src/dm/kernel.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import type { EntityId, SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import { deviceKey, isSnapshotId } from '../../src/vocabulary/ids.ts';
import type { Log } from '../../src/vocabulary/ports.ts';
import { silentLog } from '../../src/vocabulary/ports.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import type { Random } from '../contract/random.ts';
import { createRandom } from '../contract/random.ts';
import { PLAIN } from '../contract/blank.ts';
import { poolEngine } from './pool-engine.ts';
import type { World } from './world.ts';
import { createWorld } from './world.ts';

const SEEDS = Number(process.env['SNAPMERGE_SEEDS'] ?? 20);
const BLOCKS = 1024;
const LATER_MS = 400_000;
const PARAMETERS = { ...PLAIN, snapshotReservePercent: 100 } as const;

const REQUEST = { keepSnapshot: true, safetySnapshotName: undefined, replace: false, token: undefined } as const;
const EXPECTED: ReadonlySet<string> = new Set(['merge-failed', 'invalidated']);

interface Story {
  readonly world: World;
  readonly engine: PoolEngine;
  readonly random: Random;
  readonly images: Map<EntityId, number[]>;
  readonly pass: (ms: number) => void;
}

interface Begin {
  readonly log?: Log;
  /** The monitor looks after every step of the driver, also in the middle of what it does. */
  readonly looks?: boolean;
}

async function begin(seed: number, { log = silentLog, looks = false }: Begin = {}): Promise<Story> {
  // The volume's own store fills the first disk: stores of exceptions lie on the second one.
  const world = createWorld({ seed, extent: kib(64), disks: [mib(4), mib(64)], mergeOnResume: 1, mergePerEffect: 0 });
  let nowMs = 0;
  const clock = clockOf(() => (nowMs += 1));
  let looking = !looks;
  const apply: Kernel['apply'] = async (steps) => {
    await world.kernel.apply(steps);
    if (looking) return;
    looking = true;
    await engine.look();
    looking = false;
  };
  const kernel = { ...world.kernel, apply };
  const engine = await poolEngine(world, { clock, log, kernel, leastHeadroom: mib(4) });
  await engine.open();
  const pass = (ms: number): void => void (nowMs += ms);
  return { world, engine, random: createRandom(seed), images: new Map(), pass };
}

function write({ world, random, images }: Story, volume: VolumeId, count: number): void {
  const image = images.get(volume) ?? [];
  for (let index = 0; index < count; index += 1) {
    const block = random.below(BLOCKS);
    const tag = 1 + random.below(1_000_000);
    expect(world.user.write(deviceKey(volume, 'top'), block, [tag])).toBe('done');
    image[block] = tag;
  }
}

async function volumeOf({ engine, images }: Story, name: string, snapshot?: SnapshotId): Promise<VolumeId> {
  const source = snapshot === undefined ? undefined : ({ from: 'snapshot', snapshot } as const);
  const made = await engine.createVolume({
    name,
    requiredBytes: mib(4),
    limitBytes: undefined,
    parameters: PARAMETERS,
    source,
  });
  images.set(
    made.id,
    snapshot === undefined ? Array.from({ length: BLOCKS }, () => 0) : [...(images.get(snapshot) ?? [])],
  );
  await engine.activate(made.id);
  return made.id;
}

async function snapshotOf({ engine, images }: Story, volume: VolumeId, name: string): Promise<SnapshotId> {
  const { id } = await engine.createSnapshot(volume, name);
  images.set(id, [...(images.get(volume) ?? [])]);
  return id;
}

/** Every block of every image; the snapshots that say of themselves that they are lost, which then show errors alone. */
async function expectRight({ world, engine, images }: Story): Promise<readonly EntityId[]> {
  await engine.show(new Set(images.keys()));
  const lost = (await engine.listSnapshots()).filter(({ lost: isLost }) => isLost).map(({ id }) => id);
  for (const [id, image] of images) {
    const top = isSnapshotId(id) ? undefined : world.inspect.content(deviceKey(id, 'top'));
    const shown = top ?? world.inspect.content(deviceKey(id, 'view'));
    const isLost = isSnapshotId(id) && lost.includes(id);
    expect(shown).toEqual(isLost ? image.map(() => -1) : image);
  }
  await engine.show(new Set());
  return lost;
}

async function lookAndGoOn({ engine }: Story): Promise<void> {
  for (let round = 0; round < 4; round += 1) {
    await engine.look();
    await engine.settle();
  }
}

/** The merges run into the fault; what is left of them is not zero. */
async function failMerges(story: Story, disk: number): Promise<void> {
  const { world } = story;
  world.control.merge(2);
  world.control.breakDisk(disk, true);
  world.control.merge(50);
  expect([...(await world.kernel.statuses()).values()].map(({ state }) => state)).toContain('merge-failed');
  await lookAndGoOn(story);
}

async function heal(story: Story): Promise<void> {
  story.pass(LATER_MS);
  await lookAndGoOn(story);
  expect(story.world.control.finishMerges()).toBe(true);
  await lookAndGoOn(story);
}

/** A volume with three snapshots, restored to the first one and in use; its third one takes what the merges overwrite. */
async function restoring(story: Story): Promise<{ readonly volume: VolumeId; readonly restores: readonly string[] }> {
  const { engine, images } = story;
  const volume = await volumeOf(story, 'volume');
  write(story, volume, 300);
  const first = await snapshotOf(story, volume, 'first');
  for (const name of ['second', 'third']) {
    write(story, volume, 300);
    await snapshotOf(story, volume, name);
  }
  write(story, volume, 200);
  await engine.deactivate(volume);
  const { id } = await engine.startRestore({ ...REQUEST, volume, snapshot: first, mode: 'origin' });
  images.set(volume, [...(images.get(first) ?? [])]);
  await engine.activate(volume);
  return { volume, restores: [id] };
}

interface Forked {
  readonly origin: VolumeId;
  readonly base: SnapshotId;
  readonly fork: VolumeId;
}

/** A volume, a snapshot of it, and a fork of that; volume and fork have been written since. */
async function forked(story: Story): Promise<Forked> {
  const origin = await volumeOf(story, 'origin');
  write(story, origin, 300);
  const base = await snapshotOf(story, origin, 'base');
  write(story, origin, 300);
  const fork = await volumeOf(story, 'fork', base);
  write(story, fork, 200);
  return { origin, base, fork };
}

/** A fork with writes of its own that takes over its origin's storage while it is in use. */
async function promoting(story: Story): Promise<{ readonly volume: VolumeId; readonly restores: readonly string[] }> {
  const { engine, images } = story;
  const { origin, base, fork } = await forked(story);
  await snapshotOf(story, fork, 'of the fork');
  write(story, fork, 100);
  await engine.deactivate(origin);
  const { id } = await engine.startRestore({ ...REQUEST, volume: fork, snapshot: base, mode: 'snapshot' });
  images.delete(origin);
  return { volume: fork, restores: [id] };
}

/** A fork with writes of its own, in use, that is merged into its deleted snapshot and then into its deleted origin. */
async function absorbing(story: Story): Promise<{ readonly volume: VolumeId; readonly restores: readonly string[] }> {
  const { engine, images } = story;
  const { origin, base, fork } = await forked(story);
  await engine.deactivate(origin);
  await engine.deleteVolume(origin);
  await engine.deleteSnapshot(base);
  images.delete(origin);
  images.delete(base);
  await engine.settle();
  return { volume: fork, restores: [] };
}

const CASES = [
  { what: 'a restore', begins: restoring, where: 'what is merged lies', disk: 1, loses: 0 },
  // What the merges overwrite cannot be read, so the kernel gives up the snapshots that should have taken it.
  { what: 'a restore', begins: restoring, where: 'the volume lies', disk: 0, loses: 3 },
  { what: 'a promotion', begins: promoting, where: 'what is merged lies', disk: 1, loses: 0 },
  { what: 'a promotion', begins: promoting, where: 'the origin lies', disk: 0, loses: 3 },
  { what: 'an absorption', begins: absorbing, where: 'what is merged lies', disk: 1, loses: 0 },
  { what: 'an absorption', begins: absorbing, where: 'the deleted origin lies', disk: 0, loses: 0 },
] as const;

const LOOKS = [
  { when: 'between operations', looks: false },
  { when: 'after every step', looks: true },
] as const;

test.each(CASES.flatMap((one) => LOOKS.map((how) => ({ ...one, ...how }))))(
  '$what goes on when the disk where $where answers again, looked at $when',
  async ({ begins, disk, loses, looks }) => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      const story = await begin(seed, { looks });
      const { engine, world, random } = story;
      const { volume, restores } = await begins(story);
      await failMerges(story, disk);
      const said = (await engine.listRestores()).map(({ message }) => /the kernel says 'merge-failed'/.test(message));
      expect(said).toEqual(restores.map(() => true));
      // The disk is back, and the driver has not noticed: users write meanwhile, also into what is not merged.
      world.control.breakDisk(disk, false);
      write(story, volume, random.below(100));
      await heal(story);
      expect((await engine.listRestores()).map(({ id, phase, message }) => ({ id, phase, message }))).toEqual(
        restores.map((id) => ({ id, phase: 'done', message: '' })),
      );
      expect((await expectRight(story)).length).toBeLessThanOrEqual(loses);
      write(story, volume, 100);
      await expectRight(story);
      expect(world.inspect.notices().filter(({ kind }) => !EXPECTED.has(kind))).toEqual([]);
    }
  },
);

test('a merge that failed because its store has been cut does not begin anew, and nobody gives the store other bytes', async () => {
  const said: string[] = [];
  const told: Log['warn'] = (fields, message) => void said.push(`${message}: ${String(fields['error'])}`);
  const log: Log = { ...silentLog, error: told, warn: told, child: () => log };
  const story = await begin(1, { log });
  const { engine, world } = story;
  const { volume } = await restoring(story);
  const { stores } = await world.lvm.report();
  const third = (await engine.listSnapshots()).find(({ name }) => name === 'third')?.id;
  const merged = stores.find(({ tags }) => tags.includes(`sm.snapshot=${third}`) && tags.includes('sm.gen=1'))?.store;
  if (merged === undefined) throw new Error('the restore merges no store of the third snapshot');
  await world.lvm.shrink(merged, kib(64));
  world.control.merge(1000);
  expect([...(await world.kernel.statuses()).values()].map(({ state }) => state)).toContain('merge-failed');
  const shown = world.inspect.content(deviceKey(volume, 'top'));
  for (let round = 0; round < 4; round += 1) {
    await lookAndGoOn(story);
    story.pass(LATER_MS);
  }
  const after = (await world.lvm.report()).stores.find(({ store }) => store === merged);
  expect(after?.size).toBe(kib(64));
  expect(said.join('\n')).toMatch(
    /Cannot begin the merge of '.*' anew: store '.*' has 64 KiB and uses .*: it has been cut/,
  );
  expect((await engine.listRestores()).map(({ phase }) => phase)).toEqual(['merging']);
  expect(world.inspect.content(deviceKey(volume, 'top'))).toEqual(shown);
});

test('a snapshot whose store has been cut is neither restored to nor merged', async () => {
  const said: string[] = [];
  const told: Log['error'] = (fields, message) => void said.push(`${message}: ${String(fields['state'])}`);
  const log: Log = { ...silentLog, error: told, child: () => log };
  const story = await begin(1, { log });
  const { engine, world } = story;
  const volume = await volumeOf(story, 'volume');
  const first = await snapshotOf(story, volume, 'first');
  write(story, volume, 300);
  const second = await snapshotOf(story, volume, 'second');
  write(story, volume, 100);
  await snapshotOf(story, volume, 'third');
  await engine.settle();
  const storeOf = async (id: SnapshotId) =>
    (await world.lvm.report()).stores.find(({ tags }) => tags.includes(`sm.snapshot=${id}`));
  const cut = (await storeOf(first))?.store;
  if (cut === undefined) throw new Error('the snapshot has no store');
  await world.lvm.shrink(cut, kib(64));
  await engine.deactivate(volume);
  const request = { ...REQUEST, volume, snapshot: first, mode: 'origin' } as const;
  await expect(engine.startRestore(request)).rejects.toThrow(
    /Cannot restore: store '.*' has 64 KiB and uses .*: it has been cut/,
  );
  // Its reader would be merged into what is deleted.
  await engine.deleteSnapshot(second);
  await engine.settle();
  expect(said.join('\n')).toMatch(/cannot absorb a ghost: its reader is not sound: store '.*' has 64 KiB and uses/);
  expect((await storeOf(second))?.tags).toContain('sm.deleted');
  expect((await storeOf(first))?.tags.filter((tag) => tag.startsWith('sm.merging'))).toEqual([]);
});
