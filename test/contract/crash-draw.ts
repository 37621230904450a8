// Which operation comes next in a random family: weights, sizes, and what can be done at all. Seeded, and nothing happens
// here.

import type { RestoreMode } from '../../src/engine/engine.ts';
import { isSnapshotId, isVolumeId } from '../../src/vocabulary/ids.ts';
import type { VolumeParameters } from '../../src/vocabulary/parameters.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { bytes, kib } from '../../src/vocabulary/units.ts';
import type { Model, Shown } from './crash-model.ts';
import { volumeIn } from './crash-model.ts';
import type { NamedSnapshot, NamedVolume, Operation, Write } from './crash-operation.ts';
import { idOf } from './ids.ts';
import type { Random } from './random.ts';
import { BLOCK_BYTES } from './rig.ts';

const UNIT = kib(512);
const UNIT_BLOCKS = Number(UNIT) / BLOCK_BYTES;
const CHUNKS = [kib(4), kib(8), kib(16), kib(32)];

/** What one run hands out: names, tags and tokens that were never used before. */
export interface Fresh {
  name: number;
  tag: number;
  restore: number;
}

/** Beyond all that drivers draw for themselves. */
const FIRST_TOKEN = 2 ** 49;

export function nextToken(fresh: Fresh): string {
  return idOf(FIRST_TOKEN + fresh.restore++);
}

/** What a story is like. */
export interface Habits {
  readonly maxVolumes: number;
  readonly maxSnapshots: number;
  readonly maxMembers: number;
  /** The share of new volumes that are begun although there is one already: everything else grows families. */
  readonly newFamilies: number;
  /** How often each operation is drawn, in proportion. */
  readonly weights: readonly (readonly [number, Maker])[];
}

interface Draw {
  readonly habits: Habits;
  readonly random: Random;
  readonly fresh: Fresh;
  readonly model: Model;
  readonly volumes: readonly NamedVolume[];
  readonly snapshots: readonly NamedSnapshot[];
}

type Maker = (d: Draw) => Operation | undefined;

export function drawOperation(
  random: Random,
  fresh: Fresh,
  model: Model,
  shown: ReadonlyMap<string, Shown>,
  habits: Habits = USUAL,
): Operation {
  const volumes = [...shown].flatMap(([name, { id }]) => (isVolumeId(id) ? [{ name, id }] : []));
  const snapshots = [...shown].flatMap(([name, { id }]) => (isSnapshotId(id) ? [{ name, id }] : []));
  const draw: Draw = { habits, random, fresh, model, volumes, snapshots };
  const { weights } = habits;
  const total = weights.reduce((sum, [weight]) => sum + weight, 0);
  for (let tries = 0; tries < 100; tries += 1) {
    let at = random.below(total);
    const op = weights.find(([weight]) => (at -= weight) < 0)?.[1](draw);
    if (op !== undefined) return op;
  }
  return { do: 'background', chunks: undefined };
}

function parameters({ random }: Draw, scratch = false): VolumeParameters {
  const chunk = random.pick(CHUNKS) ?? kib(8);
  return { layout: 'linear', chunk, snapshotReservePercent: 10, onFull: 'wait', scratch };
}

const isActive = (model: Model, name: string): boolean => volumeIn(model, name).active;
const sizeOf = (model: Model, name: string): Bytes => bytes((model.get(name)?.blocks.length ?? 0) * BLOCK_BYTES);

function isRoomFor(kind: 'volume' | 'snapshot', { habits, volumes, snapshots }: Draw): boolean {
  if (volumes.length + snapshots.length >= habits.maxMembers) return false;
  return kind === 'volume' ? volumes.length < habits.maxVolumes : snapshots.length < habits.maxSnapshots;
}

const create: Maker = (d) => {
  if (!isRoomFor('volume', d)) return undefined;
  const { newFamilies } = d.habits;
  if (newFamilies < 1 && d.volumes.length > 0 && !d.random.chance(newFamilies)) return undefined;
  const size = bytes(UNIT * BigInt(1 + d.random.below(2)));
  return { do: 'create', name: `V${d.fresh.name++}`, size, parameters: parameters(d), from: undefined };
};

const fork: Maker = (d) => {
  const from = d.random.pick(d.snapshots);
  if (from === undefined || !isRoomFor('volume', d)) return undefined;
  const size = bytes(sizeOf(d.model, from.name) + (d.random.chance(0.3) ? UNIT : 0n));
  return { do: 'create', name: `F${d.fresh.name++}`, size, parameters: parameters(d, d.random.chance(0.1)), from };
};

const clone: Maker = (d) => {
  const from = d.random.pick(d.volumes);
  if (from === undefined || !isRoomFor('volume', d)) return undefined;
  const size = sizeOf(d.model, from.name);
  return { do: 'create', name: `C${d.fresh.name++}`, size, parameters: parameters(d), from };
};

const snapshot: Maker = (d) => {
  const volume = d.random.pick(d.volumes);
  if (volume === undefined || !isRoomFor('snapshot', d)) return undefined;
  const unflushed = isActive(d.model, volume.name) && d.random.chance(0.5) ? someWrite(d, volume.name) : undefined;
  return { do: 'snapshot', volume, name: `S${d.fresh.name++}`, unflushed };
};

