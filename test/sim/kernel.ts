// Device-mapper in memory: the port's observe, apply and statuses. Each step does what the ioctl does, in the kernel's
// order, with its refusals; where a real kernel would wait for ever it throws SimHang.

import type { DeviceKey, StoreName } from '../../src/vocabulary/ids.ts';
import type { Kernel, Observed, ObservedDevice, ObservedStore } from '../../src/dm/kernel.ts';
import { HeldOpen, inTurn } from '../../src/dm/kernel.ts';
import type { SnapshotStatus } from '../../src/dm/status.ts';
import type { Step } from '../../src/dm/step.ts';
import { stepText } from '../../src/dm/step.ts';
import type { Table } from '../../src/dm/table.ts';
import { sectors } from '../../src/vocabulary/units.ts';
import type { Around } from './effects.ts';
import { alive, effect } from './effects.ts';
import { SimHang, Stuck, refuse } from './errors.ts';
import { usage } from './exceptions.ts';
import type { Io } from './io.ts';
import { activateStore, deactivateStore } from './lvm.ts';
import type { Device, Machine, Snapshot, Under } from './machine.ts';
import { SECTORS_PER_BLOCK, sizeBlocks } from './machine.ts';
import { advanceDevice, beginMerge, mergesOf, waitOf } from './merge.ts';
import { checkLengths, destroyTable, loadTable, preresume, resumeParts } from './tables.ts';
import { retryReaders } from './stranger.ts';
import { retryQueued } from './user.ts';

export function createKernel(m: Machine, io: Io, around: Around): Kernel {
  return {
    observe: async () => {
      alive(m);
      return observe(m);
    },
    apply: inTurn(async (step) => effect(m, stepText(step), () => applyStep(m, io, step), around)),
    statuses: async () => {
      alive(m);
      return statuses(m);
    },
  };
}

export function applyStep(m: Machine, io: Io, step: Step): void {
  m.stack.length = 0;
  switch (step.do) {
    case 'activate':
      for (const store of step.stores) activateStore(m, store);
      return;
    case 'deactivate':
      for (const store of step.stores) deactivateStore(m, store);
      return;
    case 'create':
      return create(m, step.device);
    case 'make':
      create(m, step.device);
      return made(m, io, step);
    case 'swap':
      load(m, io, step.device, step.table, step.readOnly);
      return resume(m, io, deviceOf(m, step.device), KEEPING);
    case 'load':
      return load(m, io, step.device, step.table, step.readOnly);
    case 'clear':
      return clear(m, step.device);
    case 'suspend':
      return suspend(m, io, deviceOf(m, step.device));
    case 'flush':
      return flush(m, io, step.device);
    case 'resume':
      return resume(m, io, deviceOf(m, step.device));
    case 'remove':
      return remove(m, step.device);
  }
}

/** As dmsetup does it: a device whose table is refused does not stay. */
function made(m: Machine, io: Io, { device, table, readOnly }: Step & { readonly do: 'make' }): void {
  try {
    load(m, io, device, table, readOnly);
    resume(m, io, deviceOf(m, device));
  } catch (error) {
    if (!(error instanceof SimHang)) remove(m, device);
    throw error;
  }
}

function deviceOf(m: Machine, key: DeviceKey): Device {
  return m.devices.get(key) ?? refuse(`Cannot find ${key}: no such device`);
}

function create(m: Machine, key: DeviceKey): void {
  if (m.devices.has(key)) refuse(`Cannot create ${key}: device already exists`);
  m.devices.set(key, {
    kind: 'device',
    key,
    minor: m.nextMinor,
    live: undefined,
    inactive: undefined,
    suspended: false,
    readOnly: false,
    openers: 0,
    hadTable: false,
    snapshots: [],
    cowUsers: [],
    originTop: undefined,
  });
  m.nextMinor += 1;
}

