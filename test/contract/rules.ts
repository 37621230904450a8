// The kernel's rules, each shown by breaking it: what device-mapper does with an order that the planner must never choose,
// and with the right one beside it. The simulated node and the real kernel run the same cases, so that the simulation
// corrupts and refuses exactly where the kernel does.

import { expect } from 'vitest';
import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import type { RuleRig } from './rule-rig.ts';
import { d, filler, linear, merge, origin, s, snapshot, zeroes } from './words.ts';

export interface RuleCase {
  readonly name: string;
  /** Kinds of what the simulation must notice by itself, in any order; the kernel says nothing. */
  readonly noticed: readonly string[];
  readonly run: (r: RuleRig) => Promise<void>;
}

/** v over real over D, 60 chunks written. */
async function volume(r: RuleRig): Promise<number[]> {
  const v = zeroes();
  await r.lv('D');
  await r.create('real', [linear(s('D'))]);
  await r.create('v', [linear(d('real'))]);
  await r.fill('v', v, 60);
  return v;
}

async function takeFirst(r: RuleRig): Promise<void> {
  await r.lv('c1');
  await r.suspend('v');
  await r.create('S1', snapshot(d('real'), s('c1')));
  await r.load('v', origin(d('real')));
  await r.resume('v');
}

/** The kind of error that a step ends in; a hang is none. */
async function answer(step: Promise<void>): Promise<string> {
  try {
    await step;
    return 'done';
  } catch (error) {
    if (error instanceof SnapmergeError) return error.kind;
    throw error;
  }
}

const tags = (from: number, count: number): readonly number[] => Array.from({ length: count }, (_, i) => from + i);

/** A fork F of a base B, some chunks written. */
async function fork(r: RuleRig): Promise<number[]> {
  const base = zeroes();
  await r.lv('B');
  await r.create('base', [linear(s('B'))]);
  await r.fill('base', base, 60);
  await r.lv('f1');
  await r.create('F', snapshot(d('base'), s('f1')));
  const f = [...base];
  await r.fill('F', f, 40);
  return f;
}

