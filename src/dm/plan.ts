// Observed and desired tables -> the steps between them, in the only order that is safe. Pure, total and deterministic:
// whatever is found (half-done plans included), the steps end in what is wanted, and planning again gives none.
//
// The order, and why:
//   1. inactive tables left over are cleared, because a plain resume would activate them;
//   2. stores appear, new devices are made and loaded: all that may be done before anybody has to wait;
//   3. what changes is suspended, users before what they use, writers before the snapshots they feed; then what was
//      acknowledged is flushed, so that a new snapshot shows nothing that no disk has;
//   4. tables over stores that another table held are loaded only now: loading reads the store;
//   5. everything is resumed from the bottom up, a fed snapshot before whatever writes to its origin;
//   6. what is not wanted goes: an old holder of a store only after the new one has been resumed.

import type { DeviceKey, StoreName } from '../ids.ts';
import type { Desired, DesiredDevice } from './desired.ts';
import { bottomUp, devicesBelow } from './desired.ts';
import type { Observed, ObservedDevice } from './kernel.ts';
import type { Step } from './step.ts';
import type { Ref, Table } from './table.ts';
import { refText, refsOf, sameTable } from './table.ts';

/** `observed` holds one family's devices and stores and nothing else. */
export function plan(observed: Observed, desired: Desired): readonly Step[] {
  const found = [...observed.devices.values()];
  const wanted = new Map(desired.devices.map((device) => [device.key, device]));
  const changed = desired.devices.filter((device) => isChanged(device, observed.devices.get(device.key)));
  const changedKeys = new Set(changed.map(({ key }) => key));
  const extras = found.filter(({ key }) => !wanted.has(key));
  const quiet = devicesToSuspend(found, changed, extras);
  const early = loadedEarly(changed, observed, found);
  const late = changed.filter((device) => !early.includes(device));

  const clears = found
    .filter(({ inactive }) => inactive !== undefined)
    .map(({ key }): Step => ({ do: 'clear', device: key }));
  const missing = [...desired.stores].filter((store) => !observed.stores.has(store));
  const appear: readonly Step[] = missing.length === 0 ? [] : [{ do: 'activate', stores: missing }];
  const idle = [...observed.stores.keys()].filter((store) => !desired.stores.has(store));
  const vanish: readonly Step[] = idle.length === 0 ? [] : [{ do: 'deactivate', stores: idle }];
  const creates = changed
    .filter(({ key }) => !observed.devices.has(key))
    .map(({ key }): Step => ({ do: 'create', device: key }));
  // Sorted first and chosen after: two of them may lie on each other through a device that goes on.
  const suspends = topDown(found)
    .filter(({ key, suspended }) => quiet.has(key) && !suspended)
    .map(({ key }): Step => ({ do: 'suspend', device: key }));
  const flushes = originsToFlush(changed, observed, quiet).map((device): Step => ({ do: 'flush', device }));
  const isResumed = ({ key }: DesiredDevice): boolean =>
    changedKeys.has(key) || quiet.has(key) || observed.devices.get(key)?.suspended === true;
  const resumes = order(desired.devices)
    .filter(isResumed)
    .map(({ key }): Step => ({ do: 'resume', device: key }));
  const removes = topDown(extras).map(({ key }): Step => ({ do: 'remove', device: key }));

  const middle: readonly Step[] =
    quiet.size === 0
      ? [...creates, ...oneByOne(changed, resumes)]
      : [...creates, ...early.map(load), ...suspends, ...flushes, ...late.map(load), ...resumes];
  return [...clears, ...appear, ...middle, ...removes, ...vanish];
}

function load({ key, table, readOnly }: DesiredDevice): Step {
  return { do: 'load', device: key, table, readOnly };
}

/** Nobody waits: each device is loaded just before it is resumed, so that it lies on live devices only. */
function oneByOne(changed: readonly DesiredDevice[], resumes: readonly Step[]): readonly Step[] {
  return resumes.flatMap((step): readonly Step[] => {
    const device = step.do === 'resume' ? changed.find(({ key }) => key === step.device) : undefined;
    return device === undefined ? [step] : [load(device), step];
  });
}

function isChanged(want: DesiredDevice, have: ObservedDevice | undefined): boolean {
  return have?.live === undefined || have.readOnly !== want.readOnly || !sameTable(have.live, want.table);
}

/** Stores whose exceptions a table holds in memory: at most one table may, except in a handover. */
function heldStores(table: Table | undefined): readonly StoreName[] {
  return (table ?? []).flatMap((target) => ('cow' in target && target.cow.on === 'store' ? [target.cow.store] : []));
}

function devicesToSuspend(
  found: readonly ObservedDevice[],
  changed: readonly DesiredDevice[],
  extras: readonly ObservedDevice[],
): ReadonlySet<DeviceKey> {
  const quiet = new Set<DeviceKey>();
  const rereads = new Set(changed.flatMap(({ table }) => heldStores(table)));
  const changedKeys = new Set(changed.map(({ key }) => key));
  const givesUp = ({ key, live }: ObservedDevice): boolean =>
    changedKeys.has(key) || (extras.some((extra) => extra.key === key) && heldStores(live).some((s) => rereads.has(s)));
  const fed = new Set(
    [
      // A writer works out how to split its writes only in its own resume, which must come after that of what it feeds.
      ...changed.flatMap(({ table }) => snapshotOrigins(table)),
      // What a store takes after its next table has been loaded, that table does not know.
      ...found.filter(givesUp).flatMap(({ live }) => snapshotOrigins(live ?? [])),
    ].map(refText),
  );
  for (const device of found) {
    if (device.live === undefined) continue;
    const isChanging = changedKeys.has(device.key);
    const holds = heldStores(device.live);
    // Tables without a store are swapped by one resume; the others must stand still while their stores change hands.
    if (isChanging && (holds.length > 0 || heldStores(wantedTable(changed, device.key)).length > 0))
      quiet.add(device.key);
    if (extras.includes(device) && holds.some((store) => rereads.has(store))) quiet.add(device.key);
    if (writes(device, isChanging).some((origin) => fed.has(refText(origin)))) quiet.add(device.key);
  }
  // Swapped by its resume, a device waits for what is under way below it: it must have stood still before what is below.
  const lies = liveStacks(found);
  for (const { key } of changed) {
    if ([...(lies.get(key) ?? [])].some((below) => quiet.has(below))) quiet.add(key);
  }
  return quiet;
}

