// What hangs while a write waits at a tail, and what goes on; merges that feed a full sibling.

import { expect } from 'vitest';
import type { RuleRig } from '../rule-rig.ts';
import type { RuleCase } from '../rules.ts';
import { BLOCKS, CHUNK, d, filler, linear, merge, s, snapshot, tailed, zeroes } from '../words.ts';
import {
  REST,
  ROOM,
  SECTORS,
  cowDevice,
  elsewhere,
  extend,
  extendWhole,
  full,
  news,
  put,
  tags,
  usedBlocks,
} from './bench.ts';

export const HANGS: readonly RuleCase[] = [
  {
    name: 'while a write waits at the tail, a freeze of its volume hangs until there is room',
    noticed: ['hang'],
    run: async (r) => {
      const { v, s1, writer } = await full(r);
      const freeze = r.begin.suspend('v');
      expect(await freeze.waits()).toBe(true);
      expect(await r.wrong('S1', s1)).toBe(0);
      await extendWhole(r);
      expect(await freeze.ends()).toBe('done');
      await r.resume('v');
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
  {
    name: 'while a write waits at the tail, the snapshot can be suspended, but its resume hangs until there is room',
    noticed: ['hang'],
    run: async (r) => {
      const { v, s1, writer } = await full(r);
      expect(await r.begin.suspend('S1').ends()).toBe('done');
      const thaw = r.begin.resume('S1');
      expect(await thaw.waits()).toBe(true);
      await extendWhole(r);
      expect(await thaw.ends()).toBe('done');
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
  {
    name: 'while a write waits at the tail, the resume of another snapshot of that origin hangs until there is room',
    noticed: ['hang'],
    run: async (r) => {
      const { v, s1, writer } = await full(r);
      await r.lv('c2');
      await r.make('S2');
      await r.load('S2', snapshot(d('real'), s('c2')));
      const first = r.begin.resume('S2');
      expect(await first.waits()).toBe(true);
      await elsewhere(r);
      await extendWhole(r);
      expect(await first.ends()).toBe('done');
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
  {
    name: 'while a write waits at the tail, a suspend and a reload of the cow device hang until there is room',
    noticed: ['hang'],
    run: async (r) => {
      const { v, s1, writer } = await full(r);
      const still = r.begin.suspend('cow');
      expect(await still.waits()).toBe(true);
      await extend(r, 'tail', ROOM, ROOM + CHUNK, 'tail1');
      expect(await still.ends()).toBe('done');
      await r.resume('cow');
      expect(await writer.ends()).toBe('done');
      put(v, 6);

      // A flatten that came too late is let through by the next extension, and shows the same bytes.
      const second = r.begin.write('v', 7 * CHUNK, news(7));
      expect(await second.waits()).toBe(true);
      await r.load('cow', tailed(s('c1'), ROOM + CHUNK, d('tail1'), REST - CHUNK));
      const flatten = r.begin.resume('cow');
      expect(await flatten.waits()).toBe(true);
      await extend(r, 'tail1', ROOM + CHUNK, ROOM + 3 * CHUNK, 'tail2');
      expect(await flatten.ends()).toBe('done');
      expect(await second.ends()).toBe('done');
      put(v, 7);
      await r.remove('tail');
      await r.write('v', v, 8 * CHUNK, news(8));
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
  {
    name: 'while a write waits at the tail, a snapshot that is removed hangs until there is room',
    noticed: ['hang'],
    run: async (r) => {
      const { v, writer } = await full(r);
      const gone = r.begin.remove('S1');
      expect(await gone.waits()).toBe(true);
      await r.status('v');
      await extendWhole(r);
      expect(await gone.ends()).toBe('done');
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      expect(await r.wrong('v', v)).toBe(0);
    },
  },
  {
    name: 'while a write waits at the tail, status, other images, other families and stores go on',
    noticed: [],
    run: async (r) => {
      const { v, s1, writer } = await full(r);
      await r.rig.kernel.observe();
      expect(await usedBlocks(r, 'S1')).toBe(ROOM + CHUNK);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
      await elsewhere(r);
      // A fork of the snapshot whose store is full, and the end of one.
      await r.lv('f1');
      await r.create('F', snapshot(d('S1'), s('f1')));
      expect(await r.wrong('F', s1)).toBe(0);
      await r.remove('F');
      await r.dropLv('f1');
      await r.rig.lvm.report();
      expect(await writer.waits()).toBe(true);
      await extendWhole(r);
      expect(await writer.ends()).toBe('done');
    },
  },
];

/**
 * A fork F of 20 chunks in a row and then three more, its merge into base loaded and standing still; `top` over F, and a
 * sibling K over base with a tail.
 */
async function merging(r: RuleRig, room: number): Promise<{ readonly f: number[]; readonly k: readonly number[] }> {
  const base = zeroes();
  await r.lv('D');
  await r.create('base', [linear(s('D'))]);
  await r.write('base', base, 0, tags(1, BLOCKS));
  await r.lv('f1');
  await r.create('F', snapshot(d('base'), s('f1')));
  const f = [...base];
  await r.write('F', f, 0, tags(600, 20 * CHUNK));
  await r.write('F', f, 40 * CHUNK, tags(900, 3 * CHUNK));
  await r.create('top', [linear(d('F'))]);
  await cowDevice(r, room);
  await r.suspend('F');
  await r.create('K', snapshot(d('base'), d('cow')));
  await r.load('F', merge(d('base'), s('f1')));
  return { f, k: base };
}

export const MERGES: readonly RuleCase[] = [
  {
    name: 'the resume of a merge hangs until a sibling has room for all chunks in a row that it moves first',
    noticed: ['hang'],
    run: async (r) => {
      const { f, k } = await merging(r, 4 * CHUNK);
      const begun = r.begin.resume('F');
      expect(await begun.waits()).toBe(true);
      await elsewhere(r);
      expect(await usedBlocks(r, 'K')).toBe((2 + 3) * CHUNK);
      expect(await r.wrong('K', k)).toBe(0);
      await extend(r, 'tail', 4 * CHUNK, ROOM, 'tail1');
      expect(await begun.ends()).toBe('done');
      await extendWhole(r, 'tail1', ROOM);
      await r.finishMerges();
      expect(await r.wrong('K', k)).toBe(0);
      expect(await r.wrong('top', f)).toBe(0);
      expect(await r.wrong('base', f)).toBe(0);
    },
  },
  {
    name: 'a merge waits at the tail of a full sibling that it feeds, and its writers with it, until there is room for all',
    noticed: [],
    run: async (r) => {
      const { f, k } = await merging(r, ROOM);
      await r.resume('F');
      await r.settle();
      const before = await r.status('F');
      expect(before).toBe(`${(2 + 20) * CHUNK * SECTORS} ${2 * CHUNK * SECTORS}`);
      await r.settle();
      expect(await r.status('F')).toBe(before);
      expect(await usedBlocks(r, 'K')).toBe((2 + 3 + 20) * CHUNK);
      expect(await r.wrong('K', k)).toBe(0);
      expect(await r.wrong('top', f)).toBe(0);
      await r.write('top', f, 0, tags(3000, CHUNK));
      const writer = r.begin.write('top', 30 * CHUNK, news(30));
      expect(await writer.waits()).toBe(true);
      const to = (2 + 3 + 20 + 1) * CHUNK;
      await extend(r, 'tail', ROOM, to - CHUNK, 'tail1');
      expect(await writer.waits()).toBe(true);
      await r.settle();
      expect(await r.status('F')).toBe(before);
      await extend(r, 'tail1', to - CHUNK, to, 'tail2');
      expect(await writer.ends()).toBe('done');
      put(f, 30);
      await r.finishMerges();
      expect(await r.wrong('K', k)).toBe(0);
      expect(await r.wrong('top', f)).toBe(0);
      expect(await r.wrong('base', f)).toBe(0);
    },
  },
  {
    name: 'the suspend of a merge that waits at the tail of a sibling hangs until there is room',
    noticed: ['hang'],
    run: async (r) => {
      const { f, k } = await merging(r, ROOM);
      await r.resume('F');
      await r.settle();
      const still = r.begin.suspend('F');
      expect(await still.waits()).toBe(true);
      await extendWhole(r);
      expect(await still.ends()).toBe('done');
      await r.resume('F');
      await r.finishMerges();
      expect(await r.wrong('K', k)).toBe(0);
      expect(await r.wrong('top', f)).toBe(0);
    },
  },
  {
    name: 'by force: the tail of a full sibling becomes error, the sibling is invalid, the merge goes on',
    noticed: ['invalidated'],
    run: async (r) => {
      const { f } = await merging(r, ROOM);
      await r.resume('F');
      await r.settle();
      await r.swap('tail', [filler('error', REST)]);
      await r.finishMerges();
      expect(await r.status('K')).toBe('invalid');
      expect(await r.wrong('top', f)).toBe(0);
      expect(await r.wrong('base', f)).toBe(0);
    },
  },
];
