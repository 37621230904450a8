// The contract: scenarios with fixed steps that the simulated node and the real kernel must both pass, so that what the
// simulation says of an order of calls can be believed. Each names the sentence of the design that it is about.

import type { RestoreMode, RestorePhase } from '../../src/engine/engine.ts';
import type { EntityId, SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import { deviceKey } from '../../src/vocabulary/ids.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { bytes } from '../../src/vocabulary/units.ts';
import { PLAIN } from './blank.ts';
import { beginRestore, modelVolume } from './model.ts';
import type { Scenario } from './scenario.ts';
import { check, cutPower, finish, killDriver, learnRestores, newEngine } from './scenario.ts';
import { BLOCK_BYTES } from './rig.ts';

export interface ContractCase {
  readonly name: string;
  readonly run: (s: Scenario) => Promise<void>;
}

const blocksIn = (size: bigint): number => Number(size) / BLOCK_BYTES;

export async function volume(s: Scenario, size: Bytes = s.options.unit): Promise<VolumeId> {
  const made = await s.engine.createVolume({
    name: `volume ${s.nextName++}`,
    requiredBytes: size,
    limitBytes: undefined,
    parameters: PLAIN,
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

export async function stage(s: Scenario, id: VolumeId): Promise<void> {
  await s.engine.activate(id);
  modelOf(s, id).active = true;
}

async function topOf(s: Scenario, id: VolumeId): Promise<string | undefined> {
  return (await s.rig.kernel.observe()).devices.get(deviceKey(id, 'top'))?.majorMinor;
}

async function expectTop(s: Scenario, id: VolumeId, wanted: string | undefined): Promise<void> {
  const found = await topOf(s, id);
  if (found !== wanted) throw new Error(`The top of '${id}' is ${found ?? 'gone'}, want ${wanted ?? 'none'}`);
}

export async function unstage(s: Scenario, id: VolumeId): Promise<void> {
  await s.engine.deactivate(id);
  modelOf(s, id).active = false;
}

function modelOf(s: Scenario, id: VolumeId) {
  const found = s.model.volumes.get(id);
  if (found === undefined) throw new Error(`Cannot find '${id}' in the model`);
  return found;
}

/** Writes over a third of the volume, from `from` on, several blocks at a time, so that writes span chunks. */
export async function scribble(s: Scenario, id: VolumeId, from = 0): Promise<void> {
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

export async function snapshot(s: Scenario, id: VolumeId): Promise<SnapshotId> {
  return snapshotCalled(s, id, `snapshot ${s.nextName++}`);
}

async function snapshotCalled(s: Scenario, id: VolumeId, name: string): Promise<SnapshotId> {
  const blocks = [...modelOf(s, id).blocks];
  const taken = await s.engine.createSnapshot(id, name);
  s.model.snapshots.set(taken.id, { id: taken.id, volume: id, blocks });
  return taken.id;
}

export async function fork(s: Scenario, from: SnapshotId, more = 0n): Promise<VolumeId> {
  const source = s.model.snapshots.get(from)?.blocks ?? [];
  const made = await s.engine.createVolume({
    name: `fork ${s.nextName++}`,
    requiredBytes: bytes(BigInt(source.length * BLOCK_BYTES) + more),
    limitBytes: undefined,
    parameters: PLAIN,
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
    parameters: PLAIN,
    source: { from: 'volume', volume: from },
  });
  s.model.volumes.set(made.id, modelVolume(made.id, [...blocks]));
  await stage(s, made.id);
  return made.id;
}

export async function drop(s: Scenario, id: EntityId): Promise<void> {
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

export async function grow(s: Scenario, id: VolumeId): Promise<void> {
  const model = modelOf(s, id);
  const size = await s.engine.expandVolume(
    id,
    bytes(BigInt(model.blocks.length * BLOCK_BYTES) + s.options.unit),
    undefined,
  );
  while (model.blocks.length < blocksIn(size)) model.blocks.push(0);
}

interface Ask {
  readonly mode?: RestoreMode;
  readonly keep?: boolean;
  readonly safety?: string;
  readonly replace?: boolean;
}

export async function restore(s: Scenario, id: VolumeId, to: SnapshotId, ask: Ask = {}): Promise<string> {
  const { mode = 'origin', keep = true, safety, replace = false } = ask;
  const volume = modelOf(s, id);
  const target = s.model.snapshots.get(to);
  if (target === undefined) throw new Error(`Cannot find '${to}' in the model`);
  const started = await s.engine.startRestore({
    volume: id,
    snapshot: to,
    mode,
    keepSnapshot: keep,
    safetySnapshotName: safety,
    replace,
    token: undefined,
  });
  const { blocks, volume: origin } = target;
  const wish = { id: started.id, mode, snapshot: to, blocks, origin, keepSnapshot: keep };
  if (started.phase === 'waiting') volume.wish = wish;
  else beginRestore(s.model, volume, wish, started);
  return started.id;
}

/** The phase that a restore should be in now. */
async function phase(s: Scenario, id: string, wanted: RestorePhase): Promise<void> {
  const found = (await s.engine.getRestore(id))?.phase;
  if (found !== wanted) throw new Error(`Restore '${id}' is ${found}, want ${wanted}`);
}

/** No store of the pool and no device that the living do not need. */
export async function tidy(s: Scenario, stores: number): Promise<void> {
  const report = await s.rig.lvm.report();
  const names = [...(await s.rig.kernel.observe()).devices.keys()];
  const temporary = names.filter((key) => key.includes('level') || key.includes('pad'));
  if (report.stores.length !== stores || temporary.length > 0) {
    throw new Error(`${report.stores.length} stores, want ${stores}; left over: ${temporary.join(', ')}`);
  }
}

async function refused(work: Promise<unknown>, words: string): Promise<void> {
  const said = await work.then(
    () => 'nothing',
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  );
  if (!said.includes(words)) throw new Error(`Said '${said}', want '${words}'`);
}

export async function right(s: Scenario): Promise<void> {
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
    name: 'written until its device has gone, a snapshot that is fed no longer keeps all of it, and gives the rest back',
    run: async (s) => {
      const id = await volume(s, bytes(8n * s.options.unit));
      await scribble(s, id);
      const first = await snapshot(s, id);
      const sizeOf = async (): Promise<bigint> => {
        const { stores } = await s.rig.lvm.report();
        return stores.find(({ tags }) => tags.includes(`sm.snapshot=${first}`))?.size ?? 0n;
      };
      const whole = await sizeOf();
      let written = false;
      s.beforeStep = async (step) => {
        if (step.do !== 'remove' || step.device !== deviceKey(first, 'view') || written) return;
        written = true;
        await scribble(s, id, 7);
      };
      await snapshot(s, id);
      if (!written) throw new Error('Cannot show anything: the snapshot that was fed kept its device');
      await finish(s);
      const left = await sizeOf();
      if (left >= whole) throw new Error(`Its store has ${left} bytes of ${whole}: nothing was given back`);
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
      await restore(s, id, newest, { safety: 'safety' });
      await right(s);
      await finish(s);
      await right(s);
      await fork(s, [...s.model.snapshots.keys()].at(-1) ?? newest);
      await right(s);
    },
  },
  {
    name: "a safety snapshot takes nobody's name, and a restore that is refused leaves none",
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const first = await snapshot(s, id);
      await scribble(s, id, 5);
      const second = await snapshot(s, id);
      await scribble(s, id, 9);
      await snapshotCalled(s, id, 'taken');
      await refused(restore(s, id, first, { safety: 'taken' }), 'has that name already');
      const made = await fork(s, first);
      await refused(restore(s, made, first, { mode: 'snapshot', safety: 'free' }), 'stay as they are');
      await drop(s, made);
      await restore(s, id, first);
      const queued = await restore(s, id, second, { safety: 'free' });
      const stranger = await snapshotCalled(s, id, 'free');
      await finish(s);
      await phase(s, queued, 'waiting');
      await right(s);
      await drop(s, stranger);
      await finish(s);
      await phase(s, queued, 'done');
      await right(s);
      await tidy(s, 5);
    },
  },
  {
    name: 'a power cut in a restore: the merge goes on after boot, writes made during it included',
    run: async (s) => {
      const id = await volume(s, bytes(4n * s.options.unit));
      await scribble(s, id);
      const newest = await snapshot(s, id);
      for (const from of [0, 5, 10]) await scribble(s, id, from);
      await restore(s, id, newest, { safety: 'safety' });
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
    name: 'a driver that knows nothing of a staging takes no device of it away',
    run: async (s) => {
      const id = await volume(s);
      await unstage(s, id);
      const other = newEngine(s);
      await other.open();
      // A raw volume that its pod has not opened yet: nobody holds its device.
      await stage(s, id);
      const before = await topOf(s, id);
      const { id: taken } = await other.createSnapshot(id, 'of the other one');
      s.model.snapshots.set(taken, { id: taken, volume: id, blocks: [...modelOf(s, id).blocks] });
      await other.settle();
      await expectTop(s, id, before);
      await refused(other.deleteVolume(id), 'it is staged on this node');
      await expectTop(s, id, before);
      await killDriver(s);
      await scribble(s, id);
      await right(s);
      await unstage(s, id);
      await expectTop(s, id, undefined);
      await right(s);
    },
  },
  {
    name: 'whatever the records say, what is staged keeps its device until it is unstaged',
    run: async (s) => {
      const id = await volume(s);
      const base = await snapshot(s, id);
      const kept = await fork(s, base);
      await scribble(s, id);
      const before = await topOf(s, id);
      const shown = await s.rig.read(deviceKey(id, 'top'));
      const { stores } = await s.rig.lvm.report();
      const home = stores.find(({ tags }) => tags.includes(`sm.volume=${id}`));
      if (home === undefined) throw new Error(`Cannot find the store of '${id}'`);
      await s.rig.lvm.retag(home.store, ['sm.deleted'], []);
      await killDriver(s);
      await refused(s.engine.createSnapshot(kept, 'beside it'), `'${id}' is staged`);
      await s.engine.settle();
      await expectTop(s, id, before);
      if (JSON.stringify(await s.rig.read(deviceKey(id, 'top'))) !== JSON.stringify(shown))
        throw new Error('Other contents');
      // Put right, it is staged as before.
      await s.rig.lvm.retag(home.store, [], ['sm.deleted']);
      await killDriver(s);
      await snapshot(s, kept);
      await scribble(s, id, 5);
      await expectTop(s, id, before);
      await right(s);
      // And unstaged, it is deleted as the records say.
      await s.rig.lvm.retag(home.store, ['sm.deleted'], []);
      await killDriver(s);
      await expectTop(s, id, before);
      await unstage(s, id);
      s.model.volumes.delete(id);
      await expectTop(s, id, undefined);
      await finish(s);
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
    name: 'restore to an older snapshot: newer and older ones stay, and all goes on while it merges',
    run: async (s) => {
      const id = await volume(s, bytes(2n * s.options.unit));
      const taken: SnapshotId[] = [];
      for (const from of [0, 4, 8, 12]) {
        await scribble(s, id, from);
        taken.push(await snapshot(s, id));
      }
      await scribble(s, id, 3);
      const [oldest = id, second, third] = taken;
      if (second === undefined || third === undefined) throw new Error('four snapshots were taken');
      await restore(s, id, second);
      await right(s);
      await scribble(s, id, 6);
      await snapshot(s, id);
      await scribble(s, await fork(s, third), 1);
      await grow(s, id);
      await scribble(s, id, 10);
      await snapshot(s, id);
      await scribble(s, id, 2);
      await right(s);
      await cutPower(s);
      await right(s);
      await stage(s, id);
      await scribble(s, id, 5);
      await finish(s);
      await right(s);
      await scribble(s, id, 9);
      await drop(s, oldest);
      await drop(s, third);
      await finish(s);
      await right(s);
    },
  },
  {
    name: 'a restore during a restore waits for it, also to a newer snapshot, and nothing is left of either',
    run: async (s) => {
      const id = await volume(s, bytes(2n * s.options.unit));
      await scribble(s, id);
      const first = await snapshot(s, id);
      await scribble(s, id, 4);
      const second = await snapshot(s, id);
      await scribble(s, id, 8);
      await restore(s, id, first);
      await scribble(s, id, 2);
      const queued = await restore(s, id, second, { safety: 'before the second' });
      await phase(s, queued, 'waiting');
      await right(s);
      await finish(s);
      await phase(s, queued, 'done');
      await right(s);
      await tidy(s, 4);
      await scribble(s, id, 6);
      await right(s);
    },
  },
  {
    name: 'a mounted fork is promoted under writes, its snapshots and the restored one stay, the origin is gone',
    run: async (s) => {
      const id = await volume(s, bytes(2n * s.options.unit));
      await scribble(s, id);
      const base = await snapshot(s, id);
      await scribble(s, id, 5);
      const made = await fork(s, base);
      await scribble(s, made, 3);
      await snapshot(s, made);
      await scribble(s, made, 7);
      await refused(restore(s, made, base, { mode: 'snapshot' }), 'staged');
      await unstage(s, id);
      await restore(s, made, base, { mode: 'snapshot' });
      await scribble(s, made, 1);
      await grow(s, made);
      await scribble(s, made, 4);
      await right(s);
      await cutPower(s);
      await stage(s, made);
      await scribble(s, made, 9);
      await snapshot(s, made);
      await right(s);
      await finish(s);
      await scribble(s, made, 11);
      await right(s);
      await tidy(s, 4);
      await restore(s, made, base);
      await finish(s);
      await right(s);
    },
  },
  {
    name: 'a fork of a fork is promoted, and expanded twice while that merges',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const origin = await fork(s, await snapshot(s, id));
      await scribble(s, origin, 4);
      const base = await snapshot(s, origin);
      await scribble(s, origin, 8);
      const made = await fork(s, base);
      await scribble(s, made, 2);
      await unstage(s, origin);
      await restore(s, made, base, { mode: 'snapshot' });
      await grow(s, made);
      await scribble(s, made, 6);
      await right(s);
      await snapshot(s, made);
      await grow(s, made);
      await scribble(s, made, 10);
      await right(s);
      await killDriver(s);
      await right(s);
      await finish(s);
      await right(s);
    },
  },
  {
    name: 'a fork that was cloned is promoted: its snapshot hangs on nothing that is written',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const base = await snapshot(s, id);
      const made = await fork(s, base);
      await scribble(s, made, 3);
      const copy = await clone(s, made);
      await finish(s);
      await unstage(s, id);
      await restore(s, made, base, { mode: 'snapshot' });
      await scribble(s, copy, 6);
      await scribble(s, made, 9);
      await right(s);
      await finish(s);
      await scribble(s, copy, 1);
      await scribble(s, made, 4);
      await right(s);
      await drop(s, base);
      await finish(s);
      await right(s);
      await tidy(s, 2);
    },
  },
  {
    name: 'a promoted fork is smaller than what its origin had become: all of that merges',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const base = await snapshot(s, id);
      const made = await fork(s, base);
      await grow(s, id);
      await scribble(s, id, 5);
      const larger: SnapshotId[] = [];
      for (const from of [9, 2, 7]) {
        larger.push(await snapshot(s, id));
        await scribble(s, id, from);
      }
      await unstage(s, id);
      for (const each of larger) await drop(s, each);
      await restore(s, made, base, { mode: 'snapshot' });
      await right(s);
      await finish(s);
      await grow(s, made);
      await scribble(s, made, 3);
      await right(s);
      await tidy(s, 2);
    },
  },
  {
    name: 'a promotion lists what else reads through the origin, and keeps the device of the fork',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const base = await snapshot(s, id);
      const made = await fork(s, base);
      const other = await fork(s, base);
      await unstage(s, id);
      await scribble(s, made, 3);
      await refused(restore(s, made, base, { mode: 'snapshot' }), other);
      await drop(s, other);
      const before = await topOf(s, made);
      await restore(s, made, base, { mode: 'snapshot', keep: false });
      await scribble(s, made, 7);
      await right(s);
      await finish(s);
      if (before !== (await topOf(s, made))) throw new Error(`the device changed from ${before}`);
      await right(s);
      await tidy(s, 1);
    },
  },
  {
    // https://docs.kernel.org/admin-guide/device-mapper/snapshot.html has the tables; the story is that of their author.
    name: 'snapshot, change, snapshot again, restore the first on activation, look, change your mind, restore the second',
    run: async (s) => {
      const id = await volume(s, bytes(2n * s.options.unit));
      await scribble(s, id);
      const first = await snapshot(s, id);
      await scribble(s, id, 5);
      const second = await snapshot(s, id);
      await scribble(s, id, 9);
      const asked = await restore(s, id, first, { mode: 'onactivate', safety: 'as it was' });
      await right(s);
      await scribble(s, id, 2);
      await refused(restore(s, id, second, { mode: 'onactivate' }), 'waits already');
      await cutPower(s);
      await phase(s, asked, 'waiting');
      await stage(s, id);
      await learnRestores(s);
      await phase(s, asked, 'merging');
      await right(s);
      await scribble(s, await fork(s, second), 4);
      const again = await restore(s, id, second, { mode: 'onactivate' });
      await unstage(s, id);
      await refused(s.engine.activate(id), 'still merging');
      await finish(s);
      await phase(s, again, 'waiting');
      await s.engine.cancelRestore(again);
      modelOf(s, id).wish = undefined;
      await restore(s, id, second, { mode: 'onactivate' });
      await stage(s, id);
      await learnRestores(s);
      await scribble(s, id, 7);
      await right(s);
      await finish(s);
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