const ORDERS: readonly RuleCase[] = [
  {
    name: 'a re-parented table loaded before the freeze has stale exceptions',
    noticed: ['stale-exceptions'],
    run: async (r) => {
      const v = await volume(r);
      await takeFirst(r);
      const s1 = [...v];
      await r.lv('c2');
      await r.make('S2');
      await r.load('S2', snapshot(d('real'), s('c2')));
      await r.load('S1', snapshot(d('S2'), s('c1')));
      await r.fill('v', v, 40);
      await r.suspend('v', 'S1');
      await r.resume('S2', 'S1', 'v');
      await r.fill('v', v, 20);
      expect(await r.wrong('S1', s1)).toBeGreaterThan(0);
    },
  },
  {
    name: 'a re-parented table loaded while the volume and the snapshot stand still is right',
    noticed: [],
    run: async (r) => {
      const v = await volume(r);
      await takeFirst(r);
      const s1 = [...v];
      await r.fill('v', v, 40);
      await r.lv('c2');
      await r.make('S2');
      await r.load('S2', snapshot(d('real'), s('c2')));
      await r.suspend('v', 'S1');
      await r.load('S1', snapshot(d('S2'), s('c1')));
      await r.resume('S2', 'S1', 'v');
      const s2 = [...v];
      await r.fill('v', v, 40);
      expect(await r.wrong('S1', s1)).toBe(0);
      expect(await r.wrong('S2', s2)).toBe(0);
    },
  },
  {
    name: 'two live snapshots over one store are accepted without a word',
    noticed: ['shared-store', 'stale-exceptions'],
    run: async (r) => {
      const v = await volume(r);
      await takeFirst(r);
      const s1 = [...v];
      await r.lv('c2');
      await r.create('S2', snapshot(d('real'), s('c2')));
      await r.create('S1b', snapshot(d('S2'), s('c1')));
      await r.fill('v', v, 30);
      expect(await r.wrong('S1', s1)).toBe(0);
      await r.fill('S1b', [...s1], 20);
      expect(await r.wrong('S1', s1)).toBeGreaterThan(0);
    },
  },
  {
    name: 'of a snapshot made without its origin being resumed after, only the first chunk of a write is copied out',
    noticed: ['torn-write'],
    run: async (r) => {
      const v = await volume(r);
      await r.lv('c0');
      await r.suspend('v');
      await r.load('v', origin(d('real')));
      await r.resume('v');
      await r.create('S1', snapshot(d('real'), s('c0')));
      const s1 = [...v];
      await r.write('v', v, 0, tags(100_000, 64));
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBeGreaterThan(32);

      await r.lv('c2');
      await r.suspend('v');
      await r.create('S2', snapshot(d('real'), s('c2')));
      await r.resume('v');
      const s2 = [...v];
      await r.write('v', v, 0, tags(200_000, 64));
      expect(await r.wrong('S2', s2)).toBe(0);
    },
  },
  {
    name: 'a left-over inactive table is activated by the next plain resume, unless it is cleared',
    noticed: [],
    run: async (r) => {
      const v = await volume(r);
      await r.load('v', [filler('zero', 128)]);
      await r.suspend('v');
      await r.resume('v');
      expect(await r.wrong('v', zeroes())).toBe(0);
      await r.load('v', [filler('error', 128)]);
      await r.load('v', [linear(d('real'))]);
      await r.resume('v');
      expect(await r.wrong('v', v)).toBe(0);
      await r.load('v', [filler('zero', 128)]);
      await r.clear('v');
      await r.suspend('v');
      await r.resume('v');
      expect(await r.wrong('v', v)).toBe(0);
    },
  },
  {
    name: 'a new table of a snapshot that is loaded already must be cleared before it can be loaded again',
    noticed: [],
    run: async (r) => {
      await volume(r);
      await r.lv('c1');
      const table = snapshot(d('real'), s('c1'));
      await r.make('S1');
      await r.load('S1', table);
      expect(await answer(r.load('S1', table))).toBe('internal');
      await r.clear('S1');
      await r.load('S1', table);
      await r.resume('S1');
    },
  },
  {
    name: 'a store that held a dead snapshot is read as one when nobody zeroes it',
    noticed: ['foreign-metadata'],
    run: async (r) => {
      const v = await volume(r);
      await takeFirst(r);
      await r.fill('v', v, 30);
      await r.suspend('v');
      await r.load('v', [linear(d('real'))]);
      await r.resume('v');
      await r.remove('S1');
      await r.dropLv('c1');
      await r.dirtyLv('c2');
      await r.create('S2', snapshot(d('real'), s('c2')));
      expect(await r.wrong('S2', v)).toBeGreaterThan(0);
    },
  },
  {
    name: 'a store with anything else in its first chunk is refused until that is zeroed',
    noticed: [],
    run: async (r) => {
      await volume(r);
      await r.lv('x');
      await r.create('dirt', [linear(s('x'))]);
      await r.fill('dirt', zeroes(), 200);
      await r.remove('dirt');
      await r.make('S1');
      expect(await answer(r.load('S1', snapshot(d('real'), s('x'))))).toBe('internal');
      await r.zero('x', kib(8));
      await r.load('S1', snapshot(d('real'), s('x')));
    },
  },
  {
    name: 'a merge into zero reports success, and the chunks are gone',
    noticed: ['merged-into-zero'],
    run: async (r) => {
      const v = await volume(r);
      await r.lv('f1');
      await r.create('pad', [linear(d('real')), filler('zero', 64)]);
      await r.create('F', snapshot(d('pad'), s('f1'), { blocks: 192 }));
      const f = [...v, ...zeroes(64)];
      await r.fill('F', f, 60);
      expect(await r.wrong('F', f)).toBe(0);
      await r.suspend('F');
      await r.load('F', merge(d('pad'), s('f1'), { blocks: 192 }));
      await r.resume('F');
      await r.finishMerges();
      expect(await r.status('F')).toBe('32 32');
      expect(await r.wrong('F', f)).toBeGreaterThan(0);
    },
  },
  {
    name: 'a merge that is shorter than what its store holds goes on beyond its own end, as far as its origin does',
    noticed: [],
    run: async (r) => {
      const f = await fork(r);
      await r.remove('F');
      await r.create('M', merge(d('base'), s('f1'), { blocks: 64 }));
      await r.finishMerges();
      expect(await r.status('M')).toBe('32 32');
      expect(await r.wrong('base', f)).toBe(0);
    },
  },
  {
    name: 'a merge fails for good when it comes to a chunk beyond the end of its origin',
    noticed: ['merge-failed'],
    run: async (r) => {
      const f = await fork(r);
      await r.write('F', f, 100, [7, 7]);
      await r.remove('F');
      await r.create('level', [linear(d('base'), 64)]);
      await r.create('M', merge(d('level'), s('f1'), { blocks: 64 }));
      await r.settle();
      expect(await r.status('M')).toBe('merge-failed');
    },
  },
  {
    name: 'after a grow and a restore, the piece behind an end that is no multiple of the chunk shows old bytes',
    noticed: [],
    run: async (r) => {
      await r.lv('D');
      await r.create('real', [linear(s('D'), 124)]);
      await r.create('v', [linear(d('real'), 124)]);
      const v = zeroes(124);
      await r.fill('v', v, 60);
      await r.lv('c1');
      await r.create('dirt', [linear(s('c1'), 256)]);
      await r.write('dirt', zeroes(256), 0, tags(1_000_000, 256));
      await r.remove('dirt');
      await r.zero('c1', kib(64));
      await r.suspend('v');
      await r.create('S1', snapshot(d('real'), s('c1'), { blocks: 124, chunk: 8 }));
      await r.load('v', origin(d('real'), 124));
      await r.resume('v');
      const s1 = [...v, 0, 0, 0, 0];
      await r.write('v', v, 122, [7, 7]);
      await r.suspend('v', 'S1', 'real');
      await r.load('real', [linear(s('D'))]);
      await r.resume('real');
      await r.load('v', origin(d('real')));
      await r.resume('S1', 'v');
      await r.suspend('v', 'S1', 'real');
      await r.remove('S1');
      await r.load('real', merge(s('D'), s('c1'), { chunk: 8 }));
      await r.resume('real', 'v');
      await r.finishMerges();
      expect(await r.wrong('v', s1)).toBe(4);
    },
  },
  {
    name: 'a write past a live snapshot spoils it',
    noticed: ['unfed-write'],
    run: async (r) => {
      const v = await volume(r);
      await r.lv('c1');
      await r.create('S1', snapshot(d('real'), s('c1')));
      const s1 = [...v];
      await r.fill('v', v, 5);
      expect(await r.wrong('S1', s1)).toBeGreaterThan(0);
    },
  },
];

