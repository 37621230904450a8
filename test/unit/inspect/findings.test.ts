import { expect, test } from 'vitest';
import type { Observed } from '../../../src/dm/kernel.ts';
import type { Target } from '../../../src/dm/table.ts';
import { errors, lengthOf } from '../../../src/dm/table.ts';
import type { DeviceKey } from '../../../src/vocabulary/ids.ts';
import { deviceKey, storeName, volumeId } from '../../../src/vocabulary/ids.ts';
import { unattended, viewPool } from '../../../src/inspect/pool.ts';
import type { Finding } from '../../../src/inspect/view.ts';
import { mib, sectors } from '../../../src/vocabulary/units.ts';
import {
  ALL,
  fork,
  forkRecord,
  friday,
  fridayRecord,
  lookOf,
  observedOf,
  reportOf,
  shop,
  shopRecord,
  thursday,
  thursdayRecord,
  wantedOf,
  withDevice,
} from './family.ts';

const view: DeviceKey = `${friday}-view`;
const top: DeviceKey = `${shop}-top`;

function findingsOf(observed: Observed, report = reportOf(ALL)): readonly Finding[] {
  const pool = viewPool({ report, observed, known: unattended(observed) });
  return [...pool.families.flatMap(({ findings }) => findings), ...pool.findings];
}
const right = lookOf().observed;
const told = (findings: readonly Finding[]): readonly string[] =>
  findings.map(({ kind, subject, message }) => `${kind} ${subject} ${message}`);

test('nothing, when all is as recorded', () => {
  expect(findingsOf(right)).toEqual([]);
  expect(findingsOf({ devices: new Map(), stores: new Map() })).toEqual([]);
});

test('a device that is suspended, or has an inactive table', () => {
  expect(told(findingsOf(withDevice(right, top, (device) => ({ ...device, suspended: true }))))).toEqual([
    `state ${top} is suspended: whoever reads or writes through it waits`,
  ]);
  const loaded = withDevice(right, top, (device) => ({ ...device, inactive: device.live }));
  expect(told(findingsOf(loaded))).toEqual([
    `state ${top} an inactive table is loaded, which the next resume would put in the place of the live one`,
  ]);
});

test('what is left behind for whoever has it open: the count, and who can tell', () => {
  const level: DeviceKey = `${shop}-level1`;
  const device = right.devices.get(top);
  const error: readonly Target[] = [{ type: 'error', length: sectors(2097152) }];
  const left = (openCount: number): Observed => ({
    ...right,
    devices: new Map([
      ...right.devices,
      ...(device === undefined ? [] : [[level, { ...device, key: level, live: error, openCount }] as const]),
    ]),
  });
  const [, minor] = device?.majorMinor.split(':') ?? [];
  expect(told(findingsOf(left(2)))).toEqual([
    `left-over ${level} goes when nobody has it open any more (count 2); 'fuser -v /dev/dm-${minor}' tells who does`,
  ]);
  expect(told(findingsOf(left(0)))).toEqual([`left-over ${level} is there, and nothing needs it`]);
});

test('a device that shows something else', () => {
  const longer = withDevice(right, top, (device) => ({
    ...device,
    live: [{ type: 'zero', length: sectors(2097152) }],
  }));
  expect(told(findingsOf(longer))).toEqual([
    `table ${top} shows '0 2097152 zero'; want '0 2097152 snapshot-origin device:${shop}-view'`,
  ]);
  expect(findingsOf(withDevice(right, view, (device) => ({ ...device, readOnly: false })))).toEqual([
    { kind: 'state', subject: view, message: 'can be written, and should be read-only' },
  ]);
});

test('law 4: a volume that can be written without what its writes feed', () => {
  const unfed = withDevice(right, view, () => undefined);
  expect(findingsOf(unfed)).toMatchObject([{ kind: 'not-fed', subject: view }]);
  const idle = { ...unfed, stores: new Map([...unfed.stores].filter(([store]) => store !== fridayRecord.store)) };
  expect(findingsOf(idle).map(({ kind, subject }) => [kind, subject])).toEqual([
    ['store', fridayRecord.store],
    ['not-fed', view],
  ]);
});

