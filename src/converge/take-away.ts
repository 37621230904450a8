// What nothing wants any more, and how it goes although the programs of a node open every device they find. Pure.
//
// Whoever reads a device that stands still waits in it, and holds it open: neither a signal nor time frees him, only a
// resume. So what somebody has open gets a table of errors, live, which ends what waits in it and lets go of all that lies
// below. It is removed then, or when the last one has closed it: until then it is left behind, which is nobody's failure.
// What is mounted, a top, never gets such a table: whoever has it open may be its user.

import type { DeviceKey, StoreName } from '../vocabulary/ids.ts';
import { isTail, isTop, storeOf } from '../vocabulary/ids.ts';
import type { Desired } from './device.ts';
import { devicesBelow } from './device.ts';
import type { Observed, ObservedDevice } from '../dm/kernel.ts';
import type { Step } from '../dm/step.ts';
import type { Ref } from '../dm/table.ts';
import { errors, lengthOf, onDevice, onStore, refText, refsOf, showsErrors } from '../dm/table.ts';

/** Devices and stores of which somebody was seen to have them open, whatever the kernel counts at this moment. */
export type SeenOpen = ReadonlySet<DeviceKey | StoreName>;

export interface TakeAway {
  readonly removes: readonly Step[];
  /** Stores whose devices go. */
  readonly idle: readonly StoreName[];
  /** What stays for now: it shows nothing, and somebody has it open. */
  readonly left: readonly (DeviceKey | StoreName)[];
}

/** `extras`: devices that are not wanted, users before what they use. */
export function takeAway(
  observed: Observed,
  extras: readonly ObservedDevice[],
  desired: Desired,
  seenOpen: SeenOpen,
): TakeAway {
  const used = usedByTables(observed);
  const isHeld = (key: DeviceKey | StoreName, ref: Ref, openCount: number): boolean =>
    !used.has(refText(ref)) && (openCount > 0 || seenOpen.has(key));
  const removes: Step[] = [];
  const left: (DeviceKey | StoreName)[] = [];
  for (const device of extras) {
    const { key, openCount } = device;
    if (isTop(key) || !isHeld(key, onDevice(key), openCount)) removes.push({ do: 'remove', device: key });
    else if (isSpent(device)) left.push(key);
    else removes.push(...letGo(device, extras), { do: 'remove', device: key });
  }
  const unwanted = [...observed.stores.values()].filter(({ store }) => !desired.stores.has(store));
  const idle: StoreName[] = [];
  for (const { store, openCount } of unwanted) {
    if (isHeld(store, onStore(store), openCount)) left.push(store);
    else idle.push(store);
  }
  return { removes, idle, left };
}

function usedByTables({ devices }: Observed): ReadonlySet<string> {
  const tables = [...devices.values()].flatMap(({ live, inactive }) => [...(live ?? []), ...(inactive ?? [])]);
  return new Set(refsOf(tables).map(refText));
}

/** Nobody waits in it, and it lies on nothing; also where it never got a table, or has lost it. */
function isSpent({ live, suspended }: ObservedDevice): boolean {
  return live === undefined || (!suspended && showsErrors(live));
}

/**
 * Ends whatever waits in the device, or below it in what stands still and goes too. A tail that an earlier version left
 * standing goes on only for who reads the store itself: a snapshot over it may still be fed, and would be lost with a write
 * that fails there.
 */
function letGo(device: ObservedDevice, extras: readonly ObservedDevice[]): readonly Step[] {
  const below = new Set(devicesBelow(device.live ?? []));
  const isOthers = (key: DeviceKey): boolean => isTail(key) && storeOf(key) !== storeOf(device.key);
  const standing: ObservedDevice[] = [];
  // Users come before what they use, so all that is below has been named when its turn comes.
  for (const extra of extras) {
    if (!below.has(extra.key)) continue;
    for (const key of devicesBelow(extra.live ?? [])) below.add(key);
    if (extra.suspended && extra.live !== undefined && !isOthers(extra.key)) standing.unshift(extra);
  }
  return [...standing, device].map(({ key, live = [], readOnly }): Step => ({
    do: 'swap',
    device: key,
    table: errors(lengthOf(live)),
    readOnly,
  }));
}
