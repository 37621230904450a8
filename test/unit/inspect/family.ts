// One family for the tests of what is shown: shop with the snapshots thursday and friday, and a fork of thursday. Records,
// the report that holds them, and devices as they would be if all were right.

import { UNMARKED } from '../../../src/records/record.ts';
import { buildFamily } from '../../../src/records/build-forest.ts';
import type { Desired } from '../../../src/converge/device.ts';
import { desired } from '../../../src/converge/desired.ts';
import type { Observed, ObservedDevice } from '../../../src/dm/kernel.ts';
import type { SnapshotStatus } from '../../../src/dm/status.ts';
import type { Table } from '../../../src/dm/table.ts';
import { onStore } from '../../../src/dm/table.ts';
import {
  ID_ALPHABET,
  poolName,
  snapshotId,
  storeDevice,
  storeName,
  vgUuid,
  volumeId,
} from '../../../src/vocabulary/ids.ts';
import type { DeviceKey } from '../../../src/vocabulary/ids.ts';
import type { PoolReport } from '../../../src/lvm/lvm.ts';
import type { Entity, RestoreMark, StoreRecord } from '../../../src/records/record.ts';
import { writeTags } from '../../../src/records/tags.ts';
import { bytes, gib, kib, mib, sectors } from '../../../src/vocabulary/units.ts';
import type { Bytes } from '../../../src/vocabulary/units.ts';
import { unattended } from '../../../src/inspect/pool.ts';
import type { Look } from '../../../src/inspect/pool.ts';

export const POOL = poolName('fast');
export const VG_UUID = vgUuid('AbCdEf0123456789AbCdEf0123456789');
export const NAMES = { pool: POOL, vgName: 'vg-fast', vgUuid: VG_UUID };

export const shop = volumeId('v-00000000sh');
export const thursday = snapshotId('s-00000000th');
export const friday = snapshotId('s-00000000fr');
export const fork = volumeId('v-00000000fk');

export const parameters = {
  layout: 'linear',
  chunk: kib(32),
  snapshotReservePercent: 10,
  onFull: 'wait',
  scratch: false,
} as const;

const rest = { ...UNMARKED, family: shop };

const volume = (id: typeof shop, name: string, createdMs: number): Entity => ({
  kind: 'volume',
  id,
  name: { as: 'text', text: name },
  size: gib(1),
  createdMs,
  parameters,
  source: id === fork ? { from: 'snapshot', snapshot: thursday } : undefined,
});
const snapshot = (id: typeof thursday, name: string, createdMs: number): Entity => ({
  kind: 'snapshot',
  id,
  volume: shop,
  name: { as: 'text', text: name },
  size: gib(1),
  createdMs,
  parameters,
});

export const shopRecord: StoreRecord = {
  ...rest,
  store: storeName('sm_0000000001'),
  entity: volume(shop, 'shop', 1000),
  place: { kind: 'root' },
  chunk: undefined,
  window: undefined,
};
const cow = { ...rest, chunk: kib(32), window: gib(1) } as const;
export const thursdayRecord: StoreRecord = {
  ...cow,
  store: storeName('sm_0000000002'),
  entity: snapshot(thursday, 'thursday', 2000),
  place: { kind: 'chain', volume: shop, seq: 1 },
};
export const fridayRecord: StoreRecord = {
  ...cow,
  store: storeName('sm_0000000003'),
  entity: snapshot(friday, 'friday', 3000),
  place: { kind: 'chain', volume: shop, seq: 2 },
};
export const forkRecord: StoreRecord = {
  ...cow,
  store: storeName('sm_0000000004'),
  entity: volume(fork, 'test-a', 4000),
  place: { kind: 'fork', snapshot: thursday },
};
export const ALL: readonly StoreRecord[] = [shopRecord, thursdayRecord, fridayRecord, forkRecord];

/** The records with shop being restored to friday, which is kept in a fresh store. */
export function restoring(): readonly StoreRecord[] {
  const token = '0000000009';
  const mark: RestoreMark = {
    token,
    mode: 'origin',
    snapshot: friday,
    into: undefined,
    stack: [fridayRecord.store],
    size: gib(1),
    keepSnapshot: true,
    safetySnapshot: undefined,
    totalBytes: mib(400),
    startedMs: 5000,
  };
  return [
    { ...shopRecord, restore: mark },
    thursdayRecord,
    fridayRecord,
    { ...fridayRecord, store: storeName('sm_0000000005'), generation: 2, pending: token },
    forkRecord,
  ];
}

