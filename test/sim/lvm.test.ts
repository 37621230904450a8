// The simulated volume group: reports, room, layouts, sizes, strangers, broken disks.

import { expect, test } from 'vitest';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { d, key, linear, origin, s, snapshot, store, zeroes } from '../contract/words.ts';
import { GARBAGE } from './disk.ts';
import { createRig } from './proof-rig.ts';
import { createWorld } from './world.ts';

test('a new store shows what an earlier owner left, a commit counts once, room is counted', async () => {
  const { lvm, inspect } = createWorld({ extent: mib(1), disks: [mib(4), mib(4)] });
  await lvm.create(store('a'), mib(3), 'linear', ['role=data']);
  expect(inspect.store(store('a'))?.every((tag) => tag >= GARBAGE)).toBe(true);
  expect(new Set(inspect.store(store('a'))).size).toBe(768);
  const report = await lvm.report();
  expect(report).toMatchObject({ seqno: 2, size: mib(8), free: mib(5), strangers: 0 });
  expect(report.stores).toMatchObject([
    { tags: ['role=data'], size: mib(3), active: true, layout: 'linear', damaged: false },
  ]);
  await lvm.extend(store('a'), mib(2));
  expect((await lvm.report()).seqno).toBe(2);
  await expect(lvm.extend(store('a'), mib(9))).rejects.toMatchObject({ kind: 'exhausted' });
  await expect(lvm.create(store('b'), mib(3), 'raid1', [])).rejects.toMatchObject({ kind: 'exhausted' });
  await lvm.create(store('b'), mib(1), 'raid1', []);
  expect((await lvm.report()).free).toBe(mib(3));
  await lvm.shrink(store('a'), mib(1));
  expect((await lvm.report()).free).toBe(mib(5));
  await lvm.remove(store('a'));
  await lvm.remove(store('a'));
  await expect(lvm.create(store('b'), mib(1), 'linear', [])).rejects.toThrow('exists');
  await expect(lvm.retag(store('b'), ['no spaces'], [])).rejects.toThrow('no tag');
});

test('strangers are counted, out of reach, and seen to be as they were', async () => {
  const { lvm, control, inspect } = createWorld({ extent: mib(1), disks: [mib(8)] });
  control.addStranger('root', mib(2));
  await lvm.create(store('a'), mib(1), 'linear', []);
  expect(await lvm.report()).toMatchObject({ strangers: 1, free: mib(5) });
  expect(inspect.strangersIntact()).toBe(true);
  control.crashPower({ commits: 'everything' });
  expect(inspect.strangersIntact()).toBe(true);
});

test('shrinking a store in use below what it holds is noticed', async () => {
  const rig = createRig();
  const v = zeroes();
  await rig.lv('D');
  await rig.create('real', [linear(s('D'))]);
  await rig.lv('c1');
  await rig.create('S1', snapshot(d('real'), s('c1')));
  await rig.create('v', origin(d('real')));
  rig.fill('v', v, 30);
  await rig.world.lvm.shrink(store('c1'), kib(512));
  expect(rig.world.inspect.notices()).toEqual([]);
  rig.check('S1', zeroes());
  await rig.world.lvm.shrink(store('c1'), kib(64));
  expect(rig.world.inspect.notices().map((each) => each.kind)).toEqual(['cut-store']);
});

test('a broken disk fails reads and writes, invalidates what it fed, and heals', async () => {
  const rig = createRig({ disks: [mib(1), mib(1)] });
  const v = zeroes();
  await rig.lv('D');
  await rig.lv('c1');
  await rig.create('real', [linear(s('D'))]);
  await rig.create('S1', snapshot(d('real'), s('c1')));
  await rig.create('v', origin(d('real')));
  rig.fill('v', v, 10);
  rig.world.control.breakDisk(1, true);
  expect((await rig.world.lvm.report()).stores.map((each) => each.damaged)).toEqual([false, true]);
  expect(rig.world.user.write(key('v'), 0, [1])).toBe('done');
  expect(rig.world.user.write(key('v'), 120, [1])).toBe('done');
  expect(rig.world.inspect.invalidated()).toEqual([key('S1')]);
  rig.world.control.breakDisk(1, false);
  rig.world.control.breakDisk(0, true);
  expect(rig.world.user.read(key('v'), 0, 1)).toBe('failed');
  expect(rig.world.user.write(key('v'), 0, [2])).toBe('failed');
});
