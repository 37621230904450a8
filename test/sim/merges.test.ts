// Rules of merges that show only where it is said how far a merge is: the rest is in contract/rules.ts.

import { expect, test } from 'vitest';
import { d, linear, merge, origin, s, snapshot, store, zeroes } from '../contract/words.ts';
import type { Rig } from './proof-rig.ts';
import { createRig } from './proof-rig.ts';

/** v over real over D, 60 chunks written. */
async function volume(rig: Rig): Promise<number[]> {
  const v = zeroes();
  await rig.lv('D');
  await rig.create('real', [linear(s('D'))]);
  await rig.create('v', [linear(d('real'))]);
  rig.fill('v', v, 60);
  return v;
}

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

const kinds = (rig: Rig) => [...new Set(rig.world.inspect.notices().map((each) => each.kind))];

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
