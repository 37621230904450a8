// Flushes and loads: what a tail must be made of, and when it must not stand still.

import { expect } from 'vitest';
import type { RuleRig } from '../rule-rig.ts';
import type { RuleCase } from '../rules.ts';
import { BLOCKS, CHUNK, d, filler, linear, merge, s, snapshot, tailed, zeroes } from '../words.ts';
import { REST, ROOM, SECTORS, elsewhere, fed, news, put, tags, usedBlocks } from './bench.ts';

export const FLUSHES: readonly RuleCase[] = [
  {
    name: 'flushes pass a tail that holds, and one of error or zero that stands still, and nothing else',
    noticed: [],
    run: async (r) => {
      const v = await fed(r);
      const s1 = [...v];
      expect(await r.begin.flush('S1').ends()).toBe('done');
      await r.lv('x');
      await r.create('e', [filler('error', 8)]);
      for (const table of [[filler('zero', REST)], [filler('error', REST - 8), linear(d('e'), 8)]]) {
        await r.load('tail', table);
        await r.resume('tail');
        await r.suspend('tail');
        expect(await r.begin.flush('S1').ends()).toBe('done');
        await r.write('v', v, 0, news(0));
      }

      await r.load('tail', [filler('error', REST - 8), linear(s('x'), 8)]);
      await r.resume('tail');
      await r.suspend('tail');
      const sync = r.begin.flush('S1');
      expect(await sync.waits()).toBe(true);
      // The origin's own flush goes to the origin alone, and so does a write that needs no copy.
      await r.write('v', v, 0, tags(400, CHUNK));
      // A copy-out is committed with a flush of the store: there is room, and the write waits all the same.
      const writer = r.begin.write('v', 2 * CHUNK, news(2));
      expect(await writer.waits()).toBe(true);
      expect(await usedBlocks(r, 'S1')).toBeLessThan(ROOM);
      await r.resume('tail');
      expect(await sync.ends()).toBe('done');
      expect(await writer.ends()).toBe('done');
      put(v, 2);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
];

/** Chunks of one block, so that the second area of metadata lies within a small device's tail. */
const SMALL = { chunk: 1 };
const LONG = 300;

/** A fork F of base with six chunks of its own, over a store with a tail. */
async function used(r: RuleRig): Promise<number[]> {
  const f = zeroes();
  await r.lv('D');
  await r.create('base', [linear(s('D'))]);
  await r.write('base', f, 0, tags(1, BLOCKS));
  await r.lv('c1');
  await r.create('tail', [filler('hold', LONG - 16)]);
  await r.create('cow', tailed(s('c1'), 16, d('tail'), LONG - 16));
  await r.make('F');
  // The store is new: its header and its first area alone are touched.
  await r.load('F', snapshot(d('base'), d('cow'), SMALL));
  await r.resume('F');
  await r.write('F', f, 0, tags(600, 6));
  return f;
}

function readsAhead(what: 'snapshot' | 'merge', table: typeof snapshot): RuleCase {
  return {
    name: `a load of a ${what} over a store that is not new reads ahead in its tail, and does not wait there`,
    noticed: [],
    run: async (r) => {
      const f = await used(r);
      await r.remove('F');
      await r.create('F', table(d('base'), d('cow'), SMALL));
      await r.finishMerges();
      expect(await r.wrong('F', f)).toBe(0);
      if (what === 'merge') return;

      const writer = r.begin.write('F', 6, tags(700, 20));
      expect(await writer.waits()).toBe(true);
      await r.swap('tail', [linear(s('c1'), 100, 16), filler('error', LONG - 116)]);
      expect(await writer.ends()).toBe('done');
      f.splice(6, 20, ...tags(700, 20));
      expect(await r.wrong('F', f)).toBe(0);
    },
  };
}

/** What a tail must not be: a device that stands still. */
const STANDING: RuleCase = {
  name: 'a load over a store that is not new hangs while its tail stands still',
  noticed: ['hang'],
  run: async (r) => {
    const f = await used(r);
    await r.remove('F');
    await r.make('F');
    await r.suspend('tail');
    const loading = r.begin.load('F', snapshot(d('base'), d('cow'), SMALL));
    expect(await loading.waits()).toBe(true);
    await elsewhere(r);
    await r.resume('tail');
    expect(await loading.ends()).toBe('done');
    await r.resume('F');
    expect(await r.wrong('F', f)).toBe(0);
  },
};

export const LOADS: readonly RuleCase[] = [
  readsAhead('snapshot', snapshot),
  readsAhead('merge', merge),
  STANDING,
  {
    name: 'a load over the bare store needs no tail',
    noticed: [],
    run: async (r) => {
      const f = await used(r);
      // As a snapshot is hung on another: the old table stands still, the new one lies on the store itself.
      await r.suspend('F');
      await r.create('base2', [linear(d('base'))]);
      await r.load('F', snapshot(d('base2'), s('c1'), SMALL));
      await r.resume('F');
      expect(await r.wrong('F', f)).toBe(0);
      await r.remove('cow', 'tail');
      expect(await r.wrong('F', f)).toBe(0);
    },
  },
  {
    name: 'a load over the same origin and cow device takes its exceptions from the live table, and reads nothing',
    noticed: [],
    run: async (r) => {
      const f = await used(r);
      await r.load('F', merge(d('base'), d('cow'), SMALL));
      await r.resume('F');
      await r.finishMerges();
      expect(await r.wrong('F', f)).toBe(0);
      expect(await r.wrong('base', f)).toBe(0);
    },
  },
  {
    name: 'a new snapshot is loaded, and used, with its tail',
    noticed: [],
    run: async (r) => {
      const f = await used(r);
      expect(await r.status('F')).toBe(`${(2 + 6) * SECTORS} ${2 * SECTORS}`);
      expect(await r.wrong('F', f)).toBe(0);
    },
  },
];
