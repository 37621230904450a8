// Two families on a real kernel, each on a disk of its own, one to be hurt and one that must not notice; disks that return
// errors where they are told to; and a driver that is turned by hand, with a clock that can jump.

import { clockOf } from '../clock.ts';
import { createPoolEngine } from '../../src/engine/compose.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import { deviceNode } from '../../src/dm/observed.ts';
import type { Argv, Exec } from '../../src/system/exec.ts';
import { deviceKey, isSnapshotId, isVolumeId, poolName } from '../../src/vocabulary/ids.ts';
import type { EntityId, SnapshotId, StoreName, VolumeId } from '../../src/vocabulary/ids.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import { silentLog } from '../../src/vocabulary/ports.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import type { Guest } from '../../vm/guest.ts';
import type { Fault } from '../../vm/medium.ts';
import { idOf } from '../contract/ids.ts';
import { startCutMachine } from './cut-machine.ts';
import type { CutMachine } from './cut-machine.ts';
import { readBlocks, writeBlocks } from './blocks.ts';
import { DRIVER_ENV, guestExec } from './guest-exec.ts';
import { VG, openPorts } from './rig.ts';

/** A volume with a snapshot, and a fork of that; all staged. */
export interface Kin {
  readonly name: string;
  readonly volume: VolumeId;
  readonly snapshot: SnapshotId;
  readonly fork: VolumeId;
}

export interface FaultRig {
  readonly machine: CutMachine;
  readonly guest: Guest;
  readonly engine: () => PoolEngine;
  readonly ports: () => { readonly kernel: Kernel; readonly lvm: Lvm };
  /** The driver ends and another one opens the pool. */
  readonly restart: () => Promise<void>;
  /** What the driver takes for the time goes on. */
  readonly pass: (ms: number) => void;
  /** The command that is so many commands from now, and only it, is killed after some milliseconds. */
  readonly killCommand: (count: number, afterMs: number) => void;
  /** True when there was such a command. */
  readonly killed: () => boolean;
  readonly sh: (script: string) => Promise<string>;
  readonly makeKin: (name: string, disk: number) => Promise<Kin>;
  readonly write: (volume: VolumeId, block: number, tag: number) => Promise<void>;
  /** Of a volume's top, or of a snapshot's view, which is shown for the moment. */
  readonly read: (id: EntityId, block: number) => Promise<number | undefined>;
  readonly homeOf: (id: EntityId) => Promise<StoreName>;
  /** The disk refuses these requests where the home of this entity lies, from so many bytes of that on. */
  readonly failUnder: (id: EntityId, on: Fault['on'], fromBytes?: number) => Promise<void>;
  /** All disks answer again. */
  readonly heal: () => void;
  /** Everything that is recorded of a family and that the kernel holds for it, as text. */
  readonly stateOf: (kin: Kin) => Promise<string>;
}

const SECTOR_BYTES = 512;
const CHUNK = kib(8);
/** Behind the header and the first chunk of exceptions of a store: what was copied there, and nothing that says where. */
export const COPIED_FROM_BYTES = 2 * Number(CHUNK);
const PARAMETERS = {
  layout: 'linear',
  chunk: CHUNK,
  snapshotReservePercent: 10,
  onFull: 'wait',
  scratch: false,
} as const;

