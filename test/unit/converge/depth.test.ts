// How deep devices lie on each other, and the last word on it: nothing is loaded that would lie deeper than is safe, and
// what lies so already is none of its business.

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { converge } from '../../../src/converge/converge.ts';
import { MOST_NESTED, deepest, depthsOf, imageDepths, liveDepths } from '../../../src/converge/depth.ts';
import { desired } from '../../../src/converge/desired.ts';
import { buildFamily } from '../../../src/records/build-forest.ts';
import type { Kernel, Observed } from '../../../src/dm/kernel.ts';
import { inTurn } from '../../../src/dm/kernel.ts';
import type { Step } from '../../../src/dm/step.ts';
import { onDevice, onStore } from '../../../src/dm/table.ts';
import type { Table } from '../../../src/dm/table.ts';
import { deviceKey, storeName, volumeId } from '../../../src/vocabulary/ids.ts';
import type { DeviceKey } from '../../../src/vocabulary/ids.ts';
import type { StoreRecord } from '../../../src/records/record.ts';
import { silentLog } from '../../../src/vocabulary/ports.ts';
import { gib, mib, sectors } from '../../../src/vocabulary/units.ts';
import { ALL, deepRecords, forkRecord, observedOf, restoring, shop, thursday } from '../inspect/family.ts';

const keyOf = (n: number): DeviceKey => deviceKey(volumeId(`v-${n.toString().padStart(10, '0')}`), 'view');
const linear = (below: number): Table[number] =>
  below < 0
    ? { type: 'linear', length: sectors(8n), on: onStore(storeName('sm_0000000001')), offset: sectors(0) }
    : { type: 'linear', length: sectors(8n), on: onDevice(keyOf(below)), offset: sectors(0) };

test('a device lies one deeper than the deepest that its table names, in whatever order they are given', () => {
  // Each names some of those before it.
  const tables = fc.array(fc.array(fc.nat(30), { maxLength: 3 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(tables, fc.infiniteStream(fc.nat()), (lists, order) => {
      const lower = lists.map((list, n) => list.flatMap((one) => (n === 0 ? [] : [one % n])));
      const devices = lower.map((below, n) => ({
        key: keyOf(n),
        table: below.length === 0 ? [linear(-1)] : below.map(linear),
      }));
      const shuffled = devices
        .map((device) => ({ device, at: order.next().value ?? 0 }))
        .sort((a, b) => a.at - b.at)
        .map(({ device }) => device);
      const naive = (n: number): number => 1 + Math.max(0, ...(lower[n] ?? []).map(naive));
      const found = depthsOf(shuffled);
      expect([...found.keys()].sort()).toEqual(devices.map(({ key }) => key).sort());
      for (let n = 0; n < lists.length; n += 1) expect(found.get(keyOf(n))).toBe(naive(n));
    }),
  );
});

function familyWith(records: readonly StoreRecord[]) {
  return buildFamily(shop, records, new Map(records.map(({ store }) => [store, gib(2)])));
}

const forkId = forkRecord.entity.id;

test('each snapshot is a device; a top, a view, the volume’s view and what a store grows into are four more', () => {
  const records = deepRecords(10);
  // Stores that cannot grow any more have no tail.
  expect(imageDepths(familyWith(records)).get(forkId)).toBe(1 + 1 + 10 + 1);
  const growing = buildFamily(shop, records, new Map(records.map(({ store }) => [store, mib(128)])));
  expect(imageDepths(growing).get(forkId)).toBe(1 + 1 + 10 + 2);
});

test('the levels of a restore lie below all that reads through the volume', () => {
  const before = imageDepths(familyWith(ALL));
  const during = imageDepths(familyWith(restoring()));
  expect(during.get(shop)).toBe((before.get(shop) ?? 0) + 1);
  expect(during.get(thursday)).toBe((before.get(thursday) ?? 0) + 1);
  expect(during.get(forkId)).toBe((before.get(forkId) ?? 0) + 1);
});

const NOTHING: Observed = { devices: new Map(), stores: new Map() };
const deep = familyWith(deepRecords(MOST_NESTED));
const wantedDeep = desired(deep, { volumes: new Set([volumeId(forkId)]), pinned: new Set() });
const depth = 1 + 1 + MOST_NESTED + 1;

test('what would lie too deep is named by its deepest device, unless it lies so already', () => {
  expect(deepest(wantedDeep, undefined)).toEqual({ key: deviceKey(forkId, 'top'), depth, most: MOST_NESTED });
  expect(deepest(wantedDeep, NOTHING)).toEqual({ key: deviceKey(forkId, 'top'), depth, most: MOST_NESTED });
  expect(deepest(wantedDeep, NOTHING, () => depth)).toBeUndefined();
  const shown = observedOf(wantedDeep);
  expect(liveDepths(shown).get(deviceKey(forkId, 'top'))).toBe(depth);
  expect(deepest(wantedDeep, shown)).toBeUndefined();
  const deeper = desired(familyWith(deepRecords(MOST_NESTED + 1)), {
    volumes: new Set([volumeId(forkId)]),
    pinned: new Set(),
  });
  expect(deepest(deeper, shown)).toMatchObject({ key: deviceKey(forkId, 'top'), depth: depth + 1 });
});

test('converge shows nothing that would lie too deep, and goes on with what lies so', async () => {
  const tried: Step[] = [];
  const convergeFrom = async (observed: Observed): Promise<void> => {
    tried.length = 0;
    const kernel: Kernel = {
      observe: () => Promise.resolve(observed),
      statuses: () => Promise.resolve(new Map()),
      apply: inTurn(async (step) => void tried.push(step)),
    };
    const neighbours = {
      alone: <T>(work: () => Promise<T>): Promise<T> => work(),
      changes: () => 0,
      beforeFreeze: () => Promise.resolve(),
    };
    const leavers = { finalUse: () => Promise.resolve(undefined), lost: () => undefined };
    await converge(kernel, deep, wantedDeep, silentLog, { neighbours, leavers, mayGo: new Set() });
  };
  await expect(convergeFrom(NOTHING)).rejects.toMatchObject({
    kind: 'precondition',
    message: `Cannot show '${forkId}-top': ${depth} devices would lie on top of each other, and more than ${MOST_NESTED} could bring the kernel down`,
  });
  expect(tried).toEqual([]);
  const shown = observedOf(wantedDeep);
  const stray = deviceKey(thursday, 'pad');
  const [some] = shown.devices.values();
  if (some === undefined) throw new Error('nothing is shown');
  const withStray = { ...shown, devices: new Map([...shown.devices, [stray, { ...some, key: stray }] as const]) };
  await convergeFrom(shown);
  expect(tried).toEqual([]);
  await convergeFrom(withStray);
  expect(tried).toEqual([{ do: 'remove', device: stray }]);
});
