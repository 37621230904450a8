// What the kernel should hold, as a value: devices with their tables, from the bottom up. Pure.

import type { DeviceKey, StoreName } from '../vocabulary/ids.ts';
import type { Table } from '../dm/table.ts';
import { refsOf } from '../dm/table.ts';

export interface DesiredDevice {
  readonly key: DeviceKey;
  readonly table: Table;
  readonly readOnly: boolean;
}

/** Devices from the bottom up: each lies only on stores and on devices before it. */
export interface Desired {
  readonly devices: readonly DesiredDevice[];
  readonly stores: ReadonlySet<StoreName>;
  /** Stores that nothing will ever show again: what would wait for room in them need not. */
  readonly givenUp: ReadonlySet<StoreName>;
}

/** Devices ordered so that each comes after those it lies on; deterministic, and keeps the given order where it can. */
export function bottomUp<D extends { readonly key: DeviceKey; readonly table: Table }>(
  devices: readonly D[],
): readonly D[] {
  const byKey = new Map(devices.map((device) => [device.key, device]));
  const done = new Set<DeviceKey>();
  const sorted: D[] = [];
  const visit = (device: D): void => {
    if (done.has(device.key)) return;
    done.add(device.key);
    for (const below of devicesBelow(device.table)) {
      const lower = byKey.get(below);
      if (lower !== undefined) visit(lower);
    }
    sorted.push(device);
  };
  for (const device of devices) visit(device);
  return sorted;
}

/** Devices of ours that a table lies on. */
export function devicesBelow(table: Table): readonly DeviceKey[] {
  return refsOf(table).flatMap((ref) => (ref.on === 'device' ? [ref.device] : []));
}
