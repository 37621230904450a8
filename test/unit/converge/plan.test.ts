// Laws of the planner as properties: from any prefix of any plan, planning again ends in what is wanted; planning once
// more gives no steps; whoever is suspended is resumed or removed; a held store is read only while its holders stand
// still; what is fed goes on before its writer.

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Desired } from '../../../src/converge/device.ts';
import { bottomUp, devicesBelow } from '../../../src/converge/device.ts';
import { desired } from '../../../src/converge/desired.ts';
import { buildFamily } from '../../../src/records/build-forest.ts';
import { chainOf } from '../../../src/records/family.ts';
import type { Family } from '../../../src/records/family.ts';
import type { Observed, ObservedDevice } from '../../../src/dm/kernel.ts';
import { HeldOpen } from '../../../src/dm/kernel.ts';
import { plan } from '../../../src/converge/plan.ts';
import type { Step } from '../../../src/dm/step.ts';
import { errors, heldStores, lengthOf, sameTable, showsErrors } from '../../../src/dm/table.ts';
import type { Table } from '../../../src/dm/table.ts';
import { fitTails, nested } from '../../../src/converge/tails.ts';
import type { DeviceKey, SnapshotId, StoreName, VolumeId } from '../../../src/vocabulary/ids.ts';
import {
  deviceKey,
  isTail,
  isTop,
  snapshotId,
  storeDevice,
  storeOf,
  storeName,
  volumeId,
} from '../../../src/vocabulary/ids.ts';
import { UNMARKED } from '../../../src/records/record.ts';
import type { Place, StoreRecord } from '../../../src/records/record.ts';
import type { Bytes } from '../../../src/vocabulary/units.ts';
import { kib, mib, sectors } from '../../../src/vocabulary/units.ts';
import {
  fork as forkId,
  forkRecord,
  fridayRecord,
  observedOf,
  shop,
  shopRecord,
  standingTail,
  thursdayRecord,
  wantedOf,
  withDevice,
} from '../inspect/family.ts';

const id = (n: number): string => n.toString().padStart(10, '0');
const ROOT = volumeId(`v-${id(1)}`);

/** A member: a snapshot of, or a fork of, an earlier one. */
const member = fc.record({ isFork: fc.boolean(), of: fc.nat(20), deleted: fc.boolean(), larger: fc.boolean() });
const members = fc.array(member, { maxLength: 9 });

type Member = typeof member extends fc.Arbitrary<infer T> ? T : never;

function recordsOf(list: readonly Member[]): readonly StoreRecord[] {
  const records: StoreRecord[] = [];
  const volumes: VolumeId[] = [];
  const snapshots: SnapshotId[] = [];
  const add = (n: number, place: Place, snapshotOf: VolumeId | undefined, deleted: boolean, larger: boolean): void => {
    const facts = {
      name: { as: 'text', text: `n${n}` },
      size: larger ? mib(2) : mib(1),
      createdMs: n,
      parameters: { layout: 'linear', chunk: kib(8), snapshotReservePercent: 10, onFull: 'wait', scratch: false },
    } as const;
    const root = place.kind === 'root';
    records.push({
      ...UNMARKED,
      store: storeName(`sm_${id(n)}`),
      family: ROOT,
      entity:
        snapshotOf === undefined
          ? { ...facts, kind: 'volume', id: volumeId(`v-${id(n)}`), source: undefined }
          : { ...facts, kind: 'snapshot', id: snapshotId(`s-${id(n)}`), volume: snapshotOf },
      place,
      chunk: root ? undefined : kib(8),
      window: root ? undefined : mib(1),
      deleted,
    });
    if (snapshotOf === undefined) volumes.push(volumeId(`v-${id(n)}`));
    else snapshots.push(snapshotId(`s-${id(n)}`));
  };
  add(1, { kind: 'root' }, undefined, false, false);
  list.forEach(({ isFork, of, deleted, larger }, index) => {
    const n = index + 2;
    const snapshot = snapshots[of % Math.max(1, snapshots.length)];
    const volume = volumes[of % volumes.length] ?? ROOT;
    if (isFork && snapshot !== undefined) add(n, { kind: 'fork', snapshot }, undefined, deleted, larger);
    else add(n, { kind: 'chain', volume, seq: n }, volume, deleted, false);
  });
  return records;
}

