// From the kernel's listings to what the planner sees: which devices are ours, what their tables lie on, and whether
// the listings, taken one after the other, fit together. Pure.

import { assert } from '../vocabulary/errors.ts';
import type { DeviceKey, Leg, StoreName, VgUuid } from '../vocabulary/ids.ts';
import { LEGS, isStoreName, keyOfDmUuid, legUuid } from '../vocabulary/ids.ts';
import type { Observed, ObservedDevice, ObservedStore } from './kernel.ts';
import type { DeviceRow, RawTarget } from './parse.ts';
import { parseSnapshotStatus, parseTable, parseTargets } from './parse.ts';
import type { SnapshotStatus } from './status.ts';
import type { Ref, Table } from './table.ts';
import { refsOf } from './table.ts';

/** The volume group whose stores and devices are ours. */
export interface Scope {
  readonly vgName: string;
  readonly vgUuid: VgUuid;
}

export interface DeviceIndex {
  readonly devices: ReadonlyMap<DeviceKey, DeviceRow>;
  readonly stores: ReadonlyMap<StoreName, DeviceRow>;
  readonly legs: ReadonlyMap<Leg, DeviceRow>;
}

/** What dmsetup printed, unread. `inactive` may be empty when no device of ours has an inactive table. */
export interface Listings {
  readonly rows: readonly DeviceRow[];
  readonly tables: string;
  readonly inactive: string;
  /** Undefined: not asked. */
  readonly statuses: string | undefined;
}

const LVM_UUID_LENGTH = 'LVM-'.length + 64;

/**
 * The store whose own device this is, whatever its group is called now. A raid's hidden parts have other names, other layers
 * a suffix in their UUID. A dash in a name is doubled; no store's name has one.
 */
export function storeOfRow(row: DeviceRow, { vgUuid }: Pick<Scope, 'vgUuid'>): StoreName | undefined {
  if (!row.uuid.startsWith(`LVM-${vgUuid}`) || row.uuid.length !== LVM_UUID_LENGTH) return undefined;
  const [, name = ''] = /[^-](?:--)*-([^-]+)$/.exec(row.name) ?? [];
  return isStoreName(name) ? name : undefined;
}

/** Which rows are devices and stores of this pool. */
export function indexOf(rows: readonly DeviceRow[], scope: Scope): DeviceIndex {
  const devices = new Map<DeviceKey, DeviceRow>();
  const stores = new Map<StoreName, DeviceRow>();
  const legs = new Map<Leg, DeviceRow>();
  for (const row of rows) {
    const key = keyOfDmUuid(scope.vgUuid, row.uuid);
    if (key !== undefined) devices.set(key, row);
    const store = storeOfRow(row, scope);
    if (store !== undefined) stores.set(store, row);
    const leg = LEGS.find((one) => row.uuid === legUuid(scope.vgUuid, one));
    if (leg !== undefined) legs.set(leg, row);
  }
  return { devices, stores, legs };
}

/** `/dev/dm-7` of `253:7`: the node that devtmpfs makes, with or without udev. */
export function deviceNode(majorMinor: string): string {
  const minor = majorMinor.split(':')[1];
  assert(minor !== undefined, `'${majorMinor}' is no major:minor`);
  return `/dev/dm-${minor}`;
}

/** Undefined when the listings do not fit together because a device changed between them: take them again. */
export function assemble(listings: Listings, scope: Scope): Observed | undefined {
  const index = indexOf(listings.rows, scope);
  const names = new Set([...index.devices.values()].map((row) => row.name));
  const isOurs = (name: string): boolean => names.has(name);
  const live = parseTargets(listings.tables, isOurs);
  const inactive = parseTargets(listings.inactive, isOurs);
  const statuses = listings.statuses === undefined ? undefined : parseTargets(listings.statuses, isOurs);
  const resolve = resolverOf(index);
  const numbers = new Set(listings.rows.map((row) => row.majorMinor));

  const devices = new Map<DeviceKey, ObservedDevice>();
  for (const [key, row] of index.devices) {
    const tables = { live: live.get(row.name) ?? [], inactive: inactive.get(row.name) ?? [] };
    if (row.live !== tables.live.length > 0 || row.inactive !== tables.inactive.length > 0) return undefined;
    const liveTable = tableOf(row.name, tables.live, resolve);
    const inactiveTable = tableOf(row.name, tables.inactive, resolve);
    if (!known(liveTable, row, numbers) || !known(inactiveTable, row, numbers)) return undefined;
    const status = statuses && statusOf(row.name, tables.live, statuses.get(row.name) ?? []);
    if (status === 'changed') return undefined;
    devices.set(key, {
      key,
      majorMinor: row.majorMinor,
      live: liveTable,
      inactive: inactiveTable,
      suspended: row.suspended,
      readOnly: row.readOnly,
      openCount: row.openCount,
      status,
    });
  }
  const stores = new Map<StoreName, ObservedStore>();
  for (const [store, row] of index.stores) {
    stores.set(store, { store, majorMinor: row.majorMinor, openCount: row.openCount });
  }
  return { devices, stores };
}

function resolverOf(index: DeviceIndex): (majorMinor: string) => Ref {
  const refs = new Map<string, Ref>();
  for (const [device, row] of index.devices) refs.set(row.majorMinor, { on: 'device', device });
  for (const [store, row] of index.stores) refs.set(row.majorMinor, { on: 'store', store });
  for (const [leg, row] of index.legs) refs.set(row.majorMinor, { on: 'leg', leg });
  return (majorMinor) => refs.get(majorMinor) ?? { on: 'stranger', majorMinor };
}

function tableOf(name: string, raw: readonly RawTarget[], resolve: (majorMinor: string) => Ref): Table | undefined {
  return raw.length === 0 ? undefined : parseTable(name, raw, resolve);
}

/** A table lies on device-mapper devices that were listed; one that was not has appeared since. */
function known(table: Table | undefined, row: DeviceRow, numbers: ReadonlySet<string>): boolean {
  const major = `${row.majorMinor.split(':')[0]}:`;
  return refsOf(table ?? []).every(
    (ref) => ref.on !== 'stranger' || !ref.majorMinor.startsWith(major) || numbers.has(ref.majorMinor),
  );
}

function statusOf(
  name: string,
  table: readonly RawTarget[],
  statuses: readonly RawTarget[],
): SnapshotStatus | undefined | 'changed' {
  const [only, ...more] = table;
  if (only === undefined || more.length > 0) return undefined;
  if (only.type !== 'snapshot' && only.type !== 'snapshot-merge') return undefined;
  const [status] = statuses;
  if (status?.type !== only.type) return 'changed';
  return parseSnapshotStatus(name, status.params);
}
