// Each wrong order that design.md marks as seen, or that its laws forbid: the simulation corrupts or refuses where the
// kernel does. Beside most of them stands the right order.

import { expect, test } from 'vitest';
import { bytes, kib, mib } from '../../src/units.ts';
import type { Rig } from './proof-rig.ts';
import { createRig, d, filler, key, linear, merge, origin, s, snapshot, store, zeroes } from './proof-rig.ts';

/** v over real over D, 60 chunks written. */
async function volume(rig: Rig): Promise<number[]> {
  const v = zeroes();
  await rig.lv('D');
  await rig.create('real', [linear(s('D'))]);
  await rig.create('v', [linear(d('real'))]);
  rig.fill('v', v, 60);
  return v;
}

async function takeFirst(rig: Rig): Promise<void> {
  await rig.lv('c1');
  await rig.suspend('v');
  await rig.create('S1', snapshot(d('real'), s('c1')));
  await rig.load('v', origin(d('real')));
  await rig.resume('v');
}

const kinds = (rig: Rig) => [...new Set(rig.world.inspect.notices().map((each) => each.kind))];

test('a re-parented table loaded before the freeze has stale exceptions', async () => {
  const rig = createRig();
  const v = await volume(rig);
  await takeFirst(rig);
  const s1 = [...v];
  await rig.lv('c2');
  await rig.world.kernel.apply({ do: 'create', device: key('S2') });
  await rig.load('S2', snapshot(d('real'), s('c2')));
  await rig.load('S1', snapshot(d('S2'), s('c1')));
  rig.fill('v', v, 40);
  await rig.suspend('v', 'S1');
  await rig.resume('S2', 'S1', 'v');
  rig.fill('v', v, 20);
  expect(rig.wrong('S1', s1)).toBeGreaterThan(0);
  expect(kinds(rig)).toContain('stale-exceptions');
});

test('two live snapshots over one store are accepted without a word', async () => {
  const rig = createRig();
  const v = await volume(rig);
  await takeFirst(rig);
  const s1 = [...v];
  await rig.lv('c2');
  await rig.create('S2', snapshot(d('real'), s('c2')));
  await rig.create('S1b', snapshot(d('S2'), s('c1')));
  expect(kinds(rig)).toEqual(['shared-store']);
  rig.fill('v', v, 30);
  rig.check('S1', s1);
  rig.fill('S1b', [...s1], 20);
  expect(rig.wrong('S1', s1)).toBeGreaterThan(0);
  expect(kinds(rig)).toContain('stale-exceptions');
});

test('a fed snapshot made without its origin being resumed after: only the first chunk of a write is copied out', async () => {
  const rig = createRig();
  const v = await volume(rig);
  await rig.lv('c0');
  await rig.suspend('v');
  await rig.load('v', origin(d('real')));
  await rig.resume('v');
  await rig.create('S1', snapshot(d('real'), s('c0')));
  const s1 = [...v];
  rig.world.user.write(
    key('v'),
    0,
    Array.from({ length: 64 }, (_, i) => 1000 + i),
  );
  v.splice(0, 64, ...Array.from({ length: 64 }, (_, i) => 1000 + i));
  rig.check('v', v);
  expect(rig.wrong('S1', s1)).toBeGreaterThan(32);
  expect(kinds(rig)).toEqual(['torn-write']);

  await rig.lv('c2');
  await rig.suspend('v');
  await rig.create('S2', snapshot(d('real'), s('c2')));
  await rig.resume('v');
  const s2 = [...v];
  rig.world.user.write(
    key('v'),
    0,
    Array.from({ length: 64 }, (_, i) => 2000 + i),
  );
  rig.check('S2', s2);
});

test('a merge passes over chunks of a smaller size that came after its resume', async () => {
  const rig = createRig({ mergeOnResume: 0 });
  const v = await volume(rig);
  await rig.lv('c1');
  await rig.suspend('v');
  await rig.create('S1', snapshot(d('real'), s('c1'), { chunk: 8 }));
  await rig.load('v', origin(d('real')));
  await rig.resume('v');
  const s1 = [...v];
  rig.fill('v', v, 40);
  await rig.suspend('v', 'S1', 'real');
  await rig.load('real', merge(s('D'), s('c1'), { chunk: 8 }));
  await rig.resume('real', 'v');
  await rig.lv('n1');
  const moment = rig.world.control.save();
  await rig.suspend('real');
  const stopped = rig.world.inspect.store(store('D'))?.slice(0, 128) ?? [];
  await rig.create('K', snapshot(s('D'), s('n1'), { chunk: 1 }));
  await rig.resume('real');
  expect(rig.world.control.finishMerges()).toBe(true);
  rig.check('K', stopped);
  expect(kinds(rig)).toEqual([]);

  rig.world.control.restore(moment);
  await rig.create('K', snapshot(s('D'), s('n1'), { chunk: 1 }));
  const before = rig.world.inspect.store(store('D'))?.slice(0, 128) ?? [];
  expect(rig.world.control.finishMerges()).toBe(true);
  rig.check('v', s1);
  expect(kinds(rig)).toContain('torn-write');
  expect(rig.wrong('K', before)).toBeGreaterThan(0);
});

