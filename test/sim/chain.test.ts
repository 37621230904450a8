// proofs/chain.py as a test of the simulation: the right order keeps every content.

import { expect, test } from 'vitest';
import { createRig } from './proof-rig.ts';
import { key, d, linear, merge, origin, s, snapshot, store, zeroes } from '../contract/words.ts';

test('a chain with a fork, a snapshot of the fork, a middle snapshot deleted, a restore', async () => {
  const rig = createRig({ seed: 7 });
  const { lv, create, load, suspend, resume, remove, fill, check, world } = rig;
  const v = zeroes();
  await lv('D');
  await create('real', [linear(s('D'))]);
  await create('v', [linear(d('real'))]);
  fill('v', v, 60);

  await lv('c1');
  await suspend('v');
  await create('S1', snapshot(d('real'), s('c1')));
  await load('v', origin(d('real')));
  await resume('v');
  const s1 = [...v];
  fill('v', v, 40);
  check('S1', s1);

  await lv('c2');
  await suspend('v', 'S1');
  await create('S2', snapshot(d('real'), s('c2')));
  await load('S1', snapshot(d('S2'), s('c1')));
  await resume('S1', 'v');
  const s2 = [...v];
  fill('v', v, 50);
  check('S1', s1);
  check('S2', s2);

  await lv('f1');
  await create('Freal', snapshot(d('S1'), s('f1')));
  await create('F', [linear(d('Freal'))]);
  const f = [...s1];
  fill('F', f, 30);
  await lv('t1');
  await suspend('F');
  await create('T', snapshot(d('Freal'), s('t1')));
  await load('F', origin(d('Freal')));
  await resume('F');
  const t = [...f];
  fill('F', f, 30);

  await lv('c3');
  await suspend('v', 'S2');
  await create('S3', snapshot(d('real'), s('c3')));
  await load('S2', snapshot(d('S3'), s('c2')));
  await resume('S2', 'v');
  const s3 = [...v];
  fill('v', v, 50);
  const all = (): void => {
    check('S3', s3);
    check('T', t);
    check('F', f);
    check('S1', s1);
    check('v', v);
  };
  all();
  check('S2', s2);

  await suspend('S1');
  await load('S1', merge(d('S2'), s('c1')));
  await resume('S1');
  all();
  expect(world.control.finishMerges()).toBe(true);
  all();
  await suspend('S1');
  await load('S1', [linear(d('S2'))]);
  await resume('S1');
  await world.lvm.remove(store('c1'));
  await suspend('S1', 'S2');
  await load('S1', snapshot(d('S3'), s('c2')));
  await resume('S1', 'S2');
  await remove('S2');
  fill('v', v, 30);
  all();

  await lv('n3');
  await suspend('v', 'S1', 'S3', 'real');
  await load('real', merge(s('D'), s('c3')));
  await load('S3', snapshot(d('real'), s('n3')));
  await resume('real', 'S3', 'S1', 'v');
  v.splice(0, v.length, ...s3);
  check('v', v);
  fill('v', v, 40);
  all();
  expect(world.control.finishMerges()).toBe(true);
  await suspend('v', 'real');
  await load('real', [linear(s('D'))]);
  await resume('real', 'v');
  await world.lvm.remove(store('c3'));
  fill('v', v, 20);
  all();
  expect(world.inspect.notices().filter((each) => each.key !== key('S2'))).toEqual([]);
});
