// A store that is full: what the kernel does by itself, and proofs/full_cow_waits.py with all that the tail demands. The
// hangs of a real kernel are SimHang here.

import { expect, test } from 'vitest';
import type { Table } from '../../src/dm/table.ts';
import { kib } from '../../src/units.ts';
import { d, filler, key, linear, merge, origin, s, snapshot, store, zeroes } from '../contract/words.ts';
import { SimHang } from './errors.ts';
import type { Rig } from './proof-rig.ts';
import { createRig } from './proof-rig.ts';

/** v over real over D of `blocks`, and a snapshot S1 whose store is `cow`. */
async function fed(rig: Rig, blocks: number, table: Table): Promise<number[]> {
  await rig.lv('D', kib(blocks * 4));
  await rig.create('real', [linear(s('D'), blocks)]);
  await rig.create('v', [linear(d('real'), blocks)]);
  const v = zeroes(blocks);
  rig.fill('v', v, blocks);
  rig.world.user.flush(key('v'));
  await rig.suspend('v');
  await rig.create('S1', table);
  await rig.load('v', origin(d('real'), blocks));
  await rig.resume('v');
  return v;
}

const writeAll = (rig: Rig, device: string, chunks: number): string[] =>
  Array.from({ length: chunks }, (_, chunk) => rig.world.user.write(key(device), chunk * 2, [5, 5]));

test('P and PO differ when a fork finds no room', async () => {
  for (const [mode, status] of [
    ['P', 'invalid'],
    ['PO', 'overflow'],
  ] as const) {
    const rig = createRig();
    await rig.lv('B');
    await rig.create('base', [linear(s('B'))]);
    await rig.lv('f1', kib(64));
    await rig.create('F', snapshot(d('base'), s('f1'), { mode }));
    expect(writeAll(rig, 'F', 7)).toEqual(['done', 'done', 'done', 'done', 'done', 'done', 'failed']);
    expect(await rig.status('F')).toBe(status);
    expect(rig.world.user.read(key('F'), 0, 2)).toEqual(mode === 'P' ? 'failed' : [5, 5]);
  }
});

/** A store of 64 KiB under S1, with a tail up to 1200 KiB: `error`, kept suspended. */
async function tailed(rig: Rig): Promise<number[]> {
  await rig.lv('c1', kib(64));
  await rig.create('tail', [filler('error', 284)]);
  await rig.create('cow', [linear(s('c1'), 16), linear(d('tail'), 284)]);
  await rig.suspend('tail');
  return fed(rig, 128, snapshot(d('real'), d('cow')));
}

test('writers wait at a suspended tail, and go on after each extension', async () => {
  const rig = createRig();
  const v = await tailed(rig);
  const results = writeAll(rig, 'v', 64);
  expect(results.slice(0, 6)).toEqual(Array.from({ length: 6 }).fill('done'));
  expect(results.slice(6)).toEqual(Array.from({ length: 58 }).fill('queued'));
  expect(await rig.status('S1')).toBe('1056/2400 32');
  rig.check('S1', v);

  let at = 16;
  let tail = 'tail';
  for (const next of ['tail1', 'tail2', 'tail3']) {
    at += 32;
    await rig.world.lvm.extend(store('c1'), kib(at * 4));
    await rig.create(next, [filler('error', 300 - at)]);
    await rig.suspend(next);
    await rig.load(tail, [linear(s('c1'), 32, at - 32), linear(d(next), 300 - at)]);
    await rig.resume(tail);
    rig.check('S1', v);
    tail = next;
  }
  expect(rig.world.user.queued().length).toBe(64 - (at / 2 - 2));
  await rig.world.lvm.extend(store('c1'), kib(1200));
  await rig.load(tail, [linear(s('c1'), 300 - at, at)]);
  await rig.resume(tail);
  expect(rig.world.user.queued()).toEqual([]);
  rig.check('S1', v);
  rig.check('v', Array.from<number>({ length: 128 }).fill(5));
  expect(rig.world.inspect.notices()).toEqual([]);
});