const deletion: Maker = (d) => {
  const idle = d.volumes.filter(({ name }) => !isActive(d.model, name));
  const what = d.random.chance(0.4) ? d.random.pick(idle) : d.random.pick(d.snapshots);
  return what === undefined ? undefined : { do: 'delete', what };
};

const expand: Maker = (d) => {
  const volume = d.random.pick(d.volumes);
  if (volume === undefined || volumeIn(d.model, volume.name).blocks.length >= 3 * UNIT_BLOCKS) return undefined;
  return { do: 'expand', volume, size: bytes(sizeOf(d.model, volume.name) + UNIT) };
};

const restore: Maker = (d) => {
  const volume = d.random.pick(d.volumes);
  const own = d.snapshots.filter(({ name }) => {
    const image = d.model.get(name);
    return image?.kind === 'snapshot' && image.of === volume?.name;
  });
  const target = d.random.chance(0.4) ? own.at(-1) : d.random.pick(own);
  const mode = d.random.chance(0.25) ? 'onactivate' : 'origin';
  return volume === undefined || target === undefined ? undefined : restoreTo(d, mode, volume, target);
};

function restoreTo(d: Draw, mode: RestoreMode, volume: NamedVolume, snapshot: NamedSnapshot): Operation {
  // What is promoted keeps its contents.
  const safety = mode !== 'snapshot' && d.random.chance(0.4) ? `S${d.fresh.name++}` : undefined;
  const [keep, replace] = [d.random.chance(0.6), d.random.chance(0.5)];
  return { do: 'restore', mode, volume, snapshot, keep, safety, replace, token: nextToken(d.fresh) };
}

/** A fork takes over the storage of the volume whose snapshot it was made from. */
const promote: Maker = (d) => {
  const forks = d.volumes.filter(({ name }) => d.snapshots.some((s) => s.name === volumeIn(d.model, name).source));
  const volume = d.random.pick(forks);
  const source = volume === undefined ? undefined : volumeIn(d.model, volume.name).source;
  const snapshot = d.snapshots.find(({ name }) => name === source);
  const image = snapshot === undefined ? undefined : d.model.get(snapshot.name);
  if (volume === undefined || snapshot === undefined || image?.kind !== 'snapshot' || !d.model.has(image.of))
    return undefined;
  return restoreTo(d, 'snapshot', volume, snapshot);
};

const cancel: Maker = (d) => {
  const volume = d.random.pick(d.volumes.filter(({ name }) => volumeIn(d.model, name).wish !== undefined));
  return volume === undefined ? undefined : { do: 'cancel', volume };
};

const activate: Maker = (d) => {
  const volume = d.random.pick(d.volumes.filter(({ name }) => !isActive(d.model, name)));
  return volume === undefined ? undefined : { do: 'activate', volume };
};

const deactivate: Maker = (d) => {
  const volume = d.random.pick(d.volumes.filter(({ name }) => isActive(d.model, name)));
  return volume === undefined ? undefined : { do: 'deactivate', volume };
};

const write: Maker = (d) => {
  const volume = d.random.pick(d.volumes.filter(({ name }) => isActive(d.model, name)));
  if (volume === undefined) return activate(d);
  const count = 1 + d.random.below(10);
  return { do: 'write', volume, writes: Array.from({ length: count }, () => someWrite(d, volume.name)) };
};

export function someWrite({ random, fresh, model }: Pick<Draw, 'random' | 'fresh' | 'model'>, name: string): Write {
  const length = 1 + random.below(random.chance(0.3) ? 16 : 3);
  const at = random.below((model.get(name)?.blocks.length ?? 0) - length);
  return { at, tags: Array.from({ length }, () => fresh.tag++) };
}

const background: Maker = ({ random, model }) =>
  model.size === 0 ? undefined : { do: 'background', chunks: random.chance(0.4) ? undefined : 1 + random.below(6) };

/** Where boots are dear. */
const USUAL: Habits = {
  maxVolumes: 5,
  maxSnapshots: 6,
  maxMembers: Number.POSITIVE_INFINITY,
  newFamilies: 1,
  weights: [
    [4, create],
    [6, activate],
    [3, deactivate],
    [12, write],
    [9, snapshot],
    [6, fork],
    [3, clone],
    [8, deletion],
    [4, expand],
    [10, restore],
    [5, promote],
    [1, cancel],
    [5, background],
  ],
};

/** One large family, as a rule; each story has operations that are rare in it, and others that are frequent. */
export function drawHabits(random: Random, maxMembers: number): Habits {
  return {
    maxVolumes: Math.ceil(maxMembers / 2) + 1,
    maxSnapshots: Math.ceil(maxMembers / 2) + 2,
    maxMembers,
    newFamilies: 0.1,
    weights: USUAL.weights.map(([weight, make]) => [weight * (random.pick(FACTORS) ?? 1), make]),
  };
}

const FACTORS = [1, 2, 2, 4];