const HANDOVER: readonly RuleCase[] = [
  {
    name: 'snapshot to snapshot-merge, live, with writes throughout',
    noticed: [],
    run: async (r) => {
      const f = await fork(r);
      await r.create('top', [linear(d('F'))]);
      await r.load('F', merge(d('base'), s('f1')));
      await r.fill('top', f, 10);
      await r.resume('F');
      for (let round = 0; round < 5; round += 1) {
        await r.fill('top', f, 3);
        await r.rig.pause();
        expect(await r.wrong('top', f)).toBe(0);
      }
      await r.finishMerges();
      const [used, metadata] = (await r.status('F')).split(' ');
      expect(used).toBe(metadata);
      await r.load('F', [linear(d('base'))]);
      await r.resume('F');
      expect(await r.wrong('top', f)).toBe(0);
    },
  },
  {
    name: 'from another device only while the source is suspended, and the source is invalid after',
    noticed: ['shared-store'],
    run: async (r) => {
      const f = await fork(r);
      await r.make('G');
      await r.load('G', snapshot(d('base'), s('f1')));
      expect(await answer(r.resume('G'))).toBe('internal');
      await r.suspend('F');
      expect(await answer(r.resume('F'))).toBe('internal');
      await r.resume('G');
      expect(await r.wrong('G', f)).toBe(0);
      await r.resume('F');
      expect(await r.status('F')).toBe('invalid');
    },
  },
  {
    name: 'a source that goes before the handover takes the destination with it',
    noticed: ['handover-cancelled'],
    run: async (r) => {
      await fork(r);
      await r.make('G');
      await r.load('G', merge(d('base'), s('f1')));
      await r.remove('F');
      await r.resume('G');
      expect(await r.status('G')).toBe('invalid');
    },
  },
  {
    name: 'a third table over one origin and store is refused',
    noticed: [],
    run: async (r) => {
      await fork(r);
      await r.make('G', 'H');
      await r.load('G', snapshot(d('base'), s('f1')));
      expect(await answer(r.load('H', snapshot(d('base'), s('f1'))))).toBe('internal');
    },
  },
  {
    name: 'a second merge into one origin is accepted when it is loaded from the store',
    noticed: ['two-merges'],
    run: async (r) => {
      await fork(r);
      await r.lv('f2');
      await r.load('F', merge(d('base'), s('f1')));
      await r.resume('F');
      await r.create('G', merge(d('base'), s('f2')));
    },
  },
  {
    name: 'lengths are looked at in the first load, and then only when a table is swapped in',
    noticed: [],
    run: async (r) => {
      await r.lv('B', mib(1));
      await r.make('a');
      expect(await answer(r.load('a', [linear(s('B'), 512)]))).toBe('internal');
      await r.load('a', [linear(s('B'), 128)]);
      await r.resume('a');
      await r.load('a', [linear(s('B'), 512)]);
      expect(await answer(r.resume('a'))).toBe('internal');
      const { devices } = await r.rig.kernel.observe();
      expect([...devices.values()].map(({ suspended, inactive }) => ({ suspended, inactive }))).toEqual([
        { suspended: true, inactive: undefined },
      ]);
      await r.resume('a');
      expect(await r.wrong('a', zeroes())).toBe(0);
    },
  },
  {
    name: 'what is in use is not removed, and what exists is not created',
    noticed: [],
    run: async (r) => {
      await fork(r);
      expect(await answer(r.remove('base'))).toBe('internal');
      expect(await answer(r.make('base'))).toBe('internal');
      expect(await answer(r.dropLv('f1'))).toBe('internal');
      await r.remove('F', 'base');
      await r.dropLv('f1');
      expect(await answer(r.resume('F'))).toBe('internal');
    },
  },
];