test('ending the wait by force: the tail resumed as error invalidates the snapshot, the volume goes on', async () => {
  const rig = createRig();
  await tailed(rig);
  writeAll(rig, 'v', 64);
  await rig.resume('tail');
  expect(rig.world.user.queued()).toEqual([]);
  expect(rig.world.inspect.invalidated()).toEqual([key('S1')]);
  rig.check('v', Array.from<number>({ length: 128 }).fill(5));
});

test('a power cut while writers wait: the snapshot is exact after the boot', async () => {
  const rig = createRig();
  const v = await tailed(rig);
  writeAll(rig, 'v', 64);
  rig.world.control.crashPower({ contents: 'everything' });
  for (const name of ['D', 'c1']) await rig.world.kernel.apply({ do: 'activate', stores: [store(name)] });
  await rig.create('real', [linear(s('D'))]);
  await rig.create('tail', [filler('error', 284)]);
  await rig.create('cow', [linear(s('c1'), 16), linear(d('tail'), 284)]);
  await rig.create('S1', snapshot(d('real'), d('cow')));
  await rig.suspend('tail');
  await rig.create('v', origin(d('real')));
  rig.check('S1', v);
  expect(rig.world.user.write(key('v'), 126, [6, 6])).toBe('queued');
});

test('wrong: a table over a store is loaded while its tail is suspended', async () => {
  const rig = createRig({ extent: kib(4) });
  await rig.lv('D');
  await rig.create('real', [linear(s('D'))]);
  await rig.lv('c1', kib(64));
  await rig.create('tail', [filler('error', 2000)]);
  await rig.create('cow', [linear(s('c1'), 16), linear(d('tail'), 2000)]);
  await rig.create('F', snapshot(d('real'), d('cow'), { chunk: 1 }));
  expect(rig.world.user.write(key('F'), 0, [3])).toBe('done');
  await rig.remove('F');
  await rig.suspend('tail');
  await rig.world.kernel.apply({ do: 'create', device: key('F') });
  await expect(rig.load('F', snapshot(d('real'), d('cow'), { chunk: 1 }))).rejects.toThrow(SimHang);
});

test('wrong: a tail that is anything but error stops flushes', async () => {
  const rig = createRig();
  await tailed(rig);
  expect(rig.world.user.flush(key('S1'))).toBe('done');
  await rig.lv('x');
  await rig.resume('tail');
  await rig.load('tail', [linear(s('x'), 256), filler('error', 28)]);
  await rig.resume('tail');
  await rig.suspend('tail');
  expect(rig.world.user.flush(key('S1'))).toBe('queued');
  await expect(rig.world.kernel.apply({ do: 'flush', device: key('S1') })).rejects.toThrow(SimHang);
});

test('wrong: while a store is at its tail, a freeze, a sibling and the suspend of a merge hang', async () => {
  const rig = createRig({ mergeOnResume: 0 });
  await tailed(rig);
  await rig.lv('c2');
  await rig.world.kernel.apply({ do: 'create', device: key('S2') });
  await rig.load('S2', snapshot(d('real'), s('c2')));
  writeAll(rig, 'v', 64);
  const moment = rig.world.control.save();
  for (const attempt of [() => rig.suspend('v'), () => rig.resume('S2'), () => rig.suspend('cow')]) {
    rig.world.control.restore(moment);
    await expect(attempt()).rejects.toThrow(SimHang);
  }
  rig.world.control.restore(moment);
  expect(rig.world.user.read(key('S1'), 0, 1)).not.toBe('queued');

  const other = createRig({ mergeOnResume: 0 });
  await tailed(other);
  writeAll(other, 'v', 6);
  await other.lv('f1');
  await other.create('F', snapshot(d('real'), s('f1')));
  other.world.user.write(key('F'), 100, [1, 1]);
  await other.load('F', merge(d('real'), s('f1')));
  await other.resume('F');
  expect(other.world.control.finishMerges()).toBe(false);
  await expect(other.suspend('F')).rejects.toThrow(SimHang);
});