function wantedFor(family: Family, use: readonly number[], holdsMerges = false): Desired {
  const volumes = [...family.nodes.values()].flatMap(({ id: each, record }) =>
    record.entity.kind === 'volume' && !record.deleted && each === record.entity.id ? [record.entity.id] : [],
  );
  return desired(family, {
    volumes: new Set(volumes.filter((_, index) => use.includes(index))),
    pinned: new Set([...family.nodes.keys()].filter((_, index) => use.includes(index + 10))),
    holdsMerges,
  });
}

interface Dev {
  live: Table | undefined;
  inactive: Table | undefined;
  suspended: boolean;
  readOnly: boolean;
  nextReadOnly: boolean;
}

interface World {
  /** Devices that somebody has open: they are not removed. */
  readonly held?: ReadonlySet<DeviceKey>;
  readonly devices: Map<DeviceKey, Dev>;
  readonly stores: Set<string>;
  givenUp: ReadonlySet<string>;
}

/** How large each store is: a quarter of what it can need, and a third more with each growth. */
function sizesOf(records: readonly StoreRecord[], growth = 0): ReadonlyMap<StoreName, Bytes> {
  return new Map(records.map(({ store }) => [store, kib(320 + 128 * growth)]));
}

const familyOf = (records: readonly StoreRecord[], growth = 0): Family =>
  buildFamily(ROOT, records, sizesOf(records, growth));

/** The last tail under each store that a table holds, where there is one. */
function tailsUnder(world: World, table: Table): readonly DeviceKey[] {
  const below = (key: DeviceKey): readonly DeviceKey[] => {
    const live = world.devices.get(key)?.live ?? [];
    return isTail(key) && live[0]?.type !== 'linear' ? [key] : devicesBelow(live).flatMap(below);
  };
  return table.flatMap((target) => ('cow' in target && target.cow.on === 'device' ? below(target.cow.device) : []));
}

/** What writes as soon as it is live must find no tail that would fail a write. */
function checkHeld(world: World, key: DeviceKey, table: Table): void {
  const writes = key.endsWith('-top') || table.some(({ type }) => type === 'snapshot-merge');
  const lainOn = new Set([...world.devices.values()].flatMap(({ live }) => devicesBelow(live ?? [])));
  const failing = [...world.devices].filter(
    ([k, { live, suspended }]) => isTail(k) && lainOn.has(k) && live?.[0]?.type === 'error' && !suspended,
  );
  const others = failing.filter(([k]) => !tailsUnder(world, table).includes(k) && !world.givenUp.has(storeOf(k) ?? ''));
  if (writes && others.length > 0) throw new Error(`${key} may write while ${others[0]?.[0]} would fail that`);
}

/** The steps' plain meaning, with the rules that must not be broken. */
function apply(world: World, step: Step): void {
  if (step.do === 'activate') return step.stores.forEach((store) => world.stores.add(store));
  if (step.do === 'deactivate') return step.stores.forEach((store) => world.stores.delete(store));
  if (step.do === 'create') {
    const empty = { live: undefined, inactive: undefined, suspended: false, readOnly: false, nextReadOnly: false };
    return void world.devices.set(step.device, empty);
  }
  if (step.do === 'make') {
    apply(world, { do: 'create', device: step.device });
    apply(world, { ...step, do: 'load' });
    return apply(world, { do: 'resume', device: step.device });
  }
  if (step.do === 'swap') {
    apply(world, { ...step, do: 'load' });
    return apply(world, { do: 'resume', device: step.device });
  }
  const device = world.devices.get(step.device);
  if (device === undefined) throw new Error(`${step.do} of ${step.device}, which is not there`);
  switch (step.do) {
    case 'load': {
      for (const below of devicesBelow(step.table)) {
        const under = world.devices.get(below);
        if (under?.live === undefined && under?.inactive === undefined) throw new Error(`${below} cannot be opened`);
      }
      for (const [key, other] of world.devices) {
        const shared = heldStores(other.live).some((store) => heldStores(step.table).includes(store));
        if (shared && !other.suspended) throw new Error(`${step.device} reads a store that ${key} is using`);
      }
      for (const target of step.table) {
        const cow = 'cow' in target && target.cow.on === 'device' ? target.cow.device : undefined;
        if (cow !== undefined && showsErrors(world.devices.get(cow)?.live))
          throw new Error(`${step.device} would read its store through ${cow}, which shows errors`);
      }
      for (const tail of tailsUnder(world, step.table)) {
        if (world.devices.get(tail)?.suspended === true)
          throw new Error(`${step.device} would read ahead into ${tail}`);
      }
      device.inactive = step.table;
      device.nextReadOnly = step.readOnly;
      return;
    }
    case 'clear':
      device.inactive = undefined;
      return;
    case 'suspend': {
      // A suspend waits for what is on its way through the device, and that waits where something below is suspended.
      const below = allBelow(world, step.device).filter((key) => !isTail(key));
      const stuck = below.find((key) => world.devices.get(key)?.suspended === true);
      if (stuck !== undefined) throw new Error(`${step.device} is suspended after ${stuck}, which it lies on`);
      device.suspended = true;
      return;
    }
    case 'flush':
      if (device.suspended || device.live === undefined)
        throw new Error(`a flush of ${step.device} would wait for ever`);
      return;
    case 'resume':
      checkHeld(world, step.device, device.inactive ?? device.live ?? []);
      if (device.inactive !== undefined) {
        device.live = device.inactive;
        device.readOnly = device.nextReadOnly;
        device.inactive = undefined;
      }
      device.suspended = false;
      return;
    case 'remove':
      for (const [key, other] of world.devices) {
        if (devicesBelow(other.live ?? []).includes(step.device))
          throw new Error(`${key} still lies on ${step.device}`);
      }
      if (world.held?.has(step.device) === true) throw new HeldOpen(step.device, 'somebody has it open');
      world.devices.delete(step.device);
  }
}

