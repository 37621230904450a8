// Exceptions handed over between tables with the same origin and store, and what the kernel refuses around it.

import { expect, test } from 'vitest';
import { mib } from '../../src/units.ts';
import type { Rig } from './proof-rig.ts';
import { createRig, d, key, linear, merge, s, snapshot, store, zeroes } from './proof-rig.ts';

/** A fork F of a base B, some chunks written. */
async function fork(rig: Rig): Promise<number[]> {
  const base = zeroes();
  await rig.lv('B');
  await rig.create('base', [linear(s('B'))]);
  rig.fill('base', base, 60);
  await rig.lv('f1');
  await rig.create('F', snapshot(d('base'), s('f1')));
  const f = [...base];
  rig.fill('F', f, 40);
  return f;
}

test('snapshot to snapshot-merge, live, with writes throughout', async () => {
  const rig = createRig();
  const f = await fork(rig);
  await rig.create('top', [linear(d('F'))]);
  await rig.load('F', merge(d('base'), s('f1')));
  rig.fill('top', f, 10);
  await rig.resume('F');
  rig.check('top', f);
  while (rig.world.control.merge(2) > 0) {
    rig.fill('top', f, 3);
    rig.check('top', f);
  }
  const status = await rig.status('F');
  expect(status.split(' ')[1]).toBe(status.split('/')[0]);
  await rig.load('F', [linear(d('base'))]);
  await rig.resume('F');
  rig.check('top', f);
  expect(rig.world.inspect.notices()).toEqual([]);
});

test('from another device only while the source is suspended, and the source is invalid after', async () => {
  const rig = createRig();
  const f = await fork(rig);
  await rig.world.kernel.apply({ do: 'create', device: key('G') });
  await rig.load('G', snapshot(d('base'), s('f1')));
  await expect(rig.resume('G')).rejects.toThrow('until source is suspended');
  expect(rig.world.inspect.suspended()).toEqual([key('G')]);
  await rig.suspend('F');
  await expect(rig.resume('F')).rejects.toThrow('until handover completes');
  await rig.resume('G');
  rig.check('G', f);
  await rig.resume('F');
  expect(await rig.status('F')).toBe('invalid');
});

test('a source that goes before the handover takes the destination with it', async () => {
  const rig = createRig();
  await fork(rig);
  await rig.world.kernel.apply({ do: 'create', device: key('G') });
  await rig.load('G', merge(d('base'), s('f1')));
  await rig.remove('F');
  await rig.resume('G');
  expect(await rig.status('G')).toBe('invalid');
  expect(rig.world.inspect.notices().map((each) => each.kind)).toEqual(['handover-cancelled']);
});

test('a third table over one origin and store is refused', async () => {
  const rig = createRig();
  await fork(rig);
  for (const name of ['G', 'H']) await rig.world.kernel.apply({ do: 'create', device: key(name) });
  await rig.load('G', snapshot(d('base'), s('f1')));
  await expect(rig.load('H', snapshot(d('base'), s('f1')))).rejects.toThrow('handover failed');
});

test('a merge cannot be reloaded as a merge, but by way of a snapshot it can', async () => {
  const rig = createRig({ mergeOnResume: 3 });
  const f = await fork(rig);
  await rig.load('F', merge(d('base'), s('f1')));
  await rig.resume('F');
  await expect(rig.load('F', merge(d('base'), s('f1')))).rejects.toThrow('already merging');
  await rig.suspend('F');
  await rig.load('F', snapshot(d('base'), s('f1')));
  await rig.resume('F');
  rig.fill('F', f, 5);
  await rig.load('F', merge(d('base'), s('f1')));
  await rig.resume('F');
  rig.check('F', f);
  expect(rig.world.control.finishMerges()).toBe(true);
  rig.check('F', f);
});

test('a second merge into one origin is refused by handover only; loaded from the store it is accepted', async () => {
  const rig = createRig({ mergeOnResume: 0 });
  await fork(rig);
  await rig.lv('f2');
  await rig.create('G', snapshot(d('base'), s('f2')));
  await rig.load('F', merge(d('base'), s('f1')));
  await rig.resume('F');
  await expect(rig.load('G', merge(d('base'), s('f2')))).rejects.toThrow('already merging');
  await rig.remove('G');
  await rig.create('G', merge(d('base'), s('f2')));
  expect(rig.world.inspect.notices().map((each) => each.kind)).toEqual(['two-merges']);
});

test('lengths are looked at in the first load, and then only when a table is swapped in', async () => {
  const rig = createRig();
  await rig.lv('B', mib(1));
  await rig.world.kernel.apply({ do: 'create', device: key('a') });
  await expect(rig.load('a', [linear(s('B'), 512)])).rejects.toThrow('too small');
  await rig.load('a', [linear(s('B'), 128)]);
  await rig.resume('a');
  await rig.load('a', [linear(s('B'), 512)]);
  await expect(rig.resume('a')).rejects.toThrow('too small');
  const device = (await rig.world.kernel.observe()).devices.get(key('a'));
  expect(device).toMatchObject({ suspended: true, inactive: undefined });
  await rig.resume('a');
  expect(rig.world.inspect.content(key('a'))).toEqual(zeroes());
});

test('what is in use is not removed, and what exists is not created', async () => {
  const rig = createRig();
  await fork(rig);
  const { kernel, lvm, user } = rig.world;
  await expect(rig.remove('base')).rejects.toThrow('busy');
  await expect(kernel.apply({ do: 'create', device: key('base') })).rejects.toThrow('exists');
  await expect(kernel.apply({ do: 'deactivate', store: store('f1') })).rejects.toThrow('in use');
  await expect(lvm.remove(store('f1'))).rejects.toThrow('in use');
  user.open(key('F'));
  await expect(rig.remove('F')).rejects.toThrow('busy');
  user.close(key('F'));
  await rig.remove('F', 'base');
  await lvm.remove(store('f1'));
  await expect(rig.resume('F')).rejects.toThrow('no such device');
});
