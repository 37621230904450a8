// The example of the kernel's own document on snapshots (one volume, one snapshot, four tables) as a golden test: the
// smallest case of our tree is what LVM2 makes, and must stay recognisable.

import { expect, test } from 'vitest';
import { desired } from '../../../src/converge/desired.ts';
import { buildFamily } from '../../../src/records/build-forest.ts';
import { tableText } from '../../../src/dm/table.ts';
import type { StoreName } from '../../../src/vocabulary/ids.ts';
import { snapshotId, storeName, volumeId } from '../../../src/vocabulary/ids.ts';
import { UNMARKED } from '../../../src/records/record.ts';
import type { StoreRecord } from '../../../src/records/record.ts';
import { readTags, writeTags } from '../../../src/records/tags.ts';
import type { Bytes } from '../../../src/vocabulary/units.ts';
import { gib, kib, mib } from '../../../src/vocabulary/units.ts';

const base = volumeId('v-0000000001');
const snap = snapshotId('s-0000000001');
const parameters = {
  layout: 'linear',
  chunk: kib(8),
  snapshotReservePercent: 10,
  onFull: 'wait',
  scratch: false,
} as const;

const rest = { ...UNMARKED, family: base };

const data: StoreRecord = {
  ...rest,
  store: storeName('sm_0000000001'),
  entity: {
    kind: 'volume',
    id: base,
    name: { as: 'text', text: 'base' },
    size: gib(1),
    createdMs: 1,
    parameters,
    source: undefined,
  },
  place: { kind: 'root' },
  chunk: undefined,
  window: undefined,
};

const cow: StoreRecord = {
  ...rest,
  store: storeName('sm_0000000002'),
  entity: {
    kind: 'snapshot',
    id: snap,
    volume: base,
    name: { as: 'text', text: 'snap' },
    size: gib(1),
    createdMs: 2,
    parameters,
  },
  place: { kind: 'chain', volume: base, seq: 1 },
  chunk: kib(8),
  window: gib(1),
};

/** As the kernel has it: no tail. */
const drop = (record: StoreRecord): StoreRecord => ({
  ...record,
  entity: { ...record.entity, parameters: { ...parameters, onFull: 'drop' } },
});
const sizes: ReadonlyMap<StoreName, Bytes> = new Map([[cow.store, mib(100)]]);

const linesOf = (records: readonly StoreRecord[]): readonly string[] =>
  desired(buildFamily(base, records, sizes), { volumes: new Set([base]), pinned: new Set() }).devices.map(
    ({ key, table }) => `${key}: ${tableText(table)}`,
  );

test('base and snap: base-real linear, snap over it, base an origin', () => {
  expect(linesOf([data, drop(cow)])).toEqual([
    // base-real: 0 2097152 linear 8:19 384
    'v-0000000001-view: 0 2097152 linear store:sm_0000000001 0',
    // snap: 0 2097152 snapshot 254:11 254:12 P 16
    's-0000000001-view: 0 2097152 snapshot device:v-0000000001-view store:sm_0000000002 P 16',
    // base: 0 2097152 snapshot-origin 254:11
    'v-0000000001-top: 0 2097152 snapshot-origin device:v-0000000001-view',
  ]);
});

test('a store that may run full ends in a tail, which holds what is written there', () => {
  const { devices } = desired(buildFamily(base, [data, cow], sizes), { volumes: new Set([base]), pinned: new Set() });
  expect(devices.map(({ key, table }) => `${key}: ${tableText(table)}`)).toEqual([
    'v-0000000001-view: 0 2097152 linear store:sm_0000000001 0',
    // 1 GiB of 8 KiB chunks, an area of metadata for each 512 of them and one more, the header
    'sm_0000000002-tail0: 0 1896496 mirror core 2 1048576 nosync 2 leg:zero 0 leg:error 0 1 handle_errors',
    'sm_0000000002-cow: 0 204800 linear store:sm_0000000002 0\n204800 1896496 linear device:sm_0000000002-tail0 0',
    's-0000000001-view: 0 2097152 snapshot device:v-0000000001-view device:sm_0000000002-cow P 16',
    'v-0000000001-top: 0 2097152 snapshot-origin device:v-0000000001-view',
  ]);
});

test('base restored to snap: merged below base-real, the kept snap gets a fresh store', () => {
  const fresh = storeName('sm_0000000003');
  const restoring: StoreRecord = {
    ...data,
    restore: {
      token: '0000000009',
      mode: 'origin',
      snapshot: snap,
      into: undefined,
      size: gib(1),
      stack: [cow.store],
      keepSnapshot: true,
      safetySnapshot: undefined,
      totalBytes: kib(8),
      startedMs: 3,
    },
  };
  const kept: StoreRecord = { ...cow, store: fresh, generation: 2, pending: '0000000009' };
  expect(linesOf([restoring, cow, drop(kept)])).toEqual([
    // base-real: 0 2097152 snapshot-merge 254:11 254:12 P 16
    'v-0000000001-level1: 0 2097152 snapshot-merge store:sm_0000000001 store:sm_0000000002 P 16',
    // in between, so that the volume can grow while its merges go on as they are
    'v-0000000001-view: 0 2097152 linear device:v-0000000001-level1 0',
    's-0000000001-view: 0 2097152 snapshot device:v-0000000001-view store:sm_0000000003 P 16',
    'v-0000000001-top: 0 2097152 snapshot-origin device:v-0000000001-view',
  ]);
});

test('without a snapshot the top is linear, and nothing else is needed', () => {
  expect(linesOf([data])).toEqual([
    'v-0000000001-view: 0 2097152 linear store:sm_0000000001 0',
    'v-0000000001-top: 0 2097152 linear device:v-0000000001-view 0',
  ]);
});

test.each([data, cow])('tags say what the record says, and are read back as it', (record) => {
  expect(readTags(record.store, writeTags(record))).toEqual(record);
});

test('what is not understood is refused', () => {
  const tags = writeTags(cow);
  expect(() => readTags(cow.store, [...tags, 'sm.colour=red'])).toThrow("'sm.colour=red' is unknown to this version");
  expect(() => readTags(cow.store, [...tags, 'sm.gen=2'])).toThrow("there are two of 'sm.gen'");
  expect(() =>
    readTags(
      cow.store,
      tags.map((tag) => tag.replace('sm.v=1', 'sm.v=2')),
    ),
  ).toThrow("version '2' is unknown");
  expect(() =>
    readTags(
      cow.store,
      tags.filter((tag) => !tag.startsWith('sm.place')),
    ),
  ).toThrow("'sm.place' is missing");
});

test('records that contradict each other stop their family, by name', () => {
  const twin: StoreRecord = { ...cow, store: storeName('sm_0000000007') };
  expect(() => buildFamily(base, [data, cow, twin], sizes)).toThrow('are generation 1 of');
  expect(() => buildFamily(base, [cow], sizes)).toThrow("hangs on 'v-0000000001', which is not there");
});
