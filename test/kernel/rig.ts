// A guest as a rig for the scenarios that the simulation runs too: the engine and its adapters run here, their commands
// in the guest.

import { setTimeout as wait } from 'node:timers/promises';
import { createHost } from '../../src/host/blockdev.ts';
import { createKernel } from '../../src/dm/dmsetup.ts';
import { deviceNode } from '../../src/dm/observed.ts';
import { installUdevRules, udevRuns } from '../../src/dm/udev.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import type { Exec } from '../../src/system/exec.ts';
import type { DeviceKey } from '../../src/vocabulary/ids.ts';
import { dmUuid, poolName } from '../../src/vocabulary/ids.ts';
import { createLvm } from '../../src/lvm/commands.ts';
import type { Rig } from '../contract/rig.ts';
import type { Underway, Waits } from '../contract/waits.ts';
import type { ExecOptions } from '../../vm/channel.ts';
import type { Guest } from '../../vm/guest.ts';
import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../../vm/wait.ts';
import { readBlocks, writeBlocks } from './blocks.ts';
import { guestExec } from './guest-exec.ts';
import { guestStrangers } from './strangers.ts';

export const VG = 'pool';
const MERGE_LIMIT_MS = 300_000;
/** What has not ended by then waits: the slowest of these commands takes a quarter of a second under emulation. */
const WAIT_LIMIT_MS = 3000;
const END_LIMIT_MS = 120_000;

/** The ports of a driver that has just started, over this way to run commands. */
export async function openPorts(exec: Exec, monotonicMs = (): number => performance.now()) {
  const lvm = createLvm({ exec, vgName: VG, monotonicMs });
  const { vgUuid } = await lvm.report();
  const udev = await udevRuns(exec);
  if (udev) await installUdevRules(exec, [vgUuid]);
  const newKernel = (): Kernel => createKernel({ exec, lvm, pool: poolName('test'), vgName: VG, vgUuid, udev });
  return {
    vg: vgUuid,
    lvm,
    kernel: newKernel(),
    newKernel,
    host: createHost({ exec, vgName: VG, vgUuid }),
  };
}

/** Small extents, so that a family's contents are read in a moment. Made once; the disks survive every cut. */
export async function makePool(guest: Guest): Promise<void> {
  const options = ['--yes', '--physicalextentsize', '512k', '--metadatasize', '16m'];
  await guest.output(['vgcreate', '-qq', ...options, VG, ...guest.disks]);
}

/** Devices go from the top down, so a few rounds take them all. */
async function emptyPool(guest: Guest): Promise<void> {
  for (let round = 0; round < 20 && (await guest.output(['dmsetup', 'ls'])).trim() !== 'No devices found'; round += 1) {
    await guest.output(['dmsetup', 'remove_all']);
  }
  const left = (await guest.output(['lvs', '--noheadings', '-o', 'lv_full_name', VG])).trim();
  if (left !== '') await guest.output(['lvremove', '-qq', '--yes', ...left.split(/\s+/)]);
}

const LIST_MERGES = ['dmsetup', 'status', '--noflush', '--target', 'snapshot-merge'];

/** Merges that have begun and not ended, as the kernel says. */
export async function mergesUnderWay(guest: Guest, options: ExecOptions = {}): Promise<number> {
  const { stdout } = await guest.exec(LIST_MERGES, options);
  const found = Buffer.from(stdout)
    .toString()
    .matchAll(/ snapshot-merge (?:(\d+)\/\d+ (\d+)|.*)/g);
  return [...found].filter(([, used, metadata]) => used === undefined || used !== metadata).length;
}

/** Lets go whatever waits at a suspended device, so that nothing is left of a case that failed half-way. */
export async function releaseAll(guest: Guest): Promise<void> {
  const rows = await guest.output([
    'dmsetup',
    'info',
    '-c',
    '--noheadings',
    '--separator',
    ' ',
    '-o',
    'name,suspended',
  ]);
  for (const line of rows.split('\n')) {
    const [name, state] = line.trim().split(' ');
    if (name !== undefined && state === 'Suspended') {
      await guest.exec(['dmsetup', 'resume', '--noudevsync', name], { timeoutMs: WAIT_LIMIT_MS });
    }
  }
}

export interface GuestRig extends Rig {
  /** The pool is as good as new: nothing of it, or of devices, is left, and nothing is remembered. */
  readonly empty: () => Promise<void>;
}

/** Opens the pool of a guest that has just booted. */
export async function guestRig(guest: Guest): Promise<GuestRig> {
  const exec = guestExec(guest);
  let parts = await openPorts(exec);

  const target = (key: DeviceKey): string => dmUuid(parts.vg, key);

  return {
    get vg() {
      return parts.vg;
    },
    get lvm() {
      return parts.lvm;
    },
    get kernel() {
      return parts.kernel;
    },
    get host() {
      return parts.host;
    },
    read: async (...keys) => readBlocks(guest, keys.map(target)),
    write: (key, writes) => writeBlocks(exec, target(key), writes, 'flush'),
    pause: () => Promise.resolve(),
    finishMerges: async () => {
      const done = await waitFor(
        MERGE_LIMIT_MS,
        async () => ((await mergesUnderWay(guest)) === 0 ? true : undefined),
        LOOK_IN_GUEST_EVERY_MS,
      );
      if (done === undefined) throw new Error('Cannot wait any longer for the merges');
    },
    // The logic runs here, so a killed driver is one that is forgotten in the middle of nothing.
    killDriver: async () => {
      parts = await openPorts(exec);
    },
    cutPower: async () => {
      await guest.cut();
      await guest.boot();
      parts = await openPorts(exec);
    },
    strangers: guestStrangers(guest, VG, () => parts),
    notices: () => [],
    empty: async () => {
      await emptyPool(guest);
      parts = { ...parts, kernel: parts.newKernel() };
    },
  };
}

export function guestWaits(guest: Guest, rig: Rig): Waits {
  return {
    step: (step) => underway(rig.kernel.apply([step])),
    write: (device, write) => underway(rig.write(device, [write])),
    flush: (device) => underway(rig.kernel.apply([{ do: 'flush', device }])),
    inflight: async (key) => {
      const device = (await rig.kernel.observe()).devices.get(key);
      if (device === undefined) throw new Error(`Cannot find device '${key}' in the guest`);
      const name = deviceNode(device.majorMinor).slice('/dev/'.length);
      const [reads, writes] = (await guest.output(['cat', `/sys/block/${name}/inflight`])).trim().split(/\s+/);
      return Number(reads) + Number(writes);
    },
    settle: async () => {
      await wait(WAIT_LIMIT_MS);
    },
  };
}

function underway(work: Promise<void>): Underway {
  let outcome: 'done' | 'failed' | undefined;
  const ended = work.then(
    () => (outcome = 'done'),
    () => (outcome = 'failed'),
  );
  return {
    waits: async () => {
      await Promise.race([ended, wait(WAIT_LIMIT_MS)]);
      return outcome === undefined;
    },
    ends: async () => {
      await Promise.race([ended, wait(END_LIMIT_MS)]);
      if (outcome === undefined) throw new Error('Cannot wait for its end: it does not end');
      return outcome;
    },
  };
}
