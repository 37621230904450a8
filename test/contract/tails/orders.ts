// Making a cow device longer and flat again, taking it away, and the orders in which snapshots come, go and are shown
// again with tails.

import { expect } from 'vitest';
import { kib, mib } from '../../../src/vocabulary/units.ts';
import type { RuleRig } from '../rule-rig.ts';
import type { RuleCase } from '../rules.ts';
import { BLOCKS, CHUNK, d, filler, linear, merge, origin, s, snapshot, store, tailed } from '../words.ts';
import {
  REST,
  ROOM,
  TOTAL,
  answer,
  extend,
  extendWhole,
  fed,
  fork,
  full,
  news,
  put,
  tags,
  use,
  usedBlocks,
  volume,
} from './bench.ts';

export const CHANGES: readonly RuleCase[] = [
  {
    name: 'the cow device is made longer, or flat, below a live snapshot, by a reload of its own',
    noticed: [],
    run: async (r) => {
      const v = await volume(r);
      const s1 = [...v];
      await r.lv('c1');
      await r.create('cow', [linear(s('c1'), ROOM)]);
      await r.suspend('v');
      await r.create('S1', snapshot(d('real'), d('cow')));
      await r.load('v', origin(d('real')));
      await r.resume('v');
      await use(r, v, 6);
      await r.load('cow', [linear(s('c1'), ROOM + 5 * CHUNK)]);
      await r.resume('cow');
      await r.write('v', v, 6 * CHUNK, tags(800, 4 * CHUNK));
      // Suspended by itself: writers wait, and nothing else happens.
      await r.suspend('cow');
      await r.load('cow', [linear(s('c1'), TOTAL)]);
      const writer = r.begin.write('v', 10 * CHUNK, news(10));
      expect(await writer.waits()).toBe(true);
      expect(await r.status('S1')).not.toBe('invalid');
      await r.resume('cow');
      expect(await writer.ends()).toBe('done');
      put(v, 10);
      await r.write('v', v, 11 * CHUNK, tags(1000, 53 * CHUNK));
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
  {
    name: 'flat again: the cow device takes the last tail, the ones between are removed, no snapshot is touched',
    noticed: [],
    run: async (r) => {
      const v = await fed(r);
      const s1 = [...v];
      await use(r, v, 5);
      await extend(r, 'tail', ROOM, ROOM + 10, 'tail1');
      await extend(r, 'tail1', ROOM + 10, ROOM + 20, 'tail2');
      await r.write('v', v, 5 * CHUNK, tags(800, 11 * CHUNK));
      expect(await usedBlocks(r, 'S1')).toBe(ROOM + 20);
      const room = ROOM + 20;
      await r.load('cow', tailed(s('c1'), room, d('tail2'), TOTAL - room));
      await r.resume('cow');
      expect(await answer(r.remove('tail1'))).toBe('internal');
      await r.remove('tail', 'tail1');
      expect(await r.wrong('S1', s1)).toBe(0);
      const writer = r.begin.write('v', 20 * CHUNK, news(20));
      expect(await writer.waits()).toBe(true);
      await extendWhole(r, 'tail2', room);
      expect(await writer.ends()).toBe('done');
      put(v, 20);
      await r.write('v', v, 21 * CHUNK, tags(1000, 43 * CHUNK));
      await r.load('cow', [linear(s('c1'), TOTAL)]);
      await r.resume('cow');
      await r.remove('tail2');
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
  {
    name: 'snapshot, cow device and tail are removed from the top down; a tail goes like any other',
    noticed: [],
    run: async (r) => {
      const v = await fed(r);
      await use(r, v, 3);
      expect(await answer(r.remove('tail'))).toBe('internal');
      expect(await answer(r.remove('cow'))).toBe('internal');
      await r.suspend('v');
      await r.load('v', [linear(d('real'))]);
      await r.resume('v');
      await r.remove('S1', 'cow', 'tail');
      await r.dropLv('c1');
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.rig.kernel.observe().then(({ devices }) => devices.size)).toBe(2);
    },
  },
  {
    name: 'LVM extends, zeroes and even cuts a store below a live cow device, but does not remove it',
    noticed: ['cut-store'],
    run: async (r) => {
      const { v, s1, writer } = await full(r);
      await r.rig.lvm.extend(store('c1'), mib(2));
      await r.rig.host.zero(store('c1'), mib(1), mib(1));
      expect(await writer.waits()).toBe(true);
      await extendWhole(r);
      expect(await writer.ends()).toBe('done');
      await r.write('v', v, 0, tags(9000, BLOCKS));
      expect(await r.wrong('S1', s1)).toBe(0);
      expect(await answer(r.dropLv('c1'))).toBe('internal');
      expect(await answer(r.rig.kernel.apply([{ do: 'deactivate', stores: [store('c1')] }]))).toBe('internal');
      expect(await r.wrong('S1', s1)).toBe(0);
      // Nothing refuses it, and the tables do not change: what lay behind the new end is gone.
      await r.rig.lvm.shrink(store('c1'), kib(512));
      expect(await r.wrong('S1', s1).catch(() => 1)).toBeGreaterThan(0);
    },
  },
];

/** A second snapshot S2 of a fed volume, over c2 with a tail of its own; S1 is hung on it, over its bare store. */
async function second(r: RuleRig, v: readonly number[]): Promise<readonly number[]> {
  await r.lv('c2');
  await r.create('tail2', [filler('hold', REST)]);
  await r.create('cow2', tailed(s('c2'), ROOM, d('tail2'), REST));
  await r.make('S2');
  await r.load('S2', snapshot(d('real'), d('cow2')));
  await r.suspend('v', 'S1');
  await r.load('S1', snapshot(d('S2'), s('c1')));
  await r.resume('S2', 'S1', 'v');
  await r.remove('cow', 'tail');
  return [...v];
}

export const ORDERS: readonly RuleCase[] = [
  {
    name: 'a second snapshot: the first is hung on it over its bare store, and its cow device and tail go',
    noticed: [],
    run: async (r) => {
      const v = await fed(r);
      const s1 = [...v];
      await use(r, v, 4);
      const s2 = await second(r, v);
      await r.write('v', v, 0, tags(9000, 6 * CHUNK));
      const writer = r.begin.write('v', 6 * CHUNK, news(6));
      expect(await writer.waits()).toBe(true);
      await r.swap('tail2', [linear(s('c2'), REST, ROOM)]);
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S2', s2)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
  {
    name: 'at a boot tails come before the tables that read ahead in them, and only what is written has one',
    noticed: [],
    run: async (r) => {
      const v = await fed(r);
      const s1 = [...v];
      await use(r, v, 4);
      const s2 = await second(r, v);
      await r.write('v', v, 0, tags(9000, 6 * CHUNK));
      await r.lv('f1');
      await r.create('F', snapshot(d('S1'), s('f1'), { mode: 'PO' }));
      const f = [...s1];
      await r.write('F', f, 10 * CHUNK, news(10));
      await r.rig.cutPower();
      await r.rig.kernel.apply([{ do: 'activate', stores: ['D', 'c1', 'c2', 'f1'].map(store) }]);
      for (const tail of ['tail2', 'tailf']) await r.create(tail, [filler('hold', REST)]);
      await r.create('cow2', tailed(s('c2'), ROOM, d('tail2'), REST));
      await r.create('cowf', tailed(s('f1'), ROOM, d('tailf'), REST));
      await r.create('real', [linear(s('D'))]);
      await r.create('S2', snapshot(d('real'), d('cow2')));
      await r.create('S1', snapshot(d('S2'), s('c1')));
      await r.create('F', snapshot(d('S1'), d('cowf'), { mode: 'PO' }));
      await r.create('v', origin(d('real')));
      await r.create('top', [linear(d('F'))]);
      const writers = [r.begin.write('v', 6 * CHUNK, news(6)), r.begin.write('top', 11 * CHUNK, tags(9000, 6 * CHUNK))];
      for (const writer of writers) expect(await writer.waits()).toBe(true);
      for (const [tail, of] of [
        ['tail2', 'c2'],
        ['tailf', 'f1'],
      ] as const) {
        await r.swap(tail, [linear(s(of), REST, ROOM)]);
      }
      for (const writer of writers) expect(await writer.ends()).toBe('done');
      put(v, 6);
      f.splice(11 * CHUNK, 6 * CHUNK, ...tags(9000, 6 * CHUNK));
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S2', s2)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
      expect(await r.wrong('top', f)).toBe(0);
    },
  },
  {
    name: 'an older snapshot takes over the cow device of a newer one by a handover, its tail as it is',
    noticed: [],
    run: async (r) => {
      const v = await fed(r);
      const s1 = [...v];
      await use(r, v, 2);
      await second(r, v);
      // S1 is merged into S2, which nobody wants any more, and then is what S2 was.
      await r.load('S1', merge(d('S2'), s('c1')));
      await r.resume('S1');
      await r.finishMerges();
      expect(await r.wrong('S1', s1)).toBe(0);
      await r.suspend('v', 'S1', 'S2');
      await r.load('S1', snapshot(d('real'), d('cow2')));
      await r.resume('S1', 'v');
      await r.remove('S2');
      expect(await r.wrong('S1', s1)).toBe(0);
      const writer = r.begin.write('v', 2 * CHUNK, tags(9000, 8 * CHUNK));
      expect(await writer.waits()).toBe(true);
      await r.swap('tail2', [linear(s('c2'), REST, ROOM)]);
      expect(await writer.ends()).toBe('done');
      v.splice(2 * CHUNK, 8 * CHUNK, ...tags(9000, 8 * CHUNK));
      expect(await r.wrong('S1', s1)).toBe(0);
      expect(await r.wrong('v', v)).toBe(0);
    },
  },
  {
    name: 'a fork in use is merged by a handover over its cow device, and cow device and tail go at the end',
    noticed: [],
    run: async (r) => {
      const f = await fork(r, 'PO');
      await r.create('top', [linear(d('F'))]);
      await r.write('top', f, 0, tags(600, 6 * CHUNK));
      await r.load('F', merge(d('base'), d('cow')));
      await r.resume('F');
      // A merge takes no room in its own store: writes go to the base.
      await r.write('top', f, 20 * CHUNK, tags(900, 10 * CHUNK));
      await r.finishMerges();
      expect(await r.wrong('top', f)).toBe(0);
      await r.load('F', [linear(d('base'))]);
      await r.resume('F');
      await r.remove('cow', 'tail');
      await r.write('top', f, 0, tags(4000, BLOCKS));
      expect(await r.wrong('top', f)).toBe(0);
    },
  },
  {
    name: 'a cow device takes over its tail at another place only while nobody waits: otherwise chunks share their bytes',
    noticed: ['hang'],
    run: async (r) => {
      const v = await fed(r);
      const s1 = [...v];
      await use(r, v, 6);
      const room = ROOM + 2 * CHUNK;
      await r.load('cow', tailed(s('c1'), room, d('tail'), TOTAL - room));
      await r.resume('cow');
      await r.write('v', v, 6 * CHUNK, tags(800, 2 * CHUNK));
      expect(await r.wrong('S1', s1)).toBe(0);

      const writer = r.begin.write('v', 8 * CHUNK, news(8));
      expect(await writer.waits()).toBe(true);
      const more = room + 2 * CHUNK;
      await r.load('cow', tailed(s('c1'), more, d('tail'), TOTAL - more));
      const flatten = r.begin.resume('cow');
      expect(await flatten.waits()).toBe(true);
      await r.swap('tail', [linear(s('c1'), TOTAL - room, room)]);
      expect(await flatten.ends()).toBe('done');
      expect(await writer.ends()).toBe('done');
      put(v, 8);
      await r.write('v', v, 9 * CHUNK, tags(9000, 20 * CHUNK));
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBeGreaterThan(0);
    },
  },
];
