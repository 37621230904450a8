// Puts the simulated node together: the three ports, the user's side, control over merges, crashes and faults, and what
// a test may look at. See README.md for how to use it.

import type { Host } from '../../src/host/host.ts';
import type { DeviceKey, StoreName } from '../../src/vocabulary/ids.ts';
import { vgUuid } from '../../src/vocabulary/ids.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import type { Step } from '../../src/dm/step.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { bytes, mib } from '../../src/vocabulary/units.ts';
import type { Loss } from './disk.ts';
import { createSpace, losePower, setBroken } from './disk.ts';
import { refuse } from './errors.ts';
import type { Around } from './effects.ts';
import { createHost } from './host.ts';
import { createIo } from './io.ts';
import { applyStep, createKernel, openCount } from './kernel.ts';
import { create, createLvm } from './lvm.ts';
import type { Fault, Machine, Metadata, Notice } from './machine.ts';
import { BLOCK_BYTES, sizeBlocks } from './machine.ts';
import { advanceDevice, mergesOf } from './merge.ts';
import { draw } from './random.ts';
import type { Stranger } from './stranger.ts';
import { createStranger } from './stranger.ts';
import type { User } from './user.ts';
import { createUser } from './user.ts';

export interface WorldOptions {
  readonly seed?: number;
  /** Bytes of an extent, 4 MiB unless given; a whole number of blocks of 4 KiB. */
  readonly extent?: Bytes;
  /** Bytes of each disk, rounded down to extents; two of 256 extents unless given. */
  readonly disks?: readonly Bytes[];
  readonly vgName?: string;
  readonly metadataSize?: Bytes;
  /** Chunks that a merge moves the moment it is resumed (1), and every running merge after each effect (0). */
  readonly mergeOnResume?: number;
  readonly mergePerEffect?: number;
}

export interface PowerCut {
  /** What becomes of block contents that no flush has covered; `some` unless given. */
  readonly contents?: Loss;
  /** What becomes of metadata commits since the last flush; `some` unless given. */
  readonly commits?: Loss;
}

/** A moment of the whole node, to return to any number of times. Opaque. */
export type Moment = Machine;

export interface Control {
  /** Moves up to `chunks` chunks of each running merge (of one device, when given); the number moved in all. */
  readonly merge: (chunks: number, device?: DeviceKey) => number;
  /** Lets all merges run to their ends; false when one of them cannot get there. */
  readonly finishMerges: () => boolean;
  /** Cuts the power while every running merge has written its next chunk and has not forgotten the exception yet. */
  readonly crashInMerge: (lose?: PowerCut) => void;
  /** How many chunks running merges move by themselves from now on. */
  readonly eager: (onResume: number, perEffect: number) => void;
  readonly effects: () => number;
  /** The effect after `effects` more throws SimCrash before it happens, and so does everything after it until a crash. */
  readonly stopAfter: (effects: number) => void;
  /** `run` is called before each effect, and may `save` the moment; undefined: no longer. */
  readonly beforeEach: (run: (() => void) | undefined) => void;
  /** The effect after `effects` more fails, without happening (`before`) or having happened (`after`). */
  readonly failAfter: (effects: number, fault: Fault) => void;
  /** Faults that were asked for and have not happened do not happen any more. */
  readonly forgive: () => void;
  /** The driver's process ends: the kernel, LVM and the users stay as they are. Lifts stopAfter and the faults. */
  readonly crashDriver: () => void;
  /** The node loses power and boots: no devices, no active stores, no users. Lifts stopAfter and the faults. */
  readonly crashPower: (lose?: PowerCut) => void;
  readonly breakDisk: (disk: number, broken: boolean) => void;
  /** Puts a logical volume of somebody else into the pool. */
  readonly addStranger: (name: string, size: Bytes) => void;
  /** Applies a step as another process on the node would: uncounted, and not stopped by stopAfter. */
  readonly step: (step: Step) => void;
  readonly save: () => Moment;
  readonly restore: (moment: Moment) => void;
  /** Another draw of what the next power cut takes, after a restore. */
  readonly reseed: (seed: number) => void;
}