function applyAll(world: World, wanted: Desired): void {
  world.givenUp = wanted.givenUp;
  const seenOpen = new Set<DeviceKey | StoreName>();
  // What is found open gets errors from the next plan, and is left behind by the one after that.
  for (let round = 0; round <= 2 * (world.held?.size ?? 0); round += 1) {
    try {
      for (const step of plan(observe(world), wanted, { seenOpen })) apply(world, step);
      return;
    } catch (error) {
      if (!(error instanceof HeldOpen)) throw error;
      seenOpen.add(error.held);
    }
  }
  throw new Error('what is held open is tried again and again');
}

/** A prefix, and half of the stores of an activation that comes next: LVM takes them one by one. */
function applySome(world: World, steps: readonly Step[], count: number): void {
  for (const step of steps.slice(0, count)) apply(world, step);
  const next = steps[count];
  if (next?.do !== 'activate' && next?.do !== 'deactivate') return;
  apply(world, { ...next, stores: next.stores.slice(0, Math.ceil(next.stores.length / 2)) });
}

function allBelow(world: World, key: DeviceKey): readonly DeviceKey[] {
  const below = devicesBelow(world.devices.get(key)?.live ?? []);
  return [...below, ...below.flatMap((under) => allBelow(world, under))];
}

function observe(world: World): Observed {
  const devices = new Map<DeviceKey, ObservedDevice>();
  for (const [key, { live, inactive, suspended, readOnly }] of world.devices) {
    devices.set(key, {
      key,
      majorMinor: '253:0',
      live,
      inactive,
      suspended,
      readOnly,
      openCount: world.held?.has(key) === true ? 1 : 0,
      status: undefined,
    });
  }
  const stores = [...world.stores].map(storeName);
  return { devices, stores: new Map(stores.map((store) => [store, { store, majorMinor: '253:1', openCount: 0 }])) };
}

function isAsWanted(world: World, desired: Desired): boolean {
  // Cows may be nested: that is as good as flat.
  const wanted = fitTails(desired, observe(world), new Set()).devices;
  return (
    world.devices.size === wanted.length &&
    wanted.every(({ key, table, readOnly }) => {
      const found = world.devices.get(key);
      return (
        found?.live !== undefined &&
        sameTable(found.live, table) &&
        found.inactive === undefined &&
        !found.suspended &&
        found.readOnly === readOnly
      );
    })
  );
}

/** One in so many tails becomes what it was in earlier versions; with 0 none does. */
function age(world: World, one: number): void {
  const tails = [...world.devices].filter(([key, { live }]) => isTail(key) && live?.[0]?.type === 'hold');
  tails.forEach(([, device], index) => {
    if (one === 0 || index % one > 0) return;
    device.live = errors(lengthOf(device.live ?? []));
    device.suspended = true;
  });
}

const uses = fc.array(fc.nat(19), { maxLength: 8 });