test('a left-over inactive table is activated by the next plain resume', async () => {
  const rig = createRig();
  const v = await volume(rig);
  await rig.load('v', [filler('zero', 128)]);
  await rig.suspend('v');
  await rig.resume('v');
  expect(rig.wrong('v', zeroes())).toBe(0);
  await rig.load('v', [filler('error', 128)]);
  await rig.load('v', [linear(d('real'))]);
  await rig.resume('v');
  rig.check('v', v);
  await rig.load('v', [filler('zero', 128)]);
  await rig.world.kernel.apply({ do: 'clear', device: key('v') });
  await rig.suspend('v');
  await rig.resume('v');
  rig.check('v', v);
});

test('a new table of a snapshot that is loaded already must be cleared before it can be loaded again', async () => {
  const rig = createRig();
  await volume(rig);
  await rig.lv('c1');
  const table = snapshot(d('real'), s('c1'));
  await rig.world.kernel.apply({ do: 'create', device: key('S1') });
  await rig.load('S1', table);
  await expect(rig.load('S1', table)).rejects.toThrow('handover failed');
  await rig.world.kernel.apply({ do: 'clear', device: key('S1') });
  await rig.load('S1', table);
  await rig.resume('S1');
});

test('a store that held a dead snapshot is read as one when nobody zeroes it', async () => {
  const rig = createRig();
  const v = await volume(rig);
  await takeFirst(rig);
  rig.fill('v', v, 30);
  await rig.suspend('v');
  await rig.load('v', [linear(d('real'))]);
  await rig.resume('v');
  await rig.remove('S1');
  await rig.world.lvm.remove(store('c1'));
  await rig.world.lvm.create(store('c2'), mib(1), 'linear', ['decided']);
  await rig.create('S2', snapshot(d('real'), s('c2')));
  expect(rig.wrong('S2', v)).toBeGreaterThan(0);
  expect(kinds(rig)).toEqual(['foreign-metadata']);
});

test('a store with anything else in its first chunk is refused', async () => {
  const rig = createRig();
  await volume(rig);
  await rig.world.lvm.create(store('c1'), mib(1), 'linear', []);
  await rig.world.kernel.apply({ do: 'create', device: key('S1') });
  await expect(rig.load('S1', snapshot(d('real'), s('c1')))).rejects.toThrow('Invalid or corrupt snapshot');
  await rig.world.host.zero(store('c1'), bytes(0), kib(4));
  await rig.load('S1', snapshot(d('real'), s('c1')));
});

test('a merge into zero reports success, and the chunks are gone', async () => {
  const rig = createRig();
  const v = await volume(rig);
  await rig.lv('f1');
  await rig.create('pad', [linear(d('real')), filler('zero', 64)]);
  await rig.create('F', snapshot(d('pad'), s('f1'), { blocks: 192 }));
  const f = [...v, ...zeroes(64)];
  rig.fill('F', f, 60);
  rig.check('F', f);
  await rig.suspend('F');
  await rig.load('F', merge(d('pad'), s('f1'), { blocks: 192 }));
  await rig.resume('F');
  expect(rig.world.control.finishMerges()).toBe(true);
  expect(await rig.status('F')).toBe('32/2048 32');
  expect(rig.wrong('F', f)).toBeGreaterThan(0);
  expect(kinds(rig)).toContain('merged-into-zero');
});

test('after a grow and a restore, the piece behind an end that is no multiple of the chunk shows old bytes', async () => {
  const rig = createRig();
  await rig.lv('D');
  await rig.create('real', [linear(s('D'), 124)]);
  await rig.create('v', [linear(d('real'), 124)]);
  const v = zeroes(124);
  rig.fill('v', v, 60);
  await rig.world.lvm.create(store('c1'), mib(1), 'linear', []);
  await rig.world.host.zero(store('c1'), bytes(0), kib(64));
  await rig.suspend('v');
  await rig.create('S1', snapshot(d('real'), s('c1'), { blocks: 124, chunk: 8 }));
  await rig.load('v', origin(d('real'), 124));
  await rig.resume('v');
  const s1 = [...v, 0, 0, 0, 0];
  rig.world.user.write(key('v'), 122, [7, 7]);
  await rig.suspend('v', 'S1', 'real');
  await rig.load('real', [linear(s('D'))]);
  await rig.resume('real');
  await rig.load('v', origin(d('real')));
  await rig.resume('S1', 'v');
  await rig.suspend('v', 'S1', 'real');
  await rig.remove('S1');
  await rig.load('real', merge(s('D'), s('c1'), { chunk: 8 }));
  await rig.resume('real', 'v');
  expect(rig.world.control.finishMerges()).toBe(true);
  expect(rig.wrong('v', s1)).toBe(4);
});

test('a write past a live snapshot is noticed, and spoils it', async () => {
  const rig = createRig();
  const v = await volume(rig);
  await rig.lv('c1');
  await rig.create('S1', snapshot(d('real'), s('c1')));
  const s1 = [...v];
  rig.fill('v', v, 5);
  expect(rig.wrong('S1', s1)).toBeGreaterThan(0);
  expect(kinds(rig)).toEqual(['unfed-write']);
});
