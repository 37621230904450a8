// Observed and desired tables -> the steps between them, in the only order that is safe. Pure, total and deterministic:
// whatever is found (half-done plans included), the steps end in what is wanted, and planning again gives none.
//
// The order, and why:
//   1. inactive tables left over are cleared, because a plain resume would activate them;
//   2. stores appear; stores that have grown let what waits for them go on, and the tails of those that are given up let it
//      fail, because until then no suspend and no flush would come to its end;
//   3. new devices are made and loaded: all that may be done before anybody has to wait;
//   4. what changes is suspended, users before what they use, writers before the snapshots they feed; then what was
//      acknowledged is flushed, so that a new snapshot shows nothing that no disk has;
//   5. tables over stores that another table held are loaded only now: loading reads the store;
//   6. everything is resumed from the bottom up, a fed snapshot before whatever writes to its origin;
//   7. what is not wanted goes: an old holder of a store only after the new one has been resumed (take-away.ts).

import type { DeviceKey, StoreName } from '../vocabulary/ids.ts';
import { isTail, storeOf } from '../vocabulary/ids.ts';
import type { Desired, DesiredDevice } from './device.ts';
import { bottomUp, devicesBelow } from './device.ts';
import type { Observed, ObservedDevice } from '../dm/kernel.ts';
import type { Step } from '../dm/step.ts';
import type { Ref, Table } from '../dm/table.ts';
import { errors, heldStores, lengthOf, refText, refsOf, sameTable, showsErrors } from '../dm/table.ts';
import type { SeenOpen } from './take-away.ts';
import { takeAway } from './take-away.ts';
import { fitTails } from './tails.ts';

const NONE: ReadonlySet<never> = new Set();

export interface PlanOptions {
  /** Stores whose cows are laid flat; the others stay nested as extensions have left them. */
  readonly flatten?: ReadonlySet<StoreName>;
  readonly seenOpen?: SeenOpen;
}

/** `observed` holds one family's devices and stores and nothing else. */
export function plan(
  observed: Observed,
  wanted: Desired,
  { flatten = NONE, seenOpen = NONE }: PlanOptions = {},
): readonly Step[] {
  const desired = fitTails(wanted, observed, flatten);
  const found = [...observed.devices.values()];
  const extras = extrasOf(observed, desired);
  const clears = found
    .filter(({ inactive }) => inactive !== undefined)
    .map(({ key }): Step => ({ do: 'clear', device: key }));
  const missing = [...desired.stores].filter((store) => !observed.stores.has(store));
  const appear: readonly Step[] = missing.length === 0 ? [] : [{ do: 'activate', stores: missing }];
  const { removes, idle } = takeAway(observed, extras, desired, seenOpen);
  const vanish: readonly Step[] = idle.length === 0 ? [] : [{ do: 'deactivate', stores: idle }];
  const relief = relieve(observed, desired);
  return [
    ...clears,
    ...appear,
    ...endWaits(extras, desired),
    ...relief,
    ...middle(observed, desired, found, extras, relief),
    ...removes,
    ...vanish,
  ];
}

/** What a plan leaves behind, because somebody has it open: no part of what is wanted, and showing nothing. */
export function leftBehind(
  observed: Observed,
  wanted: Desired,
  { flatten = NONE, seenOpen = NONE }: PlanOptions = {},
): readonly (DeviceKey | StoreName)[] {
  const desired = fitTails(wanted, observed, flatten);
  return takeAway(observed, extrasOf(observed, desired), desired, seenOpen).left;
}

/** Users before what they use. */
function extrasOf({ devices }: Observed, desired: Desired): readonly ObservedDevice[] {
  const keys = new Set(desired.devices.map(({ key }) => key));
  return topDown([...devices.values()].filter(({ key }) => !keys.has(key)));
}

/**
 * Writers that wait at a tail which is to go: for a store that is given up they fail, because what they would have kept nobody
 * wants, and where somebody has suspended a tail in which its store goes on, there is room.
 */
function endWaits(extras: readonly ObservedDevice[], { givenUp }: Desired): readonly Step[] {
  return extras.flatMap(({ key, live, suspended }): readonly Step[] => {
    const store = storeOf(key);
    if (!isTail(key) || live === undefined || store === undefined) return [];
    const swap = (table: Table): Step => ({ do: 'swap', device: key, table, readOnly: false });
    if (live[0]?.type === 'linear') return suspended ? [swap(live)] : [];
    const fails = showsErrors(live) && !suspended;
    return givenUp.has(store) && !fails ? [swap(errors(lengthOf(live)))] : [];
  });
}