function load(m: Machine, io: Io, key: DeviceKey, table: Table, readOnly: boolean): void {
  const device = deviceOf(m, key);
  const loaded = loadTable(m, io, device, table, readOnly);
  const former = device.inactive;
  device.inactive = loaded;
  device.hadTable = true;
  if (former !== undefined) destroyTable(m, former);
}

function clear(m: Machine, key: DeviceKey): void {
  const device = deviceOf(m, key);
  const former = device.inactive;
  device.inactive = undefined;
  if (former !== undefined) destroyTable(m, former);
}

/** `--noflush`: what a device holds goes on in its next table. */
const KEEPING = true;

/** Waits for everything inside the device; suspended already is no error. */
function suspend(m: Machine, io: Io, device: Device, keeping = false): void {
  if (device.suspended) return;
  if (!keeping && device.live?.parts.some(({ type }) => type === 'hold') === true) {
    m.failing = device.key;
    retryQueued(m, io);
    m.failing = undefined;
  }
  quiesce(m, io, device, `the suspend of ${device.key}`, keeping);
  for (const s of mergesOf(device)) s.running = false;
  device.suspended = true;
  for (const part of device.live?.parts ?? []) {
    if (part.type === 'snapshot-origin' && part.under.originTop === device) part.under.originTop = undefined;
  }
}

/** Everything inside the device comes to its end, or the kernel hangs. Merges anywhere may have I/O inside it. */
function quiesce(m: Machine, io: Io, device: Device, why: string, keeping = false): void {
  const isInside = (path: readonly Device[]): boolean =>
    path.includes(device) && !(keeping && path.at(-1) === device && !device.suspended);
  for (const { path, device: into } of [...m.queued, ...m.readers]) {
    if (isInside(path)) throw new SimHang(`${why} waits for an I/O to ${into} that is stuck below`);
  }
  if (!anyWaits(m)) return;
  for (const other of m.devices.values()) {
    for (const s of mergesOf(other)) {
      const path = other.suspended ? undefined : waitOf(m, io, s);
      if (path !== undefined && (other === device || isInside(path))) {
        throw new SimHang(`${why} waits for the merge of ${other.key}, which is stuck below`);
      }
    }
  }
}

/** Where a merge can be stuck at all. */
function anyWaits(m: Machine): boolean {
  for (const { suspended, live } of m.devices.values()) {
    if (suspended || live?.parts.some(({ type }) => type === 'hold') === true) return true;
  }
  return false;
}

function flush(m: Machine, io: Io, key: DeviceKey): void {
  const device = deviceOf(m, key);
  if (device.live === undefined) refuse(`Cannot flush ${key}: it has no table`);
  try {
    io.flush(device);
  } catch (error) {
    if (error instanceof Stuck) throw new SimHang(`the flush of ${key} ${error.message}`);
    throw error;
  }
}

/** As the ioctl: a table in the inactive slot is taken out first, and is lost when anything after that fails. */
function resume(m: Machine, io: Io, device: Device, keeping = false): void {
  const next = device.inactive;
  const former = device.live;
  if (next !== undefined) {
    suspend(m, io, device, keeping);
    device.inactive = undefined;
    swapIn(m, device, next);
  }
  try {
    if (device.suspended) resumeLive(m, io, device);
  } finally {
    if (next !== undefined && former !== undefined) destroyTable(m, former);
  }
  for (const other of next === undefined ? [] : [device]) advanceDevice(m, io, other, m.eager.onResume);
  retryQueued(m, io);
  retryReaders(m, io);
}

function swapIn(m: Machine, device: Device, next: Device['live'] & {}): void {
  try {
    checkLengths(m, device, next);
  } catch (error) {
    destroyTable(m, next);
    throw error;
  }
  device.live = next;
  device.readOnly = next.readOnly;
}