test('from any prefix of a plan, planning again ends in what is wanted, and then gives no steps', () => {
  fc.assert(
    fc.property(members, fc.nat(9), uses, uses, fc.nat(60), fc.nat(3), (list, cut, before, after, stop, old) => {
      const world: World = { devices: new Map(), stores: new Set(), givenUp: new Set() };
      // First a smaller family in some use, then the whole one in another: snapshots and forks appear under users.
      const first = wantedFor(familyOf(recordsOf(list.slice(0, cut))), before);
      applyAll(world, first);
      expect(isAsWanted(world, first)).toBe(true);
      const next = wantedFor(familyOf(recordsOf(list)), after);
      world.givenUp = next.givenUp;
      applySome(world, plan(observe(world), next), stop);
      age(world, old);
      applyAll(world, next);
      expect(isAsWanted(world, next)).toBe(true);
      expect(plan(observe(world), next)).toEqual([]);
    }),
    { numRuns: 2000, seed: 7 },
  );
});

test('what somebody has open is left behind with errors, and taken again without anything being read through it', () => {
  let left = 0;
  fc.assert(
    fc.property(members, uses, uses, fc.nat(1_000_000), (list, one, other, mask) => {
      const family = familyOf(recordsOf(list));
      const held = new Set<DeviceKey>();
      const world: World = { devices: new Map(), stores: new Set(), givenUp: new Set(), held };
      for (const use of [one, other, one]) {
        const wanted = wantedFor(family, use);
        applyAll(world, wanted);
        for (const { key, table } of fitTails(wanted, observe(world), new Set()).devices)
          expect(sameTable(world.devices.get(key)?.live ?? [], table)).toBe(true);
        left += world.devices.size - fitTails(wanted, observe(world), new Set()).devices.length;
        [...world.devices.keys()].forEach((key, at) => (mask >> (at % 20)) & 1 && !isTop(key) && held.add(key));
      }
    }),
    { numRuns: 1000, seed: 7 },
  );
  expect(left).toBeGreaterThan(500);
});

/** The family while a volume is restored to a member of its chain, and when that is done; as the engine writes it down. */
function restoring(records: readonly StoreRecord[], volume: number, member: number) {
  const family = familyOf(records);
  const chains = [...family.nodes.values()].flatMap((node) => {
    const { entity, deleted } = node.record;
    const chain = entity.kind === 'volume' && !deleted ? chainOf(family, entity.id) : [];
    return chain.length === 0 ? [] : [{ node, chain }];
  });
  const chosen = chains[volume % Math.max(1, chains.length)];
  if (chosen === undefined) return undefined;
  const path = chosen.chain.slice(0, 1 + (member % chosen.chain.length));
  const target = path.at(-1)?.record.entity;
  if (target?.kind !== 'snapshot') return undefined;
  const token = id(99);
  const facts = { token, snapshot: target.id, keepSnapshot: true, safetySnapshot: undefined, startedMs: 1 };
  const stack = path.map(({ record }) => record.store);
  const { size } = chosen.node.record.entity;
  const restore = { ...facts, mode: 'origin' as const, into: undefined, size, stack, totalBytes: kib(64) };
  const fresh = path.map(({ record }, index): StoreRecord => {
    const isTarget = record.entity === target;
    return {
      ...record,
      store: storeName(`sm_${id(100 + index)}`),
      generation: 2,
      image: isTarget ? chosen.node.record.entity.size : undefined,
      window: mib(2),
      place: isTarget ? record.place : { kind: 'fork', snapshot: target.id },
      level: isTarget ? undefined : { token, index: index + 1 },
      pending: token,
    };
  });
  const { store } = chosen.node.record;
  const begun = records.map((record) => (record.store === store ? { ...record, restore } : record));
  const ended = records.map((record) => (restore.stack.includes(record.store) ? { ...record, merged: true } : record));
  return {
    begun: familyOf([...begun, ...fresh]),
    ended: familyOf([...ended, ...fresh.map((record) => ({ ...record, pending: undefined }))]),
  };
}

