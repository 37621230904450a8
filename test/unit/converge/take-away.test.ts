import { expect, test } from 'vitest';
import type { Desired } from '../../../src/converge/device.ts';
import type { Observed, ObservedDevice } from '../../../src/dm/kernel.ts';
import { leftBehind, plan } from '../../../src/converge/plan.ts';
import { stepText } from '../../../src/dm/step.ts';
import type { Table } from '../../../src/dm/table.ts';
import { onDevice, onStore } from '../../../src/dm/table.ts';
import type { DeviceKey, StoreName } from '../../../src/vocabulary/ids.ts';
import { deviceKey, storeDevice, storeName, volumeId } from '../../../src/vocabulary/ids.ts';
import { sectors } from '../../../src/vocabulary/units.ts';

const volume = volumeId('v-0000000001');
const store = storeName('sm_0000000001');
const [level1, level2, top] = [deviceKey(volume, 'level1'), deviceKey(volume, 'level2'), deviceKey(volume, 'top')];
const [cow, tail] = [storeDevice(store, 'cow'), storeDevice(store, 'tail0')];
const NOTHING: Desired = { devices: [], stores: new Set(), givenUp: new Set() };
const length = sectors(8);
const ERRORS: Table = [{ type: 'error', length }];

const over = (key: DeviceKey): Table => [{ type: 'linear', length, on: onDevice(key), offset: sectors(0) }];
const overStore: Table = [{ type: 'linear', length, on: onStore(store), offset: sectors(0) }];

function device(key: DeviceKey, live: Table, more: Partial<ObservedDevice> = {}): ObservedDevice {
  return {
    key,
    majorMinor: '253:1',
    live,
    inactive: undefined,
    suspended: false,
    readOnly: false,
    openCount: 0,
    status: undefined,
    ...more,
  };
}

function observed(devices: readonly ObservedDevice[], storeOpen?: number): Observed {
  return {
    devices: new Map(devices.map((one) => [one.key, one])),
    stores: new Map(storeOpen === undefined ? [] : [[store, { store, majorMinor: '253:0', openCount: storeOpen }]]),
  };
}

const stepsOf = (found: Observed, seenOpen: readonly (DeviceKey | StoreName)[] = []): readonly string[] =>
  plan(found, NOTHING, { seenOpen: new Set(seenOpen) }).map(stepText);

test('what nobody has open is removed, users before what they use', () => {
  const found = observed([device(level1, overStore, { openCount: 1 }), device(level2, over(level1))], 1);
  expect(stepsOf(found)).toEqual([`remove ${level2}`, `remove ${level1}`, `deactivate ${store}`]);
});

test.each([
  ['waits in it', { openCount: 1, suspended: true }, []],
  ['reads it', { openCount: 1 }, []],
  ['was seen to have it open', {}, [level2]],
] as const)('who %s gets errors first', (_, more, seenOpen) => {
  expect(stepsOf(observed([device(level2, overStore, more)]), seenOpen)).toEqual([
    `swap ${level2}: 0 8 error`,
    `remove ${level2}`,
  ]);
});

test('what stands still below it goes on first, from the bottom up, because its reads may wait there', () => {
  const found = observed([
    device(level1, overStore, { openCount: 1, suspended: true }),
    device(level2, over(level1), { openCount: 1, readOnly: true }),
  ]);
  expect(stepsOf(found)).toEqual([
    `swap ${level1}: 0 8 error`,
    `swap ${level2} (read-only): 0 8 error`,
    `remove ${level2}`,
    `remove ${level1}`,
  ]);
});

test('who reads the end of a store waits in the tail of an earlier version; who reads a snapshot over it does not, and it may still be fed', () => {
  const parts = [device(tail, ERRORS, { suspended: true, openCount: 1 }), device(cow, over(tail), { openCount: 1 })];
  const gone = [`remove ${cow}`, `remove ${tail}`];
  expect(stepsOf(observed(parts))).toEqual([`swap ${tail}: 0 8 error`, `swap ${cow}: 0 8 error`, ...gone]);
  const view = device(level1, over(cow), { openCount: 1 });
  expect(stepsOf(observed([...parts, view]))).toEqual([`swap ${level1}: 0 8 error`, `remove ${level1}`, ...gone]);
});

test('a device that never got a table is left, too', () => {
  const bare = { ...device(level1, ERRORS, { openCount: 1 }), live: undefined };
  expect(stepsOf(observed([bare]))).toEqual([]);
  expect(leftBehind(observed([bare]), NOTHING)).toEqual([level1]);
});

test('what shows only errors stays for as long as somebody has it open, and is told', () => {
  const left = observed([device(level1, ERRORS, { openCount: 1 })], 2);
  expect(stepsOf(left)).toEqual([]);
  expect(leftBehind(left, NOTHING)).toEqual([level1, store]);
  const closed = observed([device(level1, ERRORS)], 0);
  expect(stepsOf(closed)).toEqual([`remove ${level1}`, `deactivate ${store}`]);
  expect(leftBehind(closed, NOTHING)).toEqual([]);
});

test('a reader may wait in errors that stand still', () => {
  const found = observed([device(tail, ERRORS, { openCount: 1, suspended: true })]);
  expect(stepsOf(found)).toEqual([`swap ${tail}: 0 8 error`, `remove ${tail}`]);
});

test('a top never gets errors: who has it open may be its user', () => {
  const found = observed([device(top, over(level1), { openCount: 1 }), device(level1, overStore, { openCount: 1 })]);
  expect(stepsOf(found, [top])).toEqual([`remove ${top}`, `remove ${level1}`]);
});
