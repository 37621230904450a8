import { expect, test } from 'vitest';
import { shareReports } from '../../../../src/engine/ports/shared-reports.ts';
import { storeName } from '../../../../src/vocabulary/ids.ts';
import { kib, mib } from '../../../../src/vocabulary/units.ts';
import { createWorld } from '../../../sim/world.ts';

const STORE = storeName('sm_0000000001');

function shared(options: { readonly stamps?: boolean } = {}) {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(16)] });
  const stamps = { gate: Promise.resolve() };
  const stamp = async () => {
    if (options.stamps !== true) return undefined;
    const read = await world.lvm.stamp();
    await stamps.gate;
    return read;
  };
  const clock = { ms: 1000 };
  const asked = { reports: 0, fails: false, gate: Promise.resolve() };
  const report = async () => {
    asked.reports += 1;
    const read = asked.fails ? Promise.reject(new Error('no answer')) : world.lvm.report();
    // What it says is as old as its beginning.
    await Promise.allSettled([read, asked.gate]);
    return await read;
  };
  return {
    clock,
    asked,
    stamps,
    world,
    ...shareReports({ ...world.lvm, report, stamp }, world.kernel, () => clock.ms),
  };
}

test('one report for all who ask within half a second', async () => {
  const { clock, asked, recent } = shared();
  const first = await recent();
  clock.ms += 500;
  expect(await recent()).toBe(first);
  clock.ms += 1;
  await recent();
  clock.ms -= 100;
  await recent();
  expect(asked.reports).toBe(3);
});

test('one report for ten seconds, where the metadata is known to be the same', async () => {
  const { clock, asked, world, recent } = shared({ stamps: true });
  const first = await recent();
  clock.ms += 10_000;
  expect(await recent()).toBe(first);
  // Somebody else.
  await world.lvm.create(STORE, mib(1), 'linear', ['snapmerge']);
  expect((await recent()).stores).toHaveLength(1);
  clock.ms += 10_001;
  await recent();
  expect(asked.reports).toBe(3);
});

test('every change of ours is seen at once, also one that began before the report and ended after it', async () => {
  const { asked, world, lvm, kernel, recent } = shared();
  await recent();
  await lvm.create(STORE, mib(1), 'linear', ['snapmerge']);
  expect((await recent()).stores).toHaveLength(1);
  await lvm.retag(STORE, ['sm.deleted'], []);
  expect((await recent()).stores[0]?.tags).toContain('sm.deleted');
  await kernel.apply([{ do: 'deactivate', stores: [STORE] }]);
  expect((await recent()).stores[0]?.active).toBe(false);
  const before = asked.reports;
  const extending = lvm.extend(STORE, mib(2));
  await recent();
  await extending;
  await recent();
  expect(asked.reports).toBe(before + 2);
  await world.lvm.remove(STORE);
  expect((await lvm.report()).stores).toEqual([]);
});

test('who asks while one is under way that shows all changes of ours shares it', async () => {
  const { asked, clock, recent } = shared();
  const gate = Promise.withResolvers<void>();
  asked.gate = gate.promise;
  const first = recent();
  clock.ms += 500;
  const second = recent();
  clock.ms += 1;
  const third = recent();
  gate.resolve();
  expect(await second).toBe(await first);
  expect(await third).not.toBe(await first);
  expect(asked.reports).toBe(2);
});

test('one that began before a change of ours is not good enough for who asks after it', async () => {
  const { asked, lvm, recent } = shared();
  const gate = Promise.withResolvers<void>();
  asked.gate = gate.promise;
  const early = recent();
  await expect.poll(() => asked.reports).toBe(1);
  await lvm.create(STORE, mib(1), 'linear', ['snapmerge']);
  const late = [recent(), recent()];
  gate.resolve();
  expect((await early).stores).toHaveLength(0);
  for (const { stores } of await Promise.all(late)) expect(stores).toHaveLength(1);
  expect(asked.reports).toBe(2);
});

test('nor is one that was known before, when the metadata was looked at meanwhile', async () => {
  const { clock, lvm, recent, stamps } = shared({ stamps: true });
  await recent();
  clock.ms += 600;
  const gate = Promise.withResolvers<void>();
  stamps.gate = gate.promise;
  const asking = recent();
  // It has read the headers, and is told so later.
  await lvm.create(STORE, mib(1), 'linear', ['snapmerge']);
  stamps.gate = Promise.resolve();
  await recent();
  gate.resolve();
  expect((await asking).stores).toHaveLength(1);
});

test('a failure is told to all who share it, and to nobody after them', async () => {
  const { asked, recent } = shared();
  asked.fails = true;
  const failing = await Promise.allSettled([recent(), recent()]);
  expect(failing.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  asked.fails = false;
  expect((await recent()).stores).toEqual([]);
  expect(asked.reports).toBe(2);
});