function resumeLive(m: Machine, io: Io, device: Device): void {
  const { live } = device;
  if (live === undefined) return refuse(`Cannot resume ${device.key}: it has no table`);
  preresume(live);
  resumeParts(m, device, live, (top, why) => {
    if (!top.suspended) quiesce(m, io, top, `${why}, which suspends ${top.key} inside the kernel,`);
  });
  for (const s of mergesOf(device)) {
    const stuck = beginMerge(m, io, s);
    if (stuck !== undefined) throw new SimHang(`the resume of ${device.key} feeds a snapshot, which ${stuck.message}`);
  }
  device.suspended = false;
}

function remove(m: Machine, key: DeviceKey): void {
  const device = deviceOf(m, key);
  const count = openCount(m, device);
  const busy = `Cannot remove ${key}: device or resource busy, open count ${count}`;
  if (count > 0 && count === device.openers) throw new HeldOpen(key, busy);
  if (count > 0) refuse(busy);
  for (const { path } of m.queued) {
    if (path.includes(device)) throw new SimHang(`the removal of ${key} waits for a write that is stuck below`);
  }
  if (device.live !== undefined) destroyTable(m, device.live);
  if (device.inactive !== undefined) destroyTable(m, device.inactive);
  m.devices.delete(key);
}

/** Openers of the user's, and each other device that holds it open, once for a mode. */
export function openCount(m: Machine, under: Under): number {
  let count = under.openers;
  for (const device of m.devices.values()) count += holds(device, under);
  return count;
}

function holds(device: Device, under: Under): number {
  const modes = new Set<string>();
  for (const table of [device.live, device.inactive]) {
    for (const open of table?.opens ?? []) if (open.under === under) modes.add(open.mode);
  }
  return modes.size;
}

function openCounts(m: Machine): ReadonlyMap<Under, number> {
  const counts = new Map<Under, number>();
  for (const under of [...m.devices.values(), ...m.stores.values()]) counts.set(under, under.openers);
  for (const device of m.devices.values()) {
    const seen = new Set<Under>();
    for (const table of [device.live, device.inactive]) for (const { under } of table?.opens ?? []) seen.add(under);
    for (const under of seen) counts.set(under, (counts.get(under) ?? 0) + holds(device, under));
  }
  return counts;
}

function observe(m: Machine): Observed {
  const counts = openCounts(m);
  const devices = new Map<DeviceKey, ObservedDevice>();
  for (const device of m.devices.values()) {
    devices.set(device.key, {
      key: device.key,
      majorMinor: `253:${device.minor}`,
      live: device.live?.table,
      inactive: device.inactive?.table,
      suspended: device.suspended,
      readOnly: device.readOnly,
      openCount: counts.get(device) ?? 0,
      status: statusOf(m, device),
    });
  }
  const stores = new Map<StoreName, ObservedStore>();
  for (const store of m.stores.values()) {
    const openCount = counts.get(store) ?? 0;
    stores.set(store.store, { store: store.store, majorMinor: `253:${store.minor}`, openCount });
  }
  return { devices, stores };
}

function statuses(m: Machine): ReadonlyMap<DeviceKey, SnapshotStatus> {
  const found = new Map<DeviceKey, SnapshotStatus>();
  for (const device of m.devices.values()) {
    const status = statusOf(m, device);
    if (status !== undefined) found.set(device.key, status);
  }
  return found;
}

function statusOf(m: Machine, device: Device): SnapshotStatus | undefined {
  const parts = device.live?.parts ?? [];
  const [only] = parts;
  return parts.length === 1 && only?.type === 'snapshot' ? snapshotStatus(m, only.snapshot) : undefined;
}

function snapshotStatus(m: Machine, s: Snapshot): SnapshotStatus {
  if (!s.valid) return { state: 'invalid' };
  if (s.mergeFailed) return { state: 'merge-failed' };
  if (s.overflowed) return { state: 'overflow' };
  const { used, metadata } = usage(s);
  return {
    state: 'counts',
    used: sectors(used * SECTORS_PER_BLOCK),
    total: sectors(sizeBlocks(m, s.cow) * SECTORS_PER_BLOCK),
    metadata: sectors(metadata * SECTORS_PER_BLOCK),
  };
}
