import { expect, test } from 'vitest';
import { shareReports } from '../../../src/engine/recent.ts';
import { storeName } from '../../../src/ids.ts';
import { kib, mib } from '../../../src/units.ts';
import { createWorld } from '../../sim/world.ts';

const STORE = storeName('sm_0000000001');

function shared({ stamps = false }: { readonly stamps?: boolean } = {}) {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(16)] });
  const stamp = stamps ? world.lvm.stamp : async () => undefined;
  const clock = { ms: 1000 };
  const asked = { reports: 0, fails: false };
  const report = async () => {
    asked.reports += 1;
    return asked.fails ? Promise.reject(new Error('no answer')) : await world.lvm.report();
  };
  return { clock, asked, world, ...shareReports({ ...world.lvm, report, stamp }, world.kernel, () => clock.ms) };
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

test('who asks while one is under way that shows all changes of ours shares it, however it ends', async () => {
  const { asked, lvm, recent } = shared();
  const both = await Promise.all([recent(), recent()]);
  expect(asked.reports).toBe(1);
  expect(both[0]).toBe(both[1]);
  // One that was begun before a change of ours is no longer good enough for who comes after it.
  const early = lvm.report();
  await lvm.create(STORE, mib(1), 'linear', ['snapmerge']);
  const [late, later] = await Promise.all([recent(), recent()]);
  expect(late.stores).toHaveLength(1);
  expect(later).toBe(late);
  await early;
  expect(asked.reports).toBe(3);

  asked.fails = true;
  await lvm.retag(STORE, ['sm.deleted'], []);
  const failing = [recent(), recent()];
  for (const one of failing) await expect(one).rejects.toThrow('no answer');
  await expect(recent()).rejects.toThrow('no answer');
  expect(asked.reports).toBe(5);
});