/** Tails whose store has grown: what waits in them goes on, and at the next tail again. */
export function relieve(observed: Observed, desired: Desired): readonly Step[] {
  return desired.devices.flatMap((device): readonly Step[] => {
    const have = observed.devices.get(device.key);
    if (!isTail(device.key) || have?.live === undefined) return [];
    const swap: Step = { do: 'swap', ...tableOf(device) };
    // Nothing of ours suspends one. Somebody may have, or an earlier version.
    if (sameTable(have.live, device.table)) return have.suspended ? [swap] : [];
    const [next] = devicesBelow(device.table);
    const tail = desired.devices.find(({ key }) => key === next);
    return tail === undefined ? [swap] : [made(tail, observed), swap];
  });
}

function tableOf({ key, table, readOnly }: DesiredDevice) {
  return { device: key, table, readOnly };
}

/** A device without a table may be there already, from a driver that died. */
function made(device: DesiredDevice, observed: Observed): Step {
  return { do: observed.devices.has(device.key) ? 'swap' : 'make', ...tableOf(device) };
}

function middle(
  observed: Observed,
  desired: Desired,
  found: readonly ObservedDevice[],
  extras: readonly ObservedDevice[],
  relief: readonly Step[],
): readonly Step[] {
  const relieved = new Set(relief.flatMap((step) => ('device' in step ? [step.device] : [])));
  const changed = desired.devices.filter(
    (device) => !relieved.has(device.key) && isChanged(device, observed.devices.get(device.key)),
  );
  const quiet = devicesToSuspend(found, changed, extras);
  const isResumed = ({ key }: DesiredDevice): boolean =>
    !relieved.has(key) &&
    (changed.some((device) => device.key === key) || quiet.has(key) || observed.devices.get(key)?.suspended === true);
  const resumed = order(desired.devices).filter(isResumed);
  if (quiet.size === 0) return oneByOne(observed, desired, changed, resumed);

  const inner = order(changed).filter(({ key }) => storeOf(key) !== undefined);
  const prepared = inner.filter(({ key }) => isUnused(observed.devices.get(key)));
  const late = inner.filter((device) => !prepared.includes(device));
  const outer = changed.filter(({ key }) => storeOf(key) === undefined);
  const early = loadedEarly(outer, observed, found, prepared);
  const inFreeze = outer.filter((device) => !early.includes(device));
  const creates = outer
    .filter(({ key }) => !observed.devices.has(key))
    .map(({ key }): Step => ({ do: 'create', device: key }));
  // Sorted first and chosen after: two of them may lie on each other through a device that goes on.
  const suspends = topDown(found)
    .filter(({ key, suspended }) => quiet.has(key) && !suspended)
    .map(({ key }): Step => ({ do: 'suspend', device: key }));
  const flushes = originsToFlush(changed, observed, quiet).map((device): Step => ({ do: 'flush', device }));
  return [
    ...prepared.map((device) => made(device, observed)),
    ...creates,
    ...early.map(load),
    ...suspends,
    ...flushes,
    ...late.map((device): Step => ({ do: 'swap', ...tableOf(device) })),
    ...inFreeze.map(load),
    ...resumed.filter(({ key }) => storeOf(key) === undefined).map(({ key }): Step => ({ do: 'resume', device: key })),
  ];
}

function load(device: DesiredDevice): Step {
  return { do: 'load', ...tableOf(device) };
}

/** Nobody waits: each device is live before the next one that lies on it, or is written by it. */
function oneByOne(
  observed: Observed,
  desired: Desired,
  changed: readonly DesiredDevice[],
  resumed: readonly DesiredDevice[],
): readonly Step[] {
  return order(desired.devices).flatMap((device): readonly Step[] => {
    const { key } = device;
    const resume: Step = { do: 'resume', device: key };
    if (!changed.includes(device)) return resumed.includes(device) ? [resume] : [];
    const isWhole = !observed.devices.has(key) || storeOf(key) !== undefined;
    return isWhole ? [made(device, observed)] : [load(device), resume];
  });
}

/** Nothing of ours lies on it: it has no table, or was left behind with errors for whoever had it open. */
function isUnused(have: ObservedDevice | undefined): boolean {
  return have?.live === undefined || showsErrors(have.live);
}

function isChanged(want: DesiredDevice, have: ObservedDevice | undefined): boolean {
  return have?.live === undefined || have.readOnly !== want.readOnly || !sameTable(have.live, want.table);
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
    if (isUnused(device)) continue;
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
  made: readonly DesiredDevice[],
): readonly DesiredDevice[] {
  const held = new Set(found.flatMap(({ live }) => heldStores(live)));
  const early: DesiredDevice[] = [];
  for (const device of changed) {
    const isReady = (key: DeviceKey): boolean =>
      observed.devices.get(key)?.live !== undefined || [...made, ...early].some((one) => one.key === key);
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
