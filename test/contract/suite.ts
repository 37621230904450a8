// The contract: scenarios with fixed steps that the simulated node and the real kernel must both pass, so that what the
// simulation says of an order of calls can be believed. Each names the sentence of the design that it is about.

import type { EntityId, SnapshotId, VolumeId } from '../../src/ids.ts';
import { deviceKey } from '../../src/ids.ts';
import type { Bytes } from '../../src/units.ts';
import { bytes, kib } from '../../src/units.ts';
import { modelVolume } from './model.ts';
import type { Scenario } from './scenario.ts';
import { check, cutPower, finish, killDriver } from './scenario.ts';
import { BLOCK_BYTES } from './rig.ts';

export interface ContractCase {
  readonly name: string;
  readonly run: (s: Scenario) => Promise<void>;
}

const PARAMETERS = {
  layout: 'linear',
  chunk: kib(8),
  snapshotReservePercent: 10,
  onFull: 'wait',
  scratch: false,
} as const;

const blocksIn = (size: bigint): number => Number(size) / BLOCK_BYTES;

async function volume(s: Scenario, size: Bytes = s.options.unit): Promise<VolumeId> {
  const made = await s.engine.createVolume({
    name: `volume ${s.nextName++}`,
    requiredBytes: size,
    limitBytes: undefined,
    parameters: PARAMETERS,
    source: undefined,
  });
  s.model.volumes.set(
    made.id,
    modelVolume(
      made.id,
      Array.from({ length: blocksIn(made.size) }, () => 0),
    ),
  );
  await stage(s, made.id);
  return made.id;
}

async function stage(s: Scenario, id: VolumeId): Promise<void> {
  await s.engine.activate(id);
  modelOf(s, id).active = true;
}

async function unstage(s: Scenario, id: VolumeId): Promise<void> {
  await s.engine.deactivate(id);
  modelOf(s, id).active = false;
}

function modelOf(s: Scenario, id: VolumeId) {
  const found = s.model.volumes.get(id);
  if (found === undefined) throw new Error(`Cannot find '${id}' in the model`);
  return found;
}

/** Writes over a third of the volume, from `from` on, several blocks at a time, so that writes span chunks. */
async function scribble(s: Scenario, id: VolumeId, from = 0): Promise<void> {
  const model = modelOf(s, id);
  const writes = [];
  for (let block = from; block + 5 < model.blocks.length; block += 15) {
    const tags = Array.from({ length: 5 }, () => s.nextTag++);
    tags.forEach((tag, index) => {
      model.blocks[block + index] = tag;
      model.past.add(tag);
    });
    writes.push({ block, tags });
  }
  await s.rig.write(deviceKey(id, 'top'), writes);
}

async function snapshot(s: Scenario, id: VolumeId): Promise<SnapshotId> {
  const taken = await s.engine.createSnapshot(id, `snapshot ${s.nextName++}`);
  s.model.snapshots.set(taken.id, { id: taken.id, volume: id, blocks: [...modelOf(s, id).blocks] });
  return taken.id;
}

async function fork(s: Scenario, from: SnapshotId, more = 0n): Promise<VolumeId> {
  const source = s.model.snapshots.get(from)?.blocks ?? [];
  const made = await s.engine.createVolume({
    name: `fork ${s.nextName++}`,
    requiredBytes: bytes(BigInt(source.length * BLOCK_BYTES) + more),
    limitBytes: undefined,
    parameters: PARAMETERS,
    source: { from: 'snapshot', snapshot: from },
  });
  const rest = Array.from({ length: blocksIn(made.size) - source.length }, () => 0);
  s.model.volumes.set(made.id, modelVolume(made.id, [...source, ...rest]));
  await stage(s, made.id);
  return made.id;
}

async function clone(s: Scenario, from: VolumeId): Promise<VolumeId> {
  const { blocks } = modelOf(s, from);
  const made = await s.engine.createVolume({
    name: `clone ${s.nextName++}`,
    requiredBytes: bytes(BigInt(blocks.length * BLOCK_BYTES)),
    limitBytes: undefined,
    parameters: PARAMETERS,
    source: { from: 'volume', volume: from },
  });
  s.model.volumes.set(made.id, modelVolume(made.id, [...blocks]));
  await stage(s, made.id);
  return made.id;
}

async function drop(s: Scenario, id: EntityId): Promise<void> {
  for (const model of s.model.volumes.values()) {
    if (model.id !== id) continue;
    if (model.active) await unstage(s, model.id);
    await s.engine.deleteVolume(model.id);
    s.model.volumes.delete(model.id);
  }
  for (const model of s.model.snapshots.values()) {
    if (model.id !== id) continue;
    await s.engine.deleteSnapshot(model.id);
    s.model.snapshots.delete(model.id);
  }
}

async function grow(s: Scenario, id: VolumeId): Promise<void> {
  const model = modelOf(s, id);
  const size = await s.engine.expandVolume(
    id,
    bytes(BigInt(model.blocks.length * BLOCK_BYTES) + s.options.unit),
    undefined,
  );
  while (model.blocks.length < blocksIn(size)) model.blocks.push(0);
}

async function restore(s: Scenario, id: VolumeId, to: SnapshotId, safety?: string): Promise<void> {
  const before = [...modelOf(s, id).blocks];
  const started = await s.engine.startRestore({
    volume: id,
    snapshot: to,
    mode: 'origin',
    keepSnapshot: true,
    safetySnapshotName: safety,
    replace: false,
    token: undefined,
  });
  if (started.safetySnapshot !== undefined) {
    s.model.snapshots.set(started.safetySnapshot, { id: started.safetySnapshot, volume: id, blocks: before });
  }
  const target = s.model.snapshots.get(to)?.blocks ?? [];
  target.forEach((tag, index) => {
    modelOf(s, id).blocks[index] = tag;
  });
}