test('a restore begins and ends from any prefix of its plans', () => {
  let restores = 0;
  fc.assert(
    fc.property(
      members,
      fc.nat(9),
      fc.nat(9),
      uses,
      fc.nat(60),
      fc.nat(60),
      (list, volume, chosen, use, stop, last) => {
        const records = recordsOf(list);
        const stages = restoring(records, volume, chosen);
        if (stages === undefined) return;
        restores += 1;
        const world: World = { devices: new Map(), stores: new Set(), givenUp: new Set() };
        const steps = [familyOf(records), stages.begun, stages.ended];
        steps.forEach((family, index) => {
          const wanted = wantedFor(family, use);
          world.givenUp = wanted.givenUp;
          applySome(world, plan(observe(world), wanted), [0, stop, last][index] ?? 0);
          applyAll(world, wanted);
          expect(isAsWanted(world, wanted)).toBe(true);
          expect(plan(observe(world), wanted)).toEqual([]);
        });
      },
    ),
    { numRuns: 2000, seed: 7 },
  );
  expect(restores).toBeGreaterThan(500);
});

test('merges are held and begin anew from any prefix of their plans', () => {
  let held = 0;
  fc.assert(
    fc.property(
      members,
      fc.nat(9),
      fc.nat(9),
      uses,
      fc.array(fc.nat(60), { minLength: 4, maxLength: 4 }),
      (...drawn) => {
        const [list, volume, chosen, use, stops] = drawn;
        const stages = restoring(recordsOf(list), volume, chosen);
        if (stages === undefined) return;
        const world: World = { devices: new Map(), stores: new Set(), givenUp: new Set() };
        const merges = (): number =>
          [...world.devices.values()].filter(({ live }) => live?.some(({ type }) => type === 'snapshot-merge')).length;
        for (const [index, hold] of [false, true, false, true].entries()) {
          const wanted = wantedFor(stages.begun, use, hold);
          world.givenUp = wanted.givenUp;
          applySome(world, plan(observe(world), wanted), stops[index] ?? 0);
          applyAll(world, wanted);
          expect(isAsWanted(world, wanted)).toBe(true);
          expect(plan(observe(world), wanted)).toEqual([]);
          expect(merges() > 0).toBe(!hold);
          held += hold ? 1 : 0;
        }
        applyAll(world, wantedFor(stages.ended, use));
        expect(isAsWanted(world, wantedFor(stages.ended, use))).toBe(true);
      },
    ),
    { numRuns: 2000, seed: 7 },
  );
  expect(held).toBeGreaterThan(1000);
});

test('stores that grow let their writers go on, without a freeze, and are laid flat when asked to', () => {
  let grown = 0;
  fc.assert(
    fc.property(members, uses, fc.nat(60), fc.nat(5), (list, use, stop, growth) => {
      const records = recordsOf(list);
      const world: World = { devices: new Map(), stores: new Set(), givenUp: new Set() };
      const first = wantedFor(familyOf(records), use);
      applyAll(world, first);
      for (const size of [1, 2, 2 + growth]) {
        const next = wantedFor(familyOf(records, size), use);
        const steps = plan(observe(world), next);
        expect(steps.map((step) => step.do).filter((kind) => !['make', 'swap'].includes(kind))).toEqual([]);
        grown += steps.length;
        applySome(world, steps, stop);
        applyAll(world, next);
        expect(isAsWanted(world, next)).toBe(true);
        expect(plan(observe(world), next)).toEqual([]);
      }
      const last = wantedFor(familyOf(records, 2 + growth), use);
      const stores = new Set(nested(observe(world)));
      const flatten = (): readonly Step[] => plan(observe(world), last, { flatten: new Set(stores) });
      applySome(world, flatten(), stop % 5);
      for (const step of flatten()) apply(world, step);
      expect(nested(observe(world))).toEqual([]);
      expect(plan(observe(world), last)).toEqual([]);
    }),
    { numRuns: 1000, seed: 7 },
  );
  expect(grown).toBeGreaterThan(1000);
});

test('what is desired is deterministic and lies from the bottom up', () => {
  fc.assert(
    fc.property(members, uses, (list, use) => {
      const records = recordsOf(list);
      const { devices } = wantedFor(familyOf(records), use);
      expect(wantedFor(familyOf(records), use).devices).toEqual(devices);
      expect(bottomUp(devices)).toEqual(devices);
      devices.forEach(({ table }, index) => {
        const earlier = devices.slice(0, index).map(({ key }) => key);
        for (const below of devicesBelow(table)) expect(earlier).toContain(below);
      });
    }),
    { seed: 7 },
  );
});

