// The engine on the simulated node with writers that are faster than its monitor, and pools that run full: they wait, go on
// when there is room, and nothing is ever lost.

import { clockOf } from '../clock.ts';
import { expect, test } from 'vitest';
import type { PoolEngine } from '../../src/engine/compose.ts';
import { createPoolEngine } from '../../src/engine/compose.ts';
import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import { deviceKey, isVolumeId, poolName, storeName } from '../../src/vocabulary/ids.ts';
import type { SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import { silentLog } from '../../src/vocabulary/ports.ts';
import { bytes, kib, mib } from '../../src/vocabulary/units.ts';
import { idOf } from '../contract/ids.ts';
import type { Random } from '../contract/random.ts';
import { createRandom } from '../contract/random.ts';
import type { World } from './world.ts';
import { createWorld } from './world.ts';

const SEEDS = Number(process.env['SNAPMERGE_SEEDS'] ?? 40);
const FIRST = Number(process.env['SNAPMERGE_SEED'] ?? 1);
const ROUNDS = 30;
const BLOCK = 4096n;
const PARAMETERS = { layout: 'linear', snapshotReservePercent: 1, onFull: 'wait', scratch: false } as const;

interface Waiting {
  readonly id: number;
  readonly volume: VolumeId;
  readonly block: number;
  readonly tag: number;
}

interface Run {
  readonly world: World;
  readonly random: Random;
  readonly images: Map<VolumeId | SnapshotId, number[]>;
  readonly active: Set<VolumeId>;
  readonly story: string[];
  engine: PoolEngine;
  filler: VolumeId | undefined;
  waiting: Waiting[];
  waited: number;
  refused: number;
  next: number;
}

async function newEngine(run: Omit<Run, 'engine'>, lvm: Lvm = run.world.lvm): Promise<PoolEngine> {
  const { world } = run;
  const engine = createPoolEngine({
    kernel: world.kernel,
    lvm,
    host: world.host,
    pool: poolName('test'),
    log: silentLog,
    vg: (await world.lvm.report()).vgUuid,
    clock: clockOf(() => (run.next += 1)),
    drawId: () => idOf((run.next += 1)),
    reservePercent: 0,
    leastHeadroom: kib(128),
  });
  await engine.open();
  return engine;
}

async function create(run: Run, size: bigint, snapshot?: SnapshotId): Promise<VolumeId> {
  const made = await run.engine.createVolume({
    name: `volume ${(run.next += 1)}`,
    requiredBytes: bytes(size),
    limitBytes: undefined,
    parameters: { ...PARAMETERS, chunk: run.random.pick([kib(4), kib(8), kib(16)]) ?? kib(8) },
    source: snapshot === undefined ? undefined : { from: 'snapshot', snapshot },
  });
  const source = snapshot === undefined ? undefined : run.images.get(snapshot);
  run.images.set(
    made.id,
    source === undefined ? Array.from({ length: Number(made.size / BLOCK) }, () => 0) : [...source],
  );
  await run.engine.activate(made.id);
  run.active.add(made.id);
  return made.id;
}

/** One block after the other, whatever becomes of each: nobody looks after the stores meanwhile. */
function burst(run: Run): string {
  const volume = run.random.pick([...run.active]);
  const blocks = volume === undefined ? undefined : run.images.get(volume);
  if (volume === undefined || blocks === undefined) return 'nothing to write';
  let count = 0;
  for (const length = 20 + run.random.below(80); count < length; count += 1) {
    const block = run.random.below(blocks.length);
    const tag = (run.next += 1);
    // A user writes a block once at a time.
    if (run.waiting.some((one) => one.volume === volume && one.block === block)) continue;
    const outcome = run.world.user.write(deviceKey(volume, 'top'), block, [tag]);
    if (outcome === 'failed') throw new Error(`a write to ${volume} failed`);
    if (outcome === 'done') blocks[block] = tag;
    const id = run.world.user.queued().at(-1)?.id;
    if (outcome === 'queued' && id !== undefined) run.waiting.push({ id, volume, block, tag });
  }
  run.waited += run.waiting.length;
  return `${count} writes to ${volume}, ${run.waiting.length} wait`;
}

/** What waited and is done by now has happened. */
function learn(run: Run): void {
  const left: Waiting[] = [];
  for (const one of run.waiting) {
    const outcome = run.world.user.outcome(one.id);
    if (outcome === 'failed') throw new Error(`a write to ${one.volume} that waited has failed`);
    const blocks = run.images.get(one.volume);
    if (outcome === 'queued') left.push(one);
    else if (blocks !== undefined) blocks[one.block] = one.tag;
  }
  run.waiting = left;
}

async function look(run: Run): Promise<string> {
  for (let round = 0; round < 20; round += 1) {
    await run.engine.look();
    await run.engine.settle();
  }
  learn(run);
  const waits = await run.engine.waiting();
  if (run.filler === undefined && run.waiting.length > 0) {
    const { free } = await run.world.lvm.report();
    if (free > 0n) throw new Error(`${run.waiting.length} writes wait with ${free} bytes free`);
  }
  if (run.waiting.length > 0 && waits.length === 0) throw new Error('writes wait, and nothing says so');
  return `a look: ${run.waiting.length} still wait`;
}

/** Done, or refused with the reason. */
async function allowed(run: Run, what: string, work: () => Promise<void>): Promise<string> {
  try {
    await work();
    return what;
  } catch (error) {
    if (!(error instanceof SnapmergeError) || (error.kind !== 'precondition' && error.kind !== 'exhausted'))
      throw error;
    run.refused += 1;
    return `${what}: ${error.message}`;
  }
}

async function snapshot(run: Run): Promise<string> {
  const volume = run.random.pick([...run.active]);
  if (volume === undefined || run.images.size > 9) return 'no snapshot';
  return allowed(run, `snapshot ${volume}`, async () => {
    const { id } = await run.engine.createSnapshot(volume, `snapshot ${(run.next += 1)}`);
    learn(run);
    run.images.set(id, [...(run.images.get(volume) ?? [])]);
  });
}

async function fork(run: Run): Promise<string> {
  const from = run.random.pick([...run.images.keys()].filter((id) => id.startsWith('s-')));
  const taken = (await run.engine.listSnapshots()).find(({ id }) => id === from);
  if (taken === undefined || run.active.size > 3) return 'no fork';
  return allowed(run, `fork ${from}`, async () => {
    await create(run, taken.size, taken.id);
  });
}

async function remove(run: Run): Promise<string> {
  const from = run.random.pick((await run.engine.listSnapshots()).map(({ id }) => id));
  if (from === undefined) return 'nothing to delete';
  return allowed(run, `delete ${from}`, async () => {
    // Decided by its first commit, whatever has to wait for the rest.
    run.images.delete(from);
    await run.engine.deleteSnapshot(from);
    learn(run);
  });
}

/** Takes what is free, or gives it back. */
async function fill(run: Run): Promise<string> {
  const { filler } = run;
  if (filler !== undefined) {
    await run.engine.deleteVolume(filler);
    run.filler = undefined;
    return 'room again';
  }
  const { available } = await run.engine.capacity('linear');
  if (available < kib(512)) return 'no room to take';
  return allowed(run, 'the room is taken', async () => {
    run.filler = (
      await run.engine.createVolume({
        name: `filler ${(run.next += 1)}`,
        requiredBytes: bytes((available / kib(512)) * kib(512)),
        limitBytes: undefined,
        parameters: { ...PARAMETERS, chunk: kib(8) },
        source: undefined,
      })
    ).id;
  });
}

async function kill(run: Run): Promise<string> {
  run.world.control.crashDriver();
  run.engine = await newEngine(run);
  learn(run);
  return 'driver killed and started';
}

async function cut(run: Run): Promise<string> {
  learn(run);
  for (const id of run.active) run.world.user.flush(deviceKey(id, 'top'));
  learn(run);
  run.world.control.crashPower();
  run.waiting = [];
  run.engine = await newEngine(run);
  for (const id of run.active) await run.engine.activate(id);
  return 'power cut';
}

async function check(run: Run): Promise<readonly string[]> {
  learn(run);
  await run.engine.show(new Set(run.images.keys()));
  const wrong: string[] = [];
  for (const [id, want] of run.images) {
    const part = isVolumeId(id) && run.active.has(id) ? 'top' : 'view';
    const got = run.world.inspect.content(deviceKey(id, part)) ?? [];
    const bad = want.filter((tag, block) => got[block] !== tag).length;
    if (bad > 0) wrong.push(`${id}: ${bad} of ${want.length} blocks differ`);
  }
  await run.engine.show(new Set());
  // A snapshot that was deleted while its writer waited is given up.
  const notices = run.world.inspect
    .notices()
    .filter(({ kind, key }) => kind !== 'invalidated' || [...run.images.keys()].some((id) => key.startsWith(id)));
  return [...wrong, ...notices.map((notice) => JSON.stringify(notice))];
}

const STEPS = [burst, burst, burst, look, look, snapshot, fork, remove, fill, kill, cut];

function newRun(seed: number): Omit<Run, 'engine'> {
  return {
    world: createWorld({ seed, extent: kib(64), disks: [mib(6), mib(6)] }),
    random: createRandom(seed),
    images: new Map(),
    active: new Set(),
    story: [],
    filler: undefined,
    waiting: [],
    waited: 0,
    refused: 0,
    next: 1,
  };
}

test.each(Array.from({ length: SEEDS }, (_, index) => FIRST + index))('seed %i', { timeout: 120_000 }, async (seed) => {
  const base = newRun(seed);
  const { world, random } = base;
  const run: Run = Object.assign(base, { engine: await newEngine(base) });
  let failure = '';
  try {
    await create(run, mib(1));
    for (let round = 0; round < ROUNDS; round += 1) {
      run.story.push(await (random.pick(STEPS) ?? burst)(run));
      if (run.waiting.length === 0) failure = (await check(run)).join('\n');
      if (failure !== '') break;
    }
    if (run.filler !== undefined) run.story.push(await fill(run));
    run.story.push(await look(run));
    failure ||= (await check(run)).join('\n');
  } catch (error) {
    failure = String(error);
  }
  expect(failure === '' ? '' : [...run.story, '--', ...world.inspect.trace().slice(-40), failure].join('\n')).toBe('');
});

test('room that comes between the refusal of an extension and the look at what is free is not all taken', async () => {
  const base = newRun(1);
  const { lvm } = base.world;
  const theirs = storeName('sm_1111111111');
  let isFull = false;
  const extend: Lvm['extend'] = async (store, size) => {
    try {
      await lvm.extend(store, size);
    } catch (error) {
      if (isFull) await lvm.remove(theirs);
      isFull = false;
      throw error;
    }
  };
  const run: Run = Object.assign(base, { engine: await newEngine(base, { ...lvm, extend }) });
  const volume = await create(run, mib(1));
  await run.engine.createSnapshot(volume, 'before');
  await lvm.create(theirs, (await lvm.report()).free, 'linear', []);
  isFull = true;
  for (const round of [1, 2, 3, 4]) run.story.push(`${round}: ${burst(run)}, ${await look(run)}`);
  expect([isFull, run.waiting]).toEqual([false, []]);
  const { stores, size } = await lvm.report();
  const taken = stores.reduce((sum, store) => sum + store.size, 0n);
  expect(taken).toBeLessThan(size / 2n);
});
