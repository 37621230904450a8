// Which devices of a pool there are, by name and number, as far as they were listed: what is remembered saves a listing for
// each step. A number may soon be another device's, so only what no removal overlapped is remembered.

import { fail } from '../vocabulary/errors.ts';
import type { DeviceKey, PoolName, StoreName } from '../vocabulary/ids.ts';
import { shareNext } from '../system/single-flight.ts';
import type { DeviceIndex, Scope } from './observed.ts';
import { indexOf } from './observed.ts';
import type { DeviceRow } from './parse.ts';

export interface KnownDevices {
  /** As remembered. */
  readonly index: () => DeviceIndex;
  /** Listed now, or with others who ask now. */
  readonly list: () => Promise<DeviceIndex>;
  /** Listed now, by a command of this call's own. */
  readonly listAnew: () => Promise<{ readonly index: DeviceIndex; readonly rows: readonly DeviceRow[] }>;
  /** `internal` when it is not there. */
  readonly row: (key: DeviceKey) => Promise<DeviceRow>;
  readonly created: (key: DeviceKey, row: DeviceRow) => void;
  readonly withoutDevice: <T>(key: DeviceKey, change: () => Promise<T>) => Promise<T>;
  readonly withoutStores: <T>(stores: readonly StoreName[], change: () => Promise<T>) => Promise<T>;
}

export interface KnownDevicesOptions {
  readonly pool: PoolName;
  readonly scope: Scope;
  readonly devicesNow: () => Promise<readonly DeviceRow[]>;
}

const NONE: DeviceIndex = { devices: new Map(), stores: new Map(), legs: new Map() };

export function createKnownDevices({ pool, scope, devicesNow }: KnownDevicesOptions): KnownDevices {
  let index = NONE;
  let removals = 0;
  let removing = 0;
  // A listing that was begun before a device was made does not know it.
  let creations = 0;
  const made = new Map<DeviceKey, { readonly number: number; readonly row: DeviceRow }>();
  const sharedDevices = shareNext(devicesNow, { what: `Cannot list the devices of pool '${pool}'` });

  const listBy = async (devices: () => Promise<readonly DeviceRow[]>): Promise<readonly DeviceRow[]> => {
    const before = removals;
    const known = creations;
    const rows = await devices();
    if (removing === 0 && removals === before) index = withNewer(indexOf(rows, scope), known);
    return rows;
  };

  const withNewer = (listed: DeviceIndex, known: number): DeviceIndex => {
    const newer = [...made].flatMap(([key, { number, row }]) =>
      number > known && !listed.devices.has(key) ? [[key, row] as const] : [],
    );
    return newer.length === 0 ? listed : { ...listed, devices: new Map([...listed.devices, ...newer]) };
  };

  const without = async <T>(forget: () => void, change: () => Promise<T>): Promise<T> => {
    forget();
    removing += 1;
    removals += 1;
    try {
      return await change();
    } finally {
      removing -= 1;
      removals += 1;
      forget();
    }
  };
  const forgetDevice = (key: DeviceKey): void => {
    made.delete(key);
    index = { ...index, devices: new Map([...index.devices].filter(([other]) => other !== key)) };
  };
  const forgetStores = (stores: readonly StoreName[]): void => {
    index = { ...index, stores: new Map([...index.stores].filter(([other]) => !stores.includes(other))) };
  };
  const list = async (): Promise<DeviceIndex> => indexOf(await listBy(sharedDevices), scope);

  return {
    index: () => index,
    list,
    listAnew: async () => {
      const rows = await listBy(devicesNow);
      return { index: indexOf(rows, scope), rows };
    },
    row: async (key) => {
      const known = index.devices.get(key) ?? (await list()).devices.get(key);
      return known ?? fail('internal', `Cannot find device '${key}' of pool '${pool}' in the kernel: it is not there`);
    },
    created: (key, row) => {
      creations += 1;
      made.set(key, { number: creations, row });
      index = { ...index, devices: new Map([...index.devices, [key, row]]) };
    },
    withoutDevice: (key, change) => without(() => forgetDevice(key), change),
    withoutStores: (stores, change) => without(() => forgetStores(stores), change),
  };
}