/** All that each live device lies on, however deep. */
function liveStacks(found: readonly ObservedDevice[]): ReadonlyMap<DeviceKey, ReadonlySet<DeviceKey>> {
  const stacks = new Map<DeviceKey, Set<DeviceKey>>();
  for (const { key, live } of bottomUp(found.map((device) => ({ ...device, table: device.live ?? [] })))) {
    const below = devicesBelow(live ?? []);
    stacks.set(key, new Set([...below, ...below.flatMap((one) => [...(stacks.get(one) ?? [])])]));
  }
  return stacks;
}

function wantedTable(changed: readonly DesiredDevice[], key: DeviceKey): Table | undefined {
  return changed.find((device) => device.key === key)?.table;
}

function snapshotOrigins(table: Table): readonly Ref[] {
  return table.flatMap((target) => (target.type === 'snapshot' ? [target.origin] : []));
}

/** The origins that a live device writes to: those of an origin or merge, and what lies under a top that becomes one. */
function writes(device: ObservedDevice, isChanging: boolean): readonly Ref[] {
  return (device.live ?? []).flatMap((target): readonly Ref[] => {
    if (target.type === 'snapshot-origin' || target.type === 'snapshot-merge') return [target.origin];
    return target.type === 'linear' && isChanging ? [target.on] : [];
  });
}

/**
 * Before anybody is suspended: tables that read no store, or a store that no live table has, and that lie on devices
 * which have a table. A device without any cannot be opened: the kernel adds its disk at the first load.
 */
function loadedEarly(
  changed: readonly DesiredDevice[],
  observed: Observed,
  found: readonly ObservedDevice[],
): readonly DesiredDevice[] {
  const held = new Set(found.flatMap(({ live }) => heldStores(live)));
  const early: DesiredDevice[] = [];
  for (const device of changed) {
    const isReady = (key: DeviceKey): boolean =>
      observed.devices.get(key)?.live !== undefined || early.some((one) => one.key === key);
    const readsHeld = heldStores(device.table).some((store) => held.has(store));
    if (!readsHeld && devicesBelow(device.table).every(isReady)) early.push(device);
  }
  return early;
}

function originsToFlush(
  changed: readonly DesiredDevice[],
  observed: Observed,
  quiet: ReadonlySet<DeviceKey>,
): readonly DeviceKey[] {
  const origins = changed
    .filter(({ key }) => observed.devices.get(key)?.live === undefined)
    .flatMap(({ table }) => snapshotOrigins(table))
    .flatMap((ref) => (ref.on === 'device' ? [ref.device] : []));
  const written = new Set([...quiet].flatMap((key) => refsOf(observed.devices.get(key)?.live ?? []).map(refText)));
  return [...new Set(origins)].filter((key) => {
    const origin = observed.devices.get(key);
    return origin?.live !== undefined && !origin.suspended && !quiet.has(key) && written.has(`device:${key}`);
  });
}

interface Placed {
  readonly key: DeviceKey;
  readonly table: Table;
}

/** Users before what they use, and writers before the snapshots they feed. */
function topDown(found: readonly ObservedDevice[]): readonly ObservedDevice[] {
  const byKey = new Map(found.map((device) => [device.key, device]));
  return order(found.map(({ key, live }) => ({ key, table: live ?? [] })))
    .toReversed()
    .flatMap(({ key }) => byKey.get(key) ?? []);
}

/** Each device after those it lies on and after the snapshots that its writes feed. */
function order<D extends Placed>(devices: readonly D[]): readonly D[] {
  const byKey = new Map(devices.map((device) => [device.key, device]));
  const snapshotsOn = new Map<string, D[]>();
  for (const device of devices) {
    for (const origin of snapshotOrigins(device.table).map(refText)) {
      snapshotsOn.set(origin, [...(snapshotsOn.get(origin) ?? []), device]);
    }
  }
  const sorted: D[] = [];
  const seen = new Set<DeviceKey>();
  const visit = (device: D): void => {
    if (seen.has(device.key)) return;
    seen.add(device.key);
    for (const key of devicesBelow(device.table)) {
      const below = byKey.get(key);
      if (below !== undefined) visit(below);
    }
    for (const origin of feeds(device.table)) for (const fed of snapshotsOn.get(refText(origin)) ?? []) visit(fed);
    sorted.push(device);
  };
  for (const device of bottomUp(devices)) visit(device);
  return sorted;
}

/** Origins whose snapshots a table's writes feed. A linear top feeds nothing, but what is under it may be about to be. */
function feeds(table: Table): readonly Ref[] {
  return table.flatMap((target): readonly Ref[] => {
    if (target.type === 'snapshot-origin' || target.type === 'snapshot-merge') return [target.origin];
    return target.type === 'linear' ? [target.on] : [];
  });
}