export interface Inspect {
  /** Blocks of a device as they would be read now, suspended or not; -1 where the kernel gives an error. */
  readonly content: (device: DeviceKey) => readonly number[] | undefined;
  /** Blocks of a store, active or not. */
  readonly store: (store: StoreName) => readonly number[] | undefined;
  readonly devices: () => readonly DeviceKey[];
  readonly openCount: (device: DeviceKey) => number;
  readonly suspended: () => readonly DeviceKey[];
  /** Devices with a merge that has chunks left. */
  readonly merging: () => readonly DeviceKey[];
  readonly notices: () => readonly Notice[];
  /** Keys of snapshots that were ever invalidated. */
  readonly invalidated: () => readonly string[];
  /** One line an effect, in order. */
  readonly trace: () => readonly string[];
  /** Blocks written and not yet durable; commits that a power cut may take back. */
  readonly volatile: () => { readonly blocks: number; readonly commits: number };
  /** Whether every stranger's logical volume is there, where it was, with what it held. */
  readonly strangersIntact: () => boolean;
}

export interface World {
  readonly kernel: Kernel;
  readonly lvm: Lvm;
  readonly host: Host;
  readonly user: User;
  readonly stranger: Stranger;
  readonly control: Control;
  readonly inspect: Inspect;
}

export function createWorld(options: WorldOptions = {}): World {
  const m = createMachine(options);
  const io = createIo(m);
  let beforeEach = (): void => undefined;
  const around: Around = {
    before: () => beforeEach(),
    after: () => {
      if (m.eager.perEffect > 0) mergeAll(m, m.eager.perEffect, undefined);
    },
  };
  const mergeAll = (m: Machine, chunks: number, only: DeviceKey | undefined): number => {
    let moved = 0;
    for (const device of m.devices.values()) {
      if (!device.suspended && (only === undefined || device.key === only))
        moved += advanceDevice(m, io, device, chunks);
    }
    return moved;
  };
  const facts = {
    vgName: options.vgName ?? 'pool',
    vgUuid: vgUuid('SIMsim00000000000000000000000001'),
    metadataSize: options.metadataSize ?? mib(16),
  };
  const strangers = new Map<string, readonly number[]>();
  const world: World = {
    kernel: createKernel(m, io, around),
    lvm: createLvm(m, facts, around),
    host: createHost(m, io, around),
    user: createUser(m, io),
    stranger: createStranger(m, io),
    control: {
      merge: (chunks, device) => mergeAll(m, chunks, device),
      finishMerges: () => {
        for (let round = 0; round < 1_000_000; round += 1) if (mergeAll(m, 64, undefined) === 0) break;
        return world.inspect.merging().length === 0;
      },
      crashInMerge: (lose = {}) => {
        m.halfway = true;
        mergeAll(m, 1, undefined);
        m.halfway = false;
        crashPower(m, lose);
      },
      eager: (onResume, perEffect) => {
        m.eager = { onResume, perEffect };
      },
      effects: () => m.effects.count,
      stopAfter: (effects) => {
        m.effects.stopAfter = m.effects.count + effects;
      },
      beforeEach: (run) => {
        beforeEach = run ?? (() => undefined);
      },
      failAfter: (effects, fault) => {
        m.effects.faults.set(m.effects.count + effects, fault);
      },
      forgive: () => m.effects.faults.clear(),
      crashDriver: () => revive(m),
      crashPower: (lose = {}) => crashPower(m, lose),
      breakDisk: (disk, broken) => {
        const found = m.space.disks[disk] ?? refuse(`Cannot break disk ${disk}: there is none`);
        setBroken(m.space, found, broken);
      },
      addStranger: (name, size) => {
        create(m, name, size, 'linear', [], false);
        m.lvm.sinceFlush = [m.lvm.current];
        strangers.set(name, extentsOf(m, name).concat(volumeBlocks(m, name) ?? []));
      },
      step: (step) => applyStep(m, io, step),
      save: () => structuredClone(m),
      restore: (moment) => {
        Object.assign(m, structuredClone(moment));
      },
      reseed: (seed) => {
        m.random.state = seed;
      },
    },
    inspect: {
      content: (key) => {
        const device = m.devices.get(key);
        if (device === undefined) return undefined;
        m.peeking = true;
        const tags = Array.from({ length: sizeBlocks(m, device) }, (_, block) => io.read(device, block));
        m.peeking = false;
        return tags;
      },
      store: (store) => volumeBlocks(m, store),
      devices: () => [...m.devices.keys()],
      openCount: (key) => {
        const device = m.devices.get(key);
        return device === undefined ? 0 : openCount(m, device);
      },
      suspended: () => [...m.devices.values()].filter((device) => device.suspended).map((device) => device.key),
      merging: () => [...m.devices.values()].filter(hasWork).map((device) => device.key),
      notices: () => m.notices,
      invalidated: () => m.notices.filter((each) => each.kind === 'invalidated').map((each) => each.key),
      trace: () => m.trace,
      volatile: () => ({
        blocks: m.space.dirty.reduce((sum, dirty) => sum + (dirty?.size ?? 0), 0),
        commits: m.lvm.sinceFlush.length - 1,
      }),
      strangersIntact: () => {
        for (const [name, was] of strangers) {
          const is = extentsOf(m, name).concat(volumeBlocks(m, name) ?? []);
          if (is.length !== was.length || is.some((value, i) => value !== was[i])) return false;
        }
        return true;
      },
    },
  };
  return world;
}