test('a fed snapshot goes on before its writer', () => {
  const records = recordsOf([{ isFork: false, of: 0, deleted: false, larger: false }]);
  const world: World = { devices: new Map(), stores: new Set(), givenUp: new Set() };
  const alone = wantedFor(familyOf(records.slice(0, 1)), [0]);
  applyAll(world, alone);
  const steps = plan(observe(world), wantedFor(familyOf(records), [0]));
  expect(steps.map((step) => `${step.do} ${'device' in step ? step.device : step.stores.join()}`)).toEqual([
    'activate sm_0000000002',
    'make sm_0000000002-tail0',
    'make sm_0000000002-cow',
    'create s-0000000002-view',
    'load s-0000000002-view',
    'load v-0000000001-top',
    'suspend v-0000000001-top',
    'flush v-0000000001-view',
    'resume s-0000000002-view',
    'resume v-0000000001-top',
  ]);
});

test.each([
  { what: 'holds its writers', live: { type: 'hold', length: sectors(8) }, suspended: false },
  { what: 'is that of an earlier version', live: { type: 'error', length: sectors(8) }, suspended: true },
] as const)('the tail of a store that is given up, and $what, fails them before anybody is suspended', (found) => {
  const wanted = wantedOf([shopRecord, fridayRecord], [shop]);
  const tail = wanted.devices.find(({ key }) => isTail(key))?.key ?? deviceKey(shop, 'top');
  const { live, suspended } = found;
  const observed = withDevice(observedOf(wanted), tail, (device) => ({ ...device, live: [live], suspended }));
  const records = [shopRecord, { ...fridayRecord, deleted: true }];
  const steps = plan(observed, wantedOf(records, [shop]));
  const fails = steps.findIndex((step) => step.do === 'swap' && step.device === tail && showsErrors(step.table));
  expect(fails).toBeGreaterThanOrEqual(0);
  expect(fails).toBeLessThan(steps.findIndex((step) => step.do === 'suspend' || step.do === 'remove'));
});

test('the tail of an earlier version, errors that stand still, becomes one that holds before anything is loaded', () => {
  const wanted = wantedOf([shopRecord, thursdayRecord], [shop]);
  const tail = storeDevice(thursdayRecord.store, 'tail0');
  const holds = wanted.devices.find(({ key }) => key === tail)?.table ?? [];
  const former = withDevice(observedOf(wanted), tail, (device) => ({
    ...device,
    live: errors(lengthOf(holds)),
    suspended: true,
  }));
  const swap = { do: 'swap', device: tail, table: holds, readOnly: false };
  expect(plan(former, wanted)).toEqual([swap]);
  const view = wanted.devices.find(({ table }) => heldStores(table).includes(thursdayRecord.store))?.key;
  if (view === undefined) throw new Error('there is no view');
  const steps = plan(
    withDevice(former, view, () => undefined),
    wanted,
  );
  expect(steps[0]).toEqual(swap);
  expect(steps.some((step) => 'device' in step && step.device === view)).toBe(true);
});

test('a tail that stands still although its store goes on in it goes on before anybody is suspended', () => {
  // Thursday is the newest; then friday comes between it and the volume.
  const { wanted, tail, found } = standingTail();
  const live = found.devices.get(tail)?.live;
  expect(plan(found, wanted)).toEqual([{ do: 'swap', device: tail, table: live, readOnly: false }]);
  const steps = plan(found, wantedOf([shopRecord, thursdayRecord, fridayRecord], [shop]));
  const goesOn = steps.findIndex((step) => step.do === 'swap' && step.device === tail);
  expect(goesOn).toBeGreaterThanOrEqual(0);
  expect(goesOn).toBeLessThan(steps.findIndex((step) => step.do === 'suspend'));
});

test('with onFull drop a newest snapshot lies on the bare store, and a fork waits all the same: there is nothing to drop', () => {
  const dropping = (record: StoreRecord): StoreRecord => {
    const parameters = { ...record.entity.parameters, onFull: 'drop' as const };
    return { ...record, entity: { ...record.entity, parameters } };
  };
  const devicesOf = (records: readonly StoreRecord[], ...volumes: readonly VolumeId[]): readonly DeviceKey[] =>
    wantedOf(records.map(dropping), volumes).devices.map(({ key }) => key);
  const newest = devicesOf([shopRecord, fridayRecord], shop);
  expect(newest.filter((key) => storeOf(key) === fridayRecord.store)).toEqual([]);
  const all = devicesOf([shopRecord, thursdayRecord, fridayRecord, forkRecord], shop, forkId);
  expect(all).toContain(storeDevice(forkRecord.store, 'tail0'));
});