/** 512 chunks of 8 KiB, their metadata and the header: with one area behind the last full one, and without. */
async function filled(r: RuleRig, chunks: number): Promise<{ readonly status: string; readonly wrong: number }> {
  const blocks = 1024;
  await r.lv('D', mib(4));
  await r.lv('c1', mib(5));
  await r.create('real', [linear(s('D'), blocks)]);
  await r.create('v', [linear(d('real'), blocks)]);
  const v = zeroes(blocks);
  await r.fill('v', v, 400);
  await r.create('cow', [linear(s('c1'), chunks * 2)]);
  await r.suspend('v');
  await r.create('S1', snapshot(d('real'), d('cow'), { blocks }));
  await r.load('v', origin(d('real'), blocks));
  await r.resume('v');
  const s1 = [...v];
  for (let at = 0; at < blocks; at += 64) await r.write('v', v, at, tags(500_000 + at, 64));
  const status = await r.status('S1');
  return { status, wrong: status === 'invalid' ? 0 : await r.wrong('S1', s1) };
}

const FULL: readonly RuleCase[] = [
  {
    name: 'a store without room for one more area is invalid when the last one fills',
    noticed: ['invalidated'],
    run: async (r) => {
      expect(await filled(r, 514)).toEqual({ status: 'invalid', wrong: 0 });
    },
  },
  {
    name: 'a store with room for one more area holds every chunk',
    noticed: [],
    run: async (r) => {
      expect(await filled(r, 515)).toEqual({ status: '8240 48', wrong: 0 });
    },
  },
];

export const RULES: readonly RuleCase[] = [...ORDERS, ...HANDOVER, ...FULL];
