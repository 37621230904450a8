// Random operations against a model, on any rig: the same seed gives the same story. After each operation every byte of
// every living volume and snapshot is compared.

import { steppingClock } from '../clock.ts';
import type { Restore, RestoreMode } from '../../src/engine/engine.ts';
import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import type { EntityId, SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import { deviceKey, poolName } from '../../src/vocabulary/ids.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import { createPoolEngine } from '../../src/engine/compose.ts';
import { inTurn } from '../../src/dm/kernel.ts';
import type { Step } from '../../src/dm/step.ts';
import type { VolumeParameters } from '../../src/vocabulary/parameters.ts';
import type { Log } from '../../src/vocabulary/ports.ts';
import { silentLog } from '../../src/vocabulary/ports.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { bytes, kib } from '../../src/vocabulary/units.ts';
import { idOf } from './ids.ts';
import type { Meanwhile } from './meanwhile.ts';
import { createMeanwhile } from './meanwhile.ts';
import type { Model, ModelSnapshot, ModelVolume } from './model.ts';
import { beginRestore, createModel, difference, learnTail, modelVolume, refresh, wanted } from './model.ts';
import type { Random } from './random.ts';
import type { BlockWrite, Rig } from './rig.ts';
import { BLOCK_BYTES } from './rig.ts';

export interface ScenarioOptions {
  readonly random: Random;
  /** Bytes of the smallest volume and of a step of growth. */
  readonly unit: Bytes;
  readonly leastHeadroom: Bytes;
  readonly maxVolumes: number;
  readonly maxSnapshots: number;
  readonly looksAfterWrites: boolean;
  /** The monitor's loop is on its own: it may look in the middle of any change. */
  readonly looksAfterSteps: boolean;
  /** Users go on writing between any two steps of the driver. */
  readonly writesMeanwhile: boolean;
  readonly log?: Log;
}

export interface Scenario {
  readonly rig: Rig;
  readonly options: ScenarioOptions;
  readonly model: Model;
  engine: PoolEngine;
  /** One line an operation. */
  readonly story: string[];
  nextTag: number;
  nextName: number;
  nextId: number;
  clockMs: number;
  /** What the driver has changed so far: a number that only grows. */
  effects: number;
  /** What a user does right before a step of the driver's. */
  beforeStep: (step: Step) => Promise<void>;
  readonly meanwhile: Meanwhile;
}

/** A scenario without what is made of it. */
export type Background = Omit<Scenario, 'engine' | 'meanwhile'>;

export function createScenario(rig: Rig, options: ScenarioOptions): Scenario {
  const scenario: Background = {
    rig,
    options,
    model: createModel(),
    story: [],
    nextTag: 1,
    nextName: 1,
    nextId: 1,
    clockMs: 1_000_000,
    effects: 0,
    beforeStep: () => Promise.resolve(),
  };
  const meanwhile = createMeanwhile(scenario);
  if (options.writesMeanwhile) scenario.beforeStep = meanwhile.before;
  return Object.assign(scenario, { meanwhile, engine: newEngine(scenario) });
}

export function newEngine(scenario: Background): PoolEngine {
  const { rig, options } = scenario;
  const { lvm, host } = rig;
  let looking = !options.looksAfterSteps;
  const effect = <T>(done: Promise<T>): Promise<T> => {
    scenario.effects += 1;
    return done;
  };
  const apply = async (step: Step): Promise<void> => {
    await scenario.beforeStep(step);
    await effect(rig.kernel.apply([step]));
    if (looking) return;
    looking = true;
    await engine.look();
    looking = false;
  };
  const engine = createPoolEngine({
    pool: poolName('test'),
    vg: rig.vg,
    lvm: {
      ...lvm,
      create: (...args) => effect(lvm.create(...args)),
      remove: (...args) => effect(lvm.remove(...args)),
      extend: (...args) => effect(lvm.extend(...args)),
      shrink: (...args) => effect(lvm.shrink(...args)),
      retag: (...args) => effect(lvm.retag(...args)),
    },
    kernel: { ...rig.kernel, apply: inTurn(apply) },
    host: { ...host, zero: (...args) => effect(host.zero(...args)) },
    clock: steppingClock(() => (scenario.clockMs += 1)),
    drawId: () => idOf(scenario.nextId++),
    log: options.log ?? silentLog,
    reservePercent: 0,
    leastHeadroom: options.leastHeadroom,
  });
  return engine;
}

/** A restore may wait for a merge that waits for another. */
const FINISH_ROUNDS = 20;
/** A merge that is done is heard of in one round and acted upon in the next. */
const QUIET_ROUNDS = 2;

export type Operation = (s: Scenario) => Promise<string | undefined>;

const CHUNKS = [kib(4), kib(8), kib(16), kib(32)];

function parameters(s: Scenario, scratch = false): VolumeParameters {
  const { random } = s.options;
  return {
    layout: 'linear',
    chunk: random.pick(CHUNKS) ?? kib(8),
    snapshotReservePercent: 10,
    onFull: 'wait',
    scratch,
  };
}

const blocksOf = (size: Bytes): number => Number(size) / BLOCK_BYTES;
const zeroes = (count: number): number[] => Array.from({ length: count }, () => 0);

function someVolume(s: Scenario): VolumeId | undefined {
  return s.options.random.pick([...s.model.volumes.keys()]);
}

function someSnapshot(s: Scenario): SnapshotId | undefined {
  return s.options.random.pick([...s.model.snapshots.keys()]);
}

export const create: Operation = async (s) => {
  if (s.model.volumes.size >= s.options.maxVolumes) return undefined;
  const size = bytes(s.options.unit * BigInt(1 + s.options.random.below(2)));
  const volume = await s.engine.createVolume({
    name: `volume ${s.nextName++}`,
    requiredBytes: size,
    limitBytes: undefined,
    parameters: parameters(s),
    source: undefined,
  });
  s.model.volumes.set(volume.id, modelVolume(volume.id, zeroes(blocksOf(volume.size))));
  return `create ${volume.id} of ${volume.size}`;
};

export const activate: Operation = async (s) => {
  const id = s.options.random.pick([...s.model.volumes.values()].filter(({ active }) => !active).map((v) => v.id));
  const volume = id === undefined ? undefined : s.model.volumes.get(id);
  if (volume === undefined) return undefined;
  // While its restore waits for another merge, nobody gets it.
  if ((await allowed(s.engine.activate(volume.id))) === undefined) return `activate ${volume.id}: refused`;
  volume.active = true;
  return `activate ${volume.id}`;
};

export const deactivate: Operation = async (s) => {
  const volume = s.options.random.pick([...s.model.volumes.values()].filter(({ active }) => active));
  if (volume === undefined) return undefined;
  await s.engine.deactivate(volume.id);
  volume.active = false;
  refresh(volume);
  return `deactivate ${volume.id}`;
};

export const write: Operation = async (s) => {
  const volume = s.options.random.pick([...s.model.volumes.values()].filter(({ active }) => active));
  if (volume === undefined) return activate(s);
  const count = 1 + s.options.random.below(12);
  const writes: BlockWrite[] = [];
  for (let i = 0; i < count; i += 1) {
    const length = 1 + s.options.random.below(s.options.random.chance(0.2) ? 16 : 2);
    const block = s.options.random.below(volume.blocks.length - length);
    const tags = Array.from({ length }, () => s.nextTag++);
    tags.forEach((tag, index) => {
      volume.blocks[block + index] = tag;
      volume.past.add(tag);
    });
    writes.push({ block, tags });
  }
  // The monitor's time is not real here: it looks after every write, as it would many times a second.
  const device = deviceKey(volume.id, 'top');
  if (s.options.looksAfterWrites) {
    await s.meanwhile.without(volume.id, async () => {
      for (const one of writes) {
        await s.rig.write(device, [one]);
        await s.engine.look();
      }
    });
  } else {
    await s.rig.write(device, writes);
  }
  return `write ${volume.id}: ${writes.map(({ block, tags }) => `${block}+${tags.length}`).join(' ')}`;
};

export const snapshot: Operation = async (s) => {
  const id = someVolume(s);
  const volume = id === undefined ? undefined : s.model.volumes.get(id);
  if (volume === undefined || s.model.snapshots.size >= s.options.maxSnapshots) return undefined;
  const before = [...volume.blocks];
  const taken = await allowed(s.engine.createSnapshot(volume.id, `snapshot ${s.nextName++}`));
  if (taken === undefined) return `snapshot ${volume.id}: refused`;
  const blocks = s.meanwhile.moment(taken.id, volume.id) ?? before;
  s.model.snapshots.set(taken.id, { id: taken.id, volume: volume.id, blocks });
  return `snapshot ${volume.id} as ${taken.id}`;
};

export const fork: Operation = async (s) => {
  const id = someSnapshot(s);
  const source = id === undefined ? undefined : s.model.snapshots.get(id);
  if (source === undefined || s.model.volumes.size >= s.options.maxVolumes) return undefined;
  const { random, unit } = s.options;
  const scratch = random.chance(0.1);
  const more = random.chance(0.3) ? unit : bytes(0);
  const made = await s.engine.createVolume({
    name: `fork ${s.nextName++}`,
    requiredBytes: bytes(BigInt(source.blocks.length * BLOCK_BYTES) + more),
    limitBytes: undefined,
    parameters: parameters(s, scratch),
    source: { from: 'snapshot', snapshot: source.id },
  });
  const blocks = [...source.blocks, ...zeroes(blocksOf(made.size) - source.blocks.length)];
  const fresh = scratch ? [...blocks] : undefined;
  s.model.volumes.set(made.id, modelVolume(made.id, blocks, { fresh, source: source.id }));
  return `fork ${source.id} as ${made.id} of ${made.size}${scratch ? ' (scratch)' : ''}`;
};

export const clone: Operation = async (s) => {
  const id = someVolume(s);
  const source = id === undefined ? undefined : s.model.volumes.get(id);
  if (source === undefined || s.model.volumes.size >= s.options.maxVolumes) return undefined;
  const made = await s.meanwhile.without(source.id, () =>
    allowed(
      s.engine.createVolume({
        name: `clone ${s.nextName++}`,
        requiredBytes: bytes(source.blocks.length * BLOCK_BYTES),
        limitBytes: undefined,
        parameters: parameters(s),
        source: { from: 'volume', volume: source.id },
      }),
    ),
  );
  if (made === undefined) return `clone ${source.id}: refused`;
  s.model.volumes.set(made.id, modelVolume(made.id, [...source.blocks]));
  return `clone ${source.id} as ${made.id}`;
};

export const deleteVolume: Operation = async (s) => {
  const volume = s.options.random.pick([...s.model.volumes.values()].filter(({ active }) => !active));
  if (volume === undefined) return undefined;
  await s.engine.deleteVolume(volume.id);
  s.model.volumes.delete(volume.id);
  return `delete ${volume.id}`;
};

export const deleteSnapshot: Operation = async (s) => {
  const id = someSnapshot(s);
  if (id === undefined) return undefined;
  await s.engine.deleteSnapshot(id);
  s.model.snapshots.delete(id);
  return `delete ${id}`;
};

export const expand: Operation = async (s) => {
  const id = someVolume(s);
  const volume = id === undefined ? undefined : s.model.volumes.get(id);
  if (volume === undefined || volume.blocks.length >= 4 * blocksOf(s.options.unit)) return undefined;
  const size = bytes(BigInt(volume.blocks.length * BLOCK_BYTES) + s.options.unit);
  const grown = await allowed(s.engine.expandVolume(volume.id, size, undefined));
  if (grown === undefined) return `expand ${volume.id}: refused`;
  volume.blocks.push(...zeroes(blocksOf(grown) - volume.blocks.length));
  return `expand ${volume.id} to ${grown}`;
};

/** To any snapshot of a volume, at once or when it is next staged. */
export const restore: Operation = async (s) => {
  const id = someSnapshot(s);
  const target = id === undefined ? undefined : s.model.snapshots.get(id);
  const volume = target === undefined ? undefined : s.model.volumes.get(target.volume);
  if (target === undefined || volume === undefined) return undefined;
  const mode = s.options.random.chance(0.2) ? 'onactivate' : 'origin';
  return askToRestore(s, volume, target, mode);
};

/** A fork takes over the storage of the volume that it was made from. */
export const promote: Operation = async (s) => {
  const forks = [...s.model.volumes.values()].filter(({ source }) => source !== undefined);
  const volume = s.options.random.pick(forks);
  const target = volume?.source === undefined ? undefined : s.model.snapshots.get(volume.source);
  if (volume === undefined || target === undefined || !s.model.volumes.has(target.volume)) return undefined;
  return askToRestore(s, volume, target, 'snapshot');
};

async function askToRestore(
  s: Scenario,
  volume: ModelVolume,
  target: ModelSnapshot,
  mode: RestoreMode,
): Promise<string> {
  const keepSnapshot = s.options.random.chance(0.6);
  // What is promoted keeps its contents.
  const safety = mode !== 'snapshot' && s.options.random.chance(0.4) ? `safety ${s.nextName++}` : undefined;
  const replace = s.options.random.chance(0.5);
  const line = `restore ${volume.id} to ${target.id} (${mode}${keepSnapshot ? '' : ', dropped'}, safety ${safety})`;
  const ask = (): Promise<Restore> =>
    s.engine.startRestore({
      volume: volume.id,
      snapshot: target.id,
      mode,
      keepSnapshot,
      safetySnapshotName: safety,
      replace,
      token: undefined,
    });
  // A promotion keeps what the fork shows, and gives up its origin.
  const concerned = mode === 'snapshot' ? target.volume : volume.id;
  const started = await s.meanwhile.without(concerned, () => allowed(ask()));
  if (started === undefined) return `${line}: refused`;
  const wish = {
    id: started.id,
    mode,
    snapshot: target.id,
    blocks: target.blocks,
    origin: target.volume,
    keepSnapshot,
  };
  if (started.phase === 'waiting') volume.wish = wish;
  else beginRestore(s.model, volume, wish, started);
  return `${line}: ${started.phase} as ${started.id}`;
}

export const cancel: Operation = async (s) => {
  const volume = s.options.random.pick([...s.model.volumes.values()].filter(({ wish }) => wish !== undefined));
  if (volume?.wish === undefined) return undefined;
  await s.engine.cancelRestore(volume.wish.id);
  volume.wish = undefined;
  return `cancel the restore of ${volume.id}`;
};

/** Restores that waited begin when the driver finds the way free; what they did is taken from its own list. */
export async function learnRestores(s: Scenario): Promise<void> {
  for (const volume of s.model.volumes.values()) {
    const { wish } = volume;
    if (wish === undefined) continue;
    const restore = await s.engine.getRestore(wish.id);
    if (restore === undefined) throw new Error(`Cannot find restore '${wish.id}', which waited`);
    if (restore.phase === 'waiting') continue;
    beginRestore(s.model, volume, wish, restore);
    s.story.push(`  the restore of ${volume.id} to ${wish.snapshot} has begun`);
  }
}

/** The background does what is due now; merges go on a little. */
export const background: Operation = async (s) => {
  await s.engine.settle();
  await s.rig.pause();
  await s.engine.look();
  return 'background';
};

export const finish: Operation = async (s) => {
  for (let round = 0, quiet = 0; round < FINISH_ROUNDS && quiet < QUIET_ROUNDS; round += 1) {
    const before = s.effects;
    await s.rig.finishMerges();
    await s.engine.look();
    await s.engine.settle();
    quiet = s.effects === before ? quiet + 1 : 0;
  }
  return 'all merges done';
};

export const killDriver: Operation = async (s) => {
  await s.rig.killDriver();
  s.engine = newEngine(s);
  await s.engine.open();
  return 'driver killed and started';
};

export const cutPower: Operation = async (s) => {
  await s.rig.cutPower();
  for (const volume of s.model.volumes.values()) {
    volume.active = false;
    refresh(volume);
  }
  s.engine = newEngine(s);
  await s.engine.open();
  return 'power cut';
};

const WEIGHTS: readonly (readonly [number, Operation])[] = [
  [4, create],
  [6, activate],
  [2, deactivate],
  [16, write],
  [8, snapshot],
  [5, fork],
  [3, clone],
  [3, deleteVolume],
  [5, deleteSnapshot],
  [3, expand],
  [8, restore],
  [4, promote],
  [1, cancel],
  [6, background],
  [2, finish],
  [2, killDriver],
  [2, cutPower],
];

/** One random operation that can be done now. */
export async function randomOperation(s: Scenario): Promise<void> {
  const total = WEIGHTS.reduce((sum, [weight]) => sum + weight, 0);
  for (let tries = 0; tries < 100; tries += 1) {
    let at = s.options.random.below(total);
    const chosen = WEIGHTS.find(([weight]) => (at -= weight) < 0)?.[1] ?? create;
    const line = await chosen(s);
    if (line === undefined) continue;
    s.story.push(line);
    await learnRestores(s);
    return;
  }
}

/** What the driver rightly refuses for now is no failure; everything else is. */
async function allowed<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof SnapmergeError && (error.kind === 'precondition' || error.kind === 'exhausted'))
      return undefined;
    throw error;
  }
}

/** Compares every block of every living volume and snapshot; one line for each image that is wrong. */
export async function check(s: Scenario): Promise<readonly string[]> {
  await learnRestores(s);
  const want = wanted(s.model);
  await s.engine.show(new Set(want.keys()));
  const wrong: string[] = [];
  const contents = await s.rig.read(...[...want.keys()].map((id) => deviceKey(id, shownBy(s, id))));
  for (const [index, [id, blocks]] of [...want].entries()) {
    const shown = contents[index] ?? [];
    const volume = [...s.model.volumes.values()].find((one) => one.id === id);
    const line = (volume === undefined ? undefined : learnTail(volume, shown)) ?? difference(id, shown, blocks);
    if (line !== undefined) wrong.push(line);
  }
  await s.engine.show(new Set());
  return [...wrong, ...s.rig.notices(new Set(want.keys()))];
}

function shownBy(s: Scenario, id: EntityId): 'top' | 'view' {
  for (const volume of s.model.volumes.values()) if (volume.id === id && volume.active) return 'top';
  return 'view';
}
