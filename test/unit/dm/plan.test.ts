// Laws of the planner as properties: from any prefix of any plan, planning again ends in what is wanted; planning once
// more gives no steps; whoever is suspended is resumed or removed; a held store is read only while its holders stand
// still; what is fed goes on before its writer.

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Desired, DesiredDevice } from '../../../src/dm/desired.ts';
import { bottomUp, desired, devicesBelow } from '../../../src/dm/desired.ts';
import { buildFamily, chainOf } from '../../../src/dm/family.ts';
import type { Family } from '../../../src/dm/family.ts';
import type { Observed, ObservedDevice } from '../../../src/dm/kernel.ts';
import { plan } from '../../../src/dm/plan.ts';
import type { Step } from '../../../src/dm/step.ts';
import { sameTable } from '../../../src/dm/table.ts';
import type { Table } from '../../../src/dm/table.ts';
import type { DeviceKey, SnapshotId, VolumeId } from '../../../src/ids.ts';
import { snapshotId, storeName, volumeId } from '../../../src/ids.ts';
import type { Place, StoreRecord } from '../../../src/lvm/record.ts';
import { kib, mib } from '../../../src/units.ts';

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
      store: storeName(`sm_${id(n)}`),
      family: ROOT,
      generation: 1,
      entity:
        snapshotOf === undefined
          ? { ...facts, kind: 'volume', id: volumeId(`v-${id(n)}`), source: undefined }
          : { ...facts, kind: 'snapshot', id: snapshotId(`s-${id(n)}`), volume: snapshotOf },
      place,
      chunk: root ? undefined : kib(8),
      window: root ? undefined : mib(1),
      image: undefined,
      anchors: [],
      pending: undefined,
      decides: undefined,
      level: undefined,
      deleted,
      merged: false,
      merging: undefined,
      wish: undefined,
      restore: undefined,
      restored: undefined,
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

function wantedFor(family: Family, use: readonly number[]): Desired {
  const volumes = [...family.nodes.values()].flatMap(({ id: each, record }) =>
    record.entity.kind === 'volume' && !record.deleted && each === record.entity.id ? [record.entity.id] : [],
  );
  return desired(family, {
    volumes: new Set(volumes.filter((_, index) => use.includes(index))),
    pinned: new Set([...family.nodes.keys()].filter((_, index) => use.includes(index + 10))),
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
  readonly devices: Map<DeviceKey, Dev>;
  readonly stores: Set<string>;
}

const cowsOf = (table: Table | undefined): readonly string[] =>
  (table ?? []).flatMap((target) => ('cow' in target && target.cow.on === 'store' ? [target.cow.store] : []));

/** The steps' plain meaning, with the rules that must not be broken. */
function apply(world: World, step: Step): void {
  if (step.do === 'activate') return step.stores.forEach((store) => world.stores.add(store));
  if (step.do === 'deactivate') return step.stores.forEach((store) => world.stores.delete(store));
  if (step.do === 'create') {
    const empty = { live: undefined, inactive: undefined, suspended: false, readOnly: false, nextReadOnly: false };
    return void world.devices.set(step.device, empty);
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
        const shared = cowsOf(other.live).some((store) => cowsOf(step.table).includes(store));
        if (shared && !other.suspended) throw new Error(`${step.device} reads a store that ${key} is using`);
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
      const stuck = allBelow(world, step.device).find((key) => world.devices.get(key)?.suspended === true);
      if (stuck !== undefined) throw new Error(`${step.device} is suspended after ${stuck}, which it lies on`);
      device.suspended = true;
      return;
    }
    case 'flush':
      if (device.suspended || device.live === undefined)
        throw new Error(`a flush of ${step.device} would wait for ever`);
      return;
    case 'resume':
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
      world.devices.delete(step.device);
  }
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
      openCount: 0,
      status: undefined,
    });
  }
  const stores = [...world.stores].map(storeName);
  return { devices, stores: new Map(stores.map((store) => [store, { store, majorMinor: '253:1', openCount: 0 }])) };
}

function isAsWanted(world: World, wanted: readonly DesiredDevice[]): boolean {
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

const uses = fc.array(fc.nat(19), { maxLength: 8 });

test('from any prefix of a plan, planning again ends in what is wanted, and then gives no steps', () => {
  fc.assert(
    fc.property(members, fc.nat(9), uses, uses, fc.nat(60), (list, cut, before, after, stop) => {
      const world: World = { devices: new Map(), stores: new Set() };
      // First a smaller family in some use, then the whole one in another: snapshots and forks appear under users.
      const first = wantedFor(buildFamily(ROOT, recordsOf(list.slice(0, cut))), before);
      for (const step of plan(observe(world), first)) apply(world, step);
      expect(isAsWanted(world, first.devices)).toBe(true);
      const next = wantedFor(buildFamily(ROOT, recordsOf(list)), after);
      applySome(world, plan(observe(world), next), stop);
      for (const step of plan(observe(world), next)) apply(world, step);
      expect(isAsWanted(world, next.devices)).toBe(true);
      expect(plan(observe(world), next)).toEqual([]);
    }),
    { numRuns: 2000, seed: 7 },
  );
});

/** The family while a volume is restored to a member of its chain, and when that is done; as the engine writes it down. */
function restoring(records: readonly StoreRecord[], volume: number, member: number) {
  const family = buildFamily(ROOT, records);
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
    begun: buildFamily(ROOT, [...begun, ...fresh]),
    ended: buildFamily(ROOT, [...ended, ...fresh.map((record) => ({ ...record, pending: undefined }))]),
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
        const world: World = { devices: new Map(), stores: new Set() };
        const steps = [buildFamily(ROOT, records), stages.begun, stages.ended];
        steps.forEach((family, index) => {
          const wanted = wantedFor(family, use);
          applySome(world, plan(observe(world), wanted), [0, stop, last][index] ?? 0);
          for (const step of plan(observe(world), wanted)) apply(world, step);
          expect(isAsWanted(world, wanted.devices)).toBe(true);
          expect(plan(observe(world), wanted)).toEqual([]);
        });
      },
    ),
    { numRuns: 2000, seed: 7 },
  );
  expect(restores).toBeGreaterThan(500);
});

test('what is desired is deterministic and lies from the bottom up', () => {
  fc.assert(
    fc.property(members, uses, (list, use) => {
      const records = recordsOf(list);
      const { devices } = wantedFor(buildFamily(ROOT, records), use);
      expect(wantedFor(buildFamily(ROOT, records), use).devices).toEqual(devices);
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
  const world: World = { devices: new Map(), stores: new Set() };
  const alone = wantedFor(buildFamily(ROOT, records.slice(0, 1)), [0]);
  for (const step of plan(observe(world), alone)) apply(world, step);
  const steps = plan(observe(world), wantedFor(buildFamily(ROOT, records), [0]));
  expect(steps.map((step) => `${step.do} ${'device' in step ? step.device : step.stores.join()}`)).toEqual([
    'activate sm_0000000002',
    'create s-0000000002-view',
    'load s-0000000002-view',
    'load v-0000000001-top',
    'suspend v-0000000001-top',
    'flush v-0000000001-view',
    'resume s-0000000002-view',
    'resume v-0000000001-top',
  ]);
});