/** Shop with so many snapshots, and a fork of the oldest. */
export function deepRecords(count: number): readonly StoreRecord[] {
  const idOf = (n: number): string => `${ID_ALPHABET[n >> 5]}${ID_ALPHABET[n & 31]}`.padStart(10, '7');
  const snapshots = Array.from({ length: count }, (_, n): StoreRecord => ({
    ...fridayRecord,
    store: storeName(`sm_${idOf(n)}`),
    entity: { ...fridayRecord.entity, kind: 'snapshot', volume: shop, id: snapshotId(`s-${idOf(n)}`) },
    place: { kind: 'chain', volume: shop, seq: n },
  }));
  const fork: StoreRecord = { ...forkRecord, place: { kind: 'fork', snapshot: snapshotId(`s-${idOf(0)}`) } };
  return [shopRecord, ...snapshots, fork];
}

export function reportOf(records: readonly StoreRecord[], more: Partial<PoolReport> = {}): PoolReport {
  return {
    vgName: NAMES.vgName,
    vgUuid: VG_UUID,
    extent: mib(4),
    size: gib(100),
    free: gib(80),
    seqno: 7,
    metadataSize: mib(64),
    metadataFree: mib(60),
    physicalVolumes: [{ path: '/dev/vdc', size: gib(100), free: gib(80), missing: false, closed: false }],
    stores: records.map((record) => ({
      store: record.store,
      tags: writeTags(record),
      size: record.place.kind === 'root' ? gib(1) : mib(128),
      active: true,
      layout: 'linear',
      damaged: false,
    })),
    strangers: 0,
    ...more,
  };
}

export type InUse = readonly (typeof shop)[];

export function wantedOf(records: readonly StoreRecord[], inUse: InUse): Desired {
  const sizes = new Map(reportOf(records).stores.map(({ store, size }) => [store, size]));
  return desired(buildFamily(shop, records, sizes), { volumes: new Set(inUse), pinned: new Set() });
}

/** All as it should be: every snapshot uses `used` bytes of its store, `metadata` of them for itself. */
export function observedOf(wanted: Desired, used: Bytes = mib(40), metadata: Bytes = bytes(0)): Observed {
  const devices = wanted.devices.map(({ key, table, readOnly }, index): [DeviceKey, ObservedDevice] => [
    key,
    {
      key,
      majorMinor: `253:${index}`,
      live: table,
      inactive: undefined,
      suspended: false,
      readOnly,
      openCount: key.endsWith('-top') ? 1 : 0,
      status: table[0]?.type.startsWith('snapshot') === true && 'cow' in table[0] ? counts(used, metadata) : undefined,
    },
  ]);
  const stores = [...wanted.stores].map(
    (store, index) => [store, { store, majorMinor: `253:${100 + index}`, openCount: 1 }] as const,
  );
  return { devices: new Map(devices), stores: new Map(stores) };
}

function counts(used: Bytes, metadata: Bytes): SnapshotStatus {
  return {
    state: 'counts',
    used: sectors(used / 512n),
    total: sectors(mib(128) / 512n),
    metadata: sectors(metadata / 512n),
  };
}

/** `change` takes one device, and says what is found in its place; undefined: nothing. */
export function withDevice(
  observed: Observed,
  key: DeviceKey,
  change: (device: ObservedDevice) => ObservedDevice | undefined,
): Observed {
  const devices = new Map(observed.devices);
  const before = devices.get(key);
  if (before === undefined) throw new Error(`no device ${key}`);
  const after = change(before);
  if (after === undefined) devices.delete(key);
  else devices.set(key, after);
  return { ...observed, devices };
}

/** Shop with thursday alone, whose store goes on in its tail, which somebody has suspended. */
export function standingTail() {
  const wanted = wantedOf([shopRecord, thursdayRecord], [shop]);
  const cow = storeDevice(thursdayRecord.store, 'cow');
  const tail = storeDevice(thursdayRecord.store, 'tail0');
  const [body, rest] = wanted.devices.find(({ key }) => key === cow)?.table ?? [];
  if (body === undefined || rest === undefined) throw new Error('the store has no tail');
  const live: Table = [{ type: 'linear', length: rest.length, on: onStore(thursdayRecord.store), offset: body.length }];
  const found = withDevice(observedOf(wanted), tail, (device) => ({ ...device, live, suspended: true }));
  return { wanted, tail, found };
}

export function lookOf(records: readonly StoreRecord[] = ALL, inUse: InUse = [shop]): Look {
  const observed = observedOf(wantedOf(records, inUse));
  return { report: reportOf(records), observed, known: unattended(observed) };
}