async function right(s: Scenario): Promise<void> {
  const wrong = await check(s);
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
}

export const CONTRACT: readonly ContractCase[] = [
  {
    name: 'a raw read of a fresh volume shows only zeroes',
    run: async (s) => {
      await volume(s);
      await right(s);
      await drop(s, [...s.model.volumes.keys()][0] ?? (await volume(s)));
      await volume(s);
      await right(s);
    },
  },
  {
    name: 'a chain of snapshots, writes over several chunks, each snapshot exact',
    run: async (s) => {
      const id = await volume(s);
      for (let round = 0; round < 4; round += 1) {
        await scribble(s, id, round * 4);
        await snapshot(s, id);
      }
      await scribble(s, id, 2);
      await right(s);
    },
  },
  {
    name: 'forks of one snapshot, a snapshot of a fork, a fork of that, the origin deleted',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const base = await snapshot(s, id);
      const forks = [await fork(s, base), await fork(s, base), await fork(s, base, s.options.unit)];
      for (const [index, each] of forks.entries()) await scribble(s, each, 3 * index);
      const inner = await snapshot(s, forks[0] ?? id);
      await scribble(s, await fork(s, inner), 7);
      await right(s);
      await drop(s, id);
      await finish(s);
      await right(s);
    },
  },
  {
    name: 'a deleted middle snapshot is merged into by its one reader, under writes',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      await snapshot(s, id);
      await scribble(s, id, 5);
      const middle = await snapshot(s, id);
      await scribble(s, id, 9);
      await snapshot(s, id);
      await drop(s, middle);
      await s.engine.settle();
      await scribble(s, id, 3);
      await right(s);
      await finish(s);
      await right(s);
    },
  },
  {
    name: 'a mounted fork takes the place of its deleted snapshot, and then of its deleted origin',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const base = await snapshot(s, id);
      const made = await fork(s, base);
      await scribble(s, made, 4);
      await drop(s, base);
      await s.engine.settle();
      await scribble(s, id, 8);
      await scribble(s, made, 6);
      await finish(s);
      await right(s);
      await drop(s, id);
      await finish(s);
      await scribble(s, made, 2);
      await grow(s, made);
      await right(s);
    },
  },
  {
    name: 'restore to the newest snapshot: right at once, the others exact, written while merging',
    run: async (s) => {
      const id = await volume(s, bytes(4n * s.options.unit));
      await scribble(s, id);
      await snapshot(s, id);
      await scribble(s, id, 5);
      const newest = await snapshot(s, id);
      await scribble(s, id, 7);
      await restore(s, id, newest);
      await right(s);
      await scribble(s, id, 1);
      await right(s);
      await finish(s);
      await right(s);
    },
  },
  {
    name: 'restore with a safety snapshot, and forward again',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const newest = await snapshot(s, id);
      await scribble(s, id, 7);
      await restore(s, id, newest, 'safety');
      await right(s);
      await finish(s);
      await right(s);
      await fork(s, [...s.model.snapshots.keys()].at(-1) ?? newest);
      await right(s);
    },
  },
  {
    name: 'a power cut in a restore: the merge goes on after boot, writes made during it included',
    run: async (s) => {
      const id = await volume(s, bytes(4n * s.options.unit));
      await scribble(s, id);
      const newest = await snapshot(s, id);
      for (const from of [0, 5, 10]) await scribble(s, id, from);
      await restore(s, id, newest, 'safety');
      await scribble(s, id, 2);
      await cutPower(s);
      await right(s);
      await finish(s);
      await right(s);
    },
  },
  {
    name: 'a driver started over live devices changes none that are right',
    run: async (s) => {
      const id = await volume(s);
      const base = await snapshot(s, id);
      const made = await fork(s, base);
      await scribble(s, id);
      const before = [...(await s.rig.kernel.observe()).devices.values()];
      await killDriver(s);
      const after = [...(await s.rig.kernel.observe()).devices.values()];
      const shape = (devices: typeof before): string =>
        devices
          .map(({ key, majorMinor, suspended }) => `${key} ${majorMinor} ${suspended}`)
          .sort()
          .join('\n');
      if (shape(before) !== shape(after)) throw new Error(`Devices changed:\n${shape(before)}\n--\n${shape(after)}`);
      await scribble(s, made, 3);
      await right(s);
    },
  },
  {
    name: 'expansion with snapshots, of a fork, of a clone, under writes',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const base = await snapshot(s, id);
      await grow(s, id);
      await scribble(s, id, 4);
      const made = await fork(s, base);
      await grow(s, made);
      const copy = await clone(s, id);
      await finish(s);
      await grow(s, copy);
      for (const each of [id, made, copy]) await scribble(s, each, 9);
      await right(s);
    },
  },
  {
    name: 'everything deleted in any order leaves no store and no device',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const base = await snapshot(s, id);
      const made = await fork(s, base);
      const inner = await snapshot(s, made);
      const copy = await clone(s, made);
      for (const each of [made, id, base, copy, inner]) await drop(s, each);
      await finish(s);
      const { stores } = await s.rig.lvm.report();
      const { devices } = await s.rig.kernel.observe();
      if (stores.length + devices.size > 0) {
        throw new Error(`Left over: ${[...stores.map(({ store }) => store), ...devices.keys()].join(', ')}`);
      }
    },
  },
];
