// proofs/restore_older.py as a test of the simulation: restore to the oldest of four snapshots, keep them all, take a
// fifth while merging, cut the power in the middle, fall back to a chain. And the two wrong orders that were seen.

import { expect, test } from 'vitest';
import { mib } from '../../src/vocabulary/units.ts';
import { d, linear, merge, origin, s, snapshot, store, zeroes } from '../contract/words.ts';
import type { Rig } from './proof-rig.ts';
import { createRig } from './proof-rig.ts';

interface Family {
  readonly rig: Rig;
  readonly v: number[];
  readonly snaps: Map<string, readonly number[]>;
}

/** Volume v with snapshots S1 to S4 in a chain, stores c1 to c4, and empty stores n1 to n4. */
async function family(seed: number): Promise<Family> {
  const rig = createRig({ seed });
  const { lv, create, load, suspend, resume, fill } = rig;
  const v = zeroes();
  const snaps = new Map<string, readonly number[]>();
  await lv('D');
  await create('real', [linear(s('D'))]);
  await create('v', [linear(d('real'))]);
  fill('v', v, 90);
  for (const i of [1, 2, 3, 4]) {
    await lv(`c${i}`);
    await lv(`n${i}`);
    await suspend('v');
    if (i > 1) await suspend(`S${i - 1}`);
    await create(`S${i}`, snapshot(d('real'), s(`c${i}`)));
    if (i > 1) {
      await load(`S${i - 1}`, snapshot(d(`S${i}`), s(`c${i - 1}`)));
      await resume(`S${i - 1}`);
    }
    await load('v', origin(d('real')));
    await resume('v');
    snaps.set(`S${i}`, [...v]);
    fill('v', v, 40);
  }
  return { rig, v, snaps };
}

function checkAll({ rig, v, snaps }: Family): void {
  rig.check('v', v);
  for (const [name, model] of snaps) rig.check(name, model);
}

async function beginRestore({ rig, v, snaps }: Family): Promise<void> {
  const { create, load, suspend, resume } = rig;
  await suspend('v', 'S1', 'S2', 'S3', 'S4', 'real');
  await create('r4', merge(s('D'), s('c4')));
  await load('S4', snapshot(d('r4'), s('n4')));
  await resume('S4');
  await create('r3', merge(d('r4'), s('c3')));
  await load('S3', snapshot(d('r3'), s('n3')));
  await resume('S3');
  await create('r2', merge(d('r3'), s('c2')));
  await load('S2', snapshot(d('r2'), s('n2')));
  await resume('S2');
  await load('real', merge(d('r2'), s('c1')));
  await load('S1', snapshot(d('real'), s('n1')));
  await resume('real', 'S1', 'v');
  v.splice(0, v.length, ...(snaps.get('S1') ?? []));
}

/** The same tables after a boot; each merge's fed sibling is there before the merge above it starts. */
async function boot({ rig }: Family, fedFirst: boolean): Promise<void> {
  const { create } = rig;
  for (const name of ['D', 'c1', 'c2', 'c3', 'c4', 'n1', 'n2', 'n3', 'n4']) {
    await rig.world.kernel.apply([{ do: 'activate', stores: [store(name)] }]);
  }
  await create('r4', merge(s('D'), s('c4')));
  if (fedFirst) await create('S4', snapshot(d('r4'), s('n4')));
  await create('r3', merge(d('r4'), s('c3')));
  if (fedFirst) await create('S3', snapshot(d('r3'), s('n3')));
  await create('r2', merge(d('r3'), s('c2')));
  if (fedFirst) await create('S2', snapshot(d('r2'), s('n2')));
  await create('real', merge(d('r2'), s('c1')));
  if (!fedFirst) {
    rig.world.control.merge(10);
    for (const i of [4, 3, 2]) await create(`S${i}`, snapshot(d(`r${i}`), s(`n${i}`)));
  }
  await create('S1', snapshot(d('real'), s('n1')));
  await create('v', origin(d('real')));
}

async function rechain({ rig }: Family, chain: readonly string[]): Promise<void> {
  const { load, suspend, resume, remove } = rig;
  await suspend('v', ...chain, 'real', 'r2', 'r3', 'r4');
  await load('real', [linear(s('D'))]);
  await resume('real', chain[0] ?? 'S1');
  for (const [i, name] of chain.entries()) {
    if (i === 0) continue;
    await load(name, snapshot(d(chain[i - 1] ?? ''), s(name.replace('S', 'n'))));
    await resume(name);
  }
  await resume('v');
  for (const r of ['r2', 'r3', 'r4']) {
    await resume(r);
    await remove(r);
  }
}

test.each([1, 2, 3, 4, 5])(
  'restore to the oldest, keep all, a snapshot meanwhile, back to a chain (seed %i)',
  async (seed) => {
    const f = await family(seed);
    const { rig, v, snaps } = f;
    checkAll(f);
    await beginRestore(f);
    checkAll(f);
    rig.fill('v', v, 20);
    rig.world.control.merge(7);
    rig.fill('v', v, 20);
    checkAll(f);

    await rig.lv('nT', mib(1));
    await rig.suspend('v', 'S1');
    await rig.create('T', snapshot(d('real'), s('nT')));
    await rig.load('S1', snapshot(d('T'), s('n1')));
    await rig.resume('S1', 'v');
    snaps.set('T', [...v]);
    rig.world.control.merge(5);
    rig.fill('v', v, 30);
    checkAll(f);
    expect(rig.world.control.finishMerges()).toBe(true);
    checkAll(f);
    await rechain(
      f,
      ['T', 'S1', 'S2', 'S3', 'S4'].map((name) => name),
    );
    rig.fill('v', v, 60);
    checkAll(f);
    expect(rig.world.inspect.notices()).toEqual([]);
  },
);

test.each([1, 2, 3])('power cuts in the middle of four stacked merges (seed %i)', async (seed) => {
  const f = await family(seed);
  const { rig, v } = f;
  await beginRestore(f);
  for (const chunks of [3, 11, 6]) {
    rig.world.control.merge(chunks);
    rig.fill('v', v, 10);
    rig.world.control.merge(chunks);
    await rig.world.lvm.flush();
    if (chunks === 11) rig.world.control.crashInMerge();
    else rig.world.control.crashPower({ contents: 'some' });
    await boot(f, true);
    checkAll(f);
  }
  rig.fill('v', v, 20);
  expect(rig.world.control.finishMerges()).toBe(true);
  checkAll(f);
  expect(rig.world.inspect.notices()).toEqual([]);
});

test('wrong: merges that start before their fed snapshots are in place', async () => {
  const f = await family(1);
  await beginRestore(f);
  f.rig.world.control.merge(3);
  await f.rig.world.lvm.flush();
  f.rig.world.control.crashPower();
  await boot(f, false);
  f.rig.check('v', f.v);
  const lost = ['S2', 'S3', 'S4'].map((name) => f.rig.wrong(name, f.snaps.get(name) ?? []));
  expect(lost.reduce((sum, each) => sum + each, 0)).toBeGreaterThan(0);
});

test('wrong: a chain put back before every merge is done', async () => {
  const f = await family(1);
  await beginRestore(f);
  f.rig.world.control.merge(3);
  await rechain(f, ['S1', 'S2', 'S3', 'S4']);
  expect(f.rig.wrong('v', f.v)).toBeGreaterThan(0);
});