test('what nothing needs', () => {
  const more = observedOf(wantedOf(ALL, [shop, fork]));
  const known = { ...unattended(more), active: new Set([shop]) };
  const { families } = viewPool({ report: reportOf(ALL), observed: more, known });
  const kinds = families.flatMap(({ findings }) => findings.map(({ kind }) => kind));
  expect(new Set(kinds)).toEqual(new Set(['left-over']));
  // Two views and a top, with a cow and a tail, over two stores.
  expect(kinds).toHaveLength(3 + 2 + 2);
});

test('devices and stores of no record', () => {
  const key: DeviceKey = deviceKey(volumeId('v-0000000009'), 'view');
  const device = right.devices.get(top);
  if (device === undefined) throw new Error('no top');
  const store = storeName('sm_0000000099');
  const found = findingsOf({
    devices: new Map([...right.devices, [key, { ...device, key, live: undefined }]]),
    stores: new Map([...right.stores, [store, { store, majorMinor: '253:99', openCount: 0 }]]),
  });
  expect(found.map(({ kind, subject }) => [kind, subject])).toEqual([
    ['left-over', key],
    ['left-over', store],
  ]);
});

test.each([
  ['invalid', 'Invalid'],
  ['overflow', 'Overflow'],
  ['merge-failed', 'Merge failed'],
] as const)('what the kernel says: %s', (state, word) => {
  const lost = withDevice(right, view, (device) => ({ ...device, status: { state } }));
  expect(findingsOf(lost)).toMatchObject([{ kind: 'lost', subject: view }]);
  expect(findingsOf(lost)[0]?.message).toContain(word);
});

test('a tail that is suspended, and one of errors, in which a write without room would fail', () => {
  const tail: DeviceKey = `${fridayRecord.store}-tail0`;
  expect(told(findingsOf(withDevice(right, tail, (device) => ({ ...device, suspended: true }))))).toEqual([
    `state ${tail} is suspended: whoever reads or writes through it waits`,
  ]);
  const failing = withDevice(right, tail, (device) => ({ ...device, live: errors(lengthOf(device.live ?? [])) }));
  expect(told(findingsOf(failing))).toEqual([
    expect.stringMatching(new RegExp(`^table ${tail} shows '0 [0-9]+ error'; want '0 [0-9]+ mirror `)),
  ]);
});

test('a store that has grown, and whose tail does not know it', () => {
  const report = reportOf(ALL);
  const stores = report.stores.map((one) => (one.store === fridayRecord.store ? { ...one, size: mib(256) } : one));
  expect(findingsOf(right, { ...report, stores }).map(({ kind, subject }) => [kind, subject])).toEqual([
    ['table', `${fridayRecord.store}-tail1`],
    ['table', `${fridayRecord.store}-tail0`],
  ]);
});

test('two devices over one store', () => {
  const held = right.devices.get(view);
  if (held === undefined) throw new Error('no view');
  const key: DeviceKey = `${thursday}-view`;
  const twice = { ...right, devices: new Map([...right.devices, [key, { ...held, key }]]) };
  expect(findingsOf(twice)).toContainEqual({
    kind: 'law',
    subject: fridayRecord.store,
    message: `'${view}' and '${key}' hold its exceptions at once: one of them shows something wrong`,
  });
});

test('stores: rubbish, undecided ones, short ones, damaged ones', () => {
  const superseded = { ...thursdayRecord, store: storeName('sm_0000000008'), generation: 0 };
  const undecided = { ...forkRecord, store: storeName('sm_0000000009'), pending: '000000000t' };
  const report = reportOf([...ALL, superseded, undecided]);
  const stores = report.stores.map((store) =>
    store.store === shopRecord.store ? { ...store, size: mib(4), damaged: true } : store,
  );
  const found = findingsOf(right, { ...report, stores });
  expect(found.map(({ kind, subject }) => [kind, subject])).toEqual([
    ['store', shopRecord.store],
    ['store', shopRecord.store],
    ['left-over', superseded.store],
    ['left-over', undecided.store],
  ]);
  const known = { ...unattended(right), underWay: new Set(['000000000t']) };
  const { families } = viewPool({ report, observed: right, known });
  expect(families[0]?.findings).toHaveLength(1);
});