function createMachine(options: WorldOptions): Machine {
  const extent = options.extent ?? mib(4);
  const blocksPerExtent = Number(extent) / BLOCK_BYTES;
  if (!Number.isInteger(blocksPerExtent) || blocksPerExtent < 1)
    refuse('Cannot make a pool: extents are whole blocks of 4 KiB');
  const disks = options.disks ?? [bytes(extent * 256n), bytes(extent * 256n)];
  const empty: Metadata = { seqno: 1, volumes: new Map() };
  const space = createSpace(
    blocksPerExtent,
    disks.map((size) => Number(size / extent)),
  );
  return {
    space,
    logs: [],
    lvm: { current: empty, sinceFlush: [empty], nextUid: 1 },
    devices: new Map(),
    stores: new Map(),
    nextMinor: 0,
    queued: [],
    readers: [],
    waited: { nextId: 1, ended: new Map() },
    notices: [],
    trace: [],
    effects: { count: 0, stopAfter: Number.POSITIVE_INFINITY, dead: false, faults: new Map() },
    random: { state: options.seed ?? 1 },
    eager: { onResume: options.mergeOnResume ?? 1, perEffect: options.mergePerEffect ?? 0 },
    stack: [],
    peeking: false,
    merging: false,
    failing: undefined,
    halfway: false,
  };
}

function hasWork(device: Parameters<typeof mergesOf>[0]): boolean {
  return mergesOf(device).some((s) => s.valid && (s.mergeFailed || s.store.committed > 0 || s.store.area > 0));
}

function revive(m: Machine): void {
  m.effects.stopAfter = Number.POSITIVE_INFINITY;
  m.effects.dead = false;
  m.effects.faults.clear();
}

function crashPower(m: Machine, lose: PowerCut): void {
  revive(m);
  m.devices = new Map();
  m.stores = new Map();
  for (const { id } of m.queued) m.waited.ended.set(id, 'failed');
  m.queued = [];
  m.readers = [];
  m.nextMinor = 0;
  losePower(m.space, lose.contents ?? 'some', m.random);
  const { sinceFlush } = m.lvm;
  const last = sinceFlush.length - 1;
  const commits = lose.commits ?? 'some';
  const kept = commits === 'nothing' ? last : commits === 'everything' ? 0 : draw(m.random, sinceFlush.length);
  m.lvm.current = sinceFlush[kept] ?? m.lvm.current;
  m.lvm.sinceFlush = [m.lvm.current];
}

function extentsOf(m: Machine, name: string): readonly number[] {
  return m.lvm.current.volumes.get(name)?.extents ?? [];
}

function volumeBlocks(m: Machine, name: string): readonly number[] | undefined {
  const volume = m.lvm.current.volumes.get(name);
  const { blocksPerExtent, values } = m.space;
  return volume?.extents.flatMap((extent) =>
    Array.from(values.subarray(extent * blocksPerExtent, (extent + 1) * blocksPerExtent)),
  );
}