export async function startFaultRig(name: string): Promise<FaultRig> {
  const machine = await startCutMachine(name, { udev: true });
  const { guest } = machine;
  let jumpedMs = 0;
  let nextId = 1;
  let untilKill = Number.POSITIVE_INFINITY;
  let killAfterMs = 0;
  const monotonicMs = (): number => performance.now() + jumpedMs;
  const inGuest = guestExec(guest);

  const killing = async (argv: Argv): Promise<Awaited<ReturnType<Exec>>> => {
    const { code, stdout, stderr } = await guest.exec(argv, { timeoutMs: killAfterMs, env: DRIVER_ENV });
    return { code: code ?? undefined, stdout: text(stdout), stderr: text(stderr) };
  };
  const exec: Exec = async (argv, options) => {
    untilKill -= 1;
    return untilKill === -1 ? killing(argv) : inGuest(argv, options);
  };
  const open = async () => {
    const ports = await openPorts(exec, monotonicMs);
    const engine = createPoolEngine({
      pool: poolName('test'),
      ...ports,
      clock: { ...clockOf(monotonicMs), nowMs: Date.now },
      drawId: () => idOf(nextId++),
      log: silentLog,
      reservePercent: 0,
      leastHeadroom: mib(1),
    });
    await engine.open();
    return { ...ports, engine };
  };
  let driver = await open();

  const nodeFor = async (id: EntityId): Promise<string> => {
    const { devices } = await driver.kernel.observe();
    const found = devices.get(deviceKey(id, 'top')) ?? devices.get(deviceKey(id, 'view'));
    if (found === undefined) throw new Error(`Cannot find a device of '${id}'`);
    return deviceNode(found.majorMinor);
  };
  const sh = async (script: string): Promise<string> => guest.output(['sh', '-c', script]);
  const rig: FaultRig = {
    machine,
    guest,
    engine: () => driver.engine,
    ports: () => driver,
    restart: async () => {
      driver = await open();
    },
    pass: (ms) => {
      jumpedMs += ms;
    },
    killCommand: (count, afterMs) => {
      untilKill = count;
      killAfterMs = afterMs;
    },
    killed: () => untilKill < 0,
    sh,
    makeKin: async (kin, disk) => {
      // LVM takes the first disk with room; for a moment there is only one.
      for (const [index, path] of guest.disks.entries())
        await sh(`pvchange -qq -x ${index === disk ? 'y' : 'n'} ${path}`);
      const { engine } = driver;
      const make = { requiredBytes: mib(2), limitBytes: undefined, parameters: PARAMETERS };
      const { id: volume } = await engine.createVolume({ ...make, name: kin, source: undefined });
      await engine.activate(volume);
      await rig.write(volume, 1, 11);
      const { id: snapshot } = await engine.createSnapshot(volume, `${kin} snapshot`);
      await rig.write(volume, 1, 12);
      const source = { from: 'snapshot', snapshot } as const;
      const { id: fork } = await engine.createVolume({ ...make, name: `${kin} fork`, source });
      await engine.activate(fork);
      await rig.write(fork, 2, 13);
      await engine.settle();
      for (const path of guest.disks) await sh(`pvchange -qq -x y ${path}`);
      return { name: kin, volume, snapshot, fork };
    },
    write: async (volume, block, tag) => writeBlocks(inGuest, await nodeFor(volume), [{ block, tags: [tag] }], 'flush'),
    read: async (id, block) => {
      if (isSnapshotId(id)) await driver.engine.show(new Set([id]));
      try {
        return (await readBlocks(guest, [await nodeFor(id)], { from: block, count: 1 }))[0]?.[0];
      } finally {
        if (isSnapshotId(id)) await driver.engine.show(new Set());
      }
    },
    homeOf: async (id) => {
      const tag = isVolumeId(id) ? `sm.volume=${id}` : `sm.snapshot=${id}`;
      const found = (await driver.lvm.report()).stores.find(({ tags }) => tags.includes(tag));
      if (found === undefined) throw new Error(`Cannot find the store of '${id}'`);
      return found.store;
    },
    failUnder: async (id, on, fromBytes = 0) => {
      const table = await sh(`dmsetup table ${VG}-${await rig.homeOf(id)}`);
      const [, length, , number, offset] = table.trim().split(/\s+/);
      const numbers = (await sh(`lsblk --noheadings --nodeps -o MAJ:MIN ${guest.disks.join(' ')}`)).split(/\s+/);
      const disk = machine.disks[numbers.filter((text) => text !== '').indexOf(number ?? '')];
      if (disk === undefined) throw new Error(`Cannot find the disk under '${id}': ${table}`);
      const [begin, bytes] = [Number(offset) * SECTOR_BYTES, Number(length) * SECTOR_BYTES];
      const range = { offset: begin + fromBytes, length: bytes - fromBytes };
      disk.fail({ on, ranges: [range] });
    },
    heal: () => {
      for (const disk of machine.disks) disk.fail(undefined);
    },
    stateOf: async ({ volume }) => {
      const { stores } = await driver.lvm.report();
      const own = stores.filter(({ tags }) => tags.includes(`sm.family=${volume}`));
      const lines = own.map(({ store, tags, size }) => `${store} ${size} ${[...tags].sort().join(' ')}`);
      const held = new Set(own.map(({ store }) => store));
      const { devices } = await driver.kernel.observe();
      const uses = [...devices.values()].filter(({ live }) => JSON.stringify(live, plain).match(idsIn(held)));
      return [...lines, ...uses.map(({ key, live }) => `${key} ${JSON.stringify(live, plain)}`)].sort().join('\n');
    },
  };
  return rig;
}

function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}

function idsIn(stores: ReadonlySet<string>): RegExp {
  return new RegExp([...stores].join('|'));
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}
