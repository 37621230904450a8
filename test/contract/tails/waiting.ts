// A write without room waits at the tail and goes on when there is room: of a volume, of forks, over a power cut.

import { expect } from 'vitest';
import type { RuleCase } from '../rules.ts';
import { CHUNK, d, filler, key, linear, origin, s, snapshot, store, tailed, zeroes } from '../words.ts';
import {
  REST,
  ROOM,
  SECTORS,
  TOTAL,
  cowDevice,
  extend,
  extendWhole,
  fork,
  full,
  news,
  put,
  tags,
  usedBlocks,
} from './bench.ts';

export const WAITING: readonly RuleCase[] = [
  {
    name: 'a write without room waits at the tail, and goes on after an extension; the snapshot stays exact',
    noticed: [],
    run: async (r) => {
      const { v, s1, writer } = await full(r);
      expect(await r.wrong('S1', s1)).toBe(0);
      await extend(r, 'tail', ROOM, ROOM + 4, 'tail1');
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      expect(await r.wrong('S1', s1)).toBe(0);
      await r.write('v', v, 7 * CHUNK, news(7));

      const second = r.begin.write('v', 8 * CHUNK, tags(9000, 20 * CHUNK));
      expect(await second.waits()).toBe(true);
      await extend(r, 'tail1', ROOM + 4, ROOM + 44, 'tail2');
      expect(await second.ends()).toBe('done');
      v.splice(8 * CHUNK, 20 * CHUNK, ...tags(9000, 20 * CHUNK));

      const third = r.begin.write('v', 28 * CHUNK, tags(9500, 36 * CHUNK));
      expect(await third.waits()).toBe(true);
      await extendWhole(r, 'tail2', ROOM + 44);
      expect(await third.ends()).toBe('done');
      v.splice(28 * CHUNK, 36 * CHUNK, ...tags(9500, 36 * CHUNK));
      expect(await r.wrong('S1', s1)).toBe(0);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await usedBlocks(r, 'S1')).toBe(TOTAL);
    },
  },
  {
    name: 'of several writes that wait, none goes on before there is room for all of them',
    noticed: [],
    run: async (r) => {
      const { v, s1, writer } = await full(r);
      const others = [20, 30].map((chunk) => r.begin.write('v', chunk * CHUNK, news(chunk)));
      for (const other of others) expect(await other.waits()).toBe(true);
      expect(await usedBlocks(r, 'S1')).toBe(ROOM + 3 * CHUNK);
      await extend(r, 'tail', ROOM, ROOM + 2 * CHUNK, 'tail1');
      expect(await writer.waits()).toBe(true);
      await extend(r, 'tail1', ROOM + 2 * CHUNK, ROOM + 3 * CHUNK, 'tail2');
      for (const each of [writer, ...others]) expect(await each.ends()).toBe('done');
      for (const chunk of [6, 20, 30]) put(v, chunk);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
  {
    name: 'writes that need no room go on while another waits at the tail',
    noticed: [],
    run: async (r) => {
      const { v, s1, writer } = await full(r);
      await r.write('v', v, 0, tags(600, 6 * CHUNK));
      await r.lv('f1');
      await r.create('F', snapshot(d('S1'), s('f1')));
      const f = [...s1];
      await r.fill('F', f, 10);
      expect(await r.wrong('F', f)).toBe(0);
      await extendWhole(r);
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('F', f)).toBe(0);
    },
  },
  {
    name: 'a power cut while a write waits: what was acknowledged is there, and the snapshot is exact',
    noticed: [],
    run: async (r) => {
      const { v, s1 } = await full(r);
      await r.rig.cutPower();
      await r.rig.kernel.apply([{ do: 'activate', stores: [store('D'), store('c1')] }]);
      const room = ROOM + 2 * CHUNK;
      await r.create('real', [linear(s('D'))]);
      await r.create('tail', [filler('hold', TOTAL - room)]);
      await r.create('cow', tailed(s('c1'), room, d('tail'), TOTAL - room));
      await r.create('S1', snapshot(d('real'), d('cow')));
      await r.create('v', origin(d('real')));
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
      // Nothing of what waited is counted: only what is in the metadata.
      expect(await usedBlocks(r, 'S1')).toBe(ROOM);
      await r.write('v', v, 6 * CHUNK, tags(800, 2 * CHUNK));
      const writer = r.begin.write('v', 8 * CHUNK, news(8));
      expect(await writer.waits()).toBe(true);
      await extendWhole(r, 'tail', room);
      expect(await writer.ends()).toBe('done');
      put(v, 8);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
  {
    name: 'ending the wait by force: the tail becomes error, the snapshot is invalid, the write of its origin is done',
    noticed: ['invalidated'],
    run: async (r) => {
      const { v, writer } = await full(r);
      await r.swap('tail', [filler('error', REST)]);
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      expect(await r.status('S1')).toBe('invalid');
      await r.write('v', v, 40 * CHUNK, news(40));
      expect(await r.wrong('v', v)).toBe(0);
    },
  },
  {
    name: 'a tail that is suspended like any other device does not keep what it holds: the snapshot is invalid',
    noticed: ['invalidated'],
    run: async (r) => {
      const { v, writer } = await full(r);
      await r.suspend('tail');
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      await r.resume('tail');
      expect(await r.status('S1')).toBe('invalid');
      expect(await r.wrong('v', v)).toBe(0);
    },
  },
  {
    name: 'the end of a store is read as zeroes, through its cow device and in the tail, also while a write waits there',
    noticed: [],
    run: async (r) => {
      const { v, s1, writer } = await full(r);
      const [cow = []] = await r.rig.read(key('cow'));
      expect(cow).toHaveLength(TOTAL);
      expect(cow.slice(ROOM).every((tag) => tag === 0)).toBe(true);
      const [tail = []] = await r.rig.read(key('tail'));
      expect(tail).toEqual(zeroes(REST));
      expect(await writer.waits()).toBe(true);
      await extendWhole(r);
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
];

const SCRATCH: RuleCase = {
  name: "a scratch fork's write waits at the tail too, and what it uses is counted without metadata",
  noticed: [],
  run: async (r) => {
    await r.lv('D');
    await r.create('base', [linear(s('D'))]);
    await cowDevice(r);
    await r.create('F', snapshot(d('base'), d('cow'), { mode: 'N' }));
    const f = zeroes();
    await r.write('F', f, 0, tags(600, ROOM));
    expect(await r.status('F')).toBe(`${ROOM * SECTORS} 0`);
    const writer = r.begin.write('F', 20 * CHUNK, news(20));
    expect(await writer.waits()).toBe(true);
    expect(await r.status('F')).toBe(`${(ROOM + CHUNK) * SECTORS} 0`);
    await extendWhole(r);
    expect(await writer.ends()).toBe('done');
    put(f, 20);
    expect(await r.wrong('F', f)).toBe(0);
  },
};

const forks = (mode: 'P' | 'PO'): readonly RuleCase[] => [
  {
    name: `a fork's own write waits at the tail too, with ${mode}; by force it fails, and the fork is invalid`,
    noticed: ['invalidated'],
    run: async (r) => {
      const f = await fork(r, mode);
      await r.write('F', f, 0, tags(600, 6 * CHUNK));
      const writer = r.begin.write('F', 6 * CHUNK, news(6));
      expect(await writer.waits()).toBe(true);
      await extend(r, 'tail', ROOM, ROOM + CHUNK, 'tail1');
      expect(await writer.ends()).toBe('done');
      put(f, 6);
      expect(await r.wrong('F', f)).toBe(0);
      const second = r.begin.write('F', 7 * CHUNK, news(7));
      expect(await second.waits()).toBe(true);
      await r.swap('tail1', [filler('error', REST - CHUNK)]);
      expect(await second.ends()).toBe('failed');
      expect(await r.status('F')).toBe('invalid');
    },
  },
  {
    name: `a fork's own write without a tail, with ${mode}: ${mode === 'P' ? 'the fork is invalid' : 'the write fails, nothing is lost'}`,
    noticed: [mode === 'P' ? 'invalidated' : 'overflowed'],
    run: async (r) => {
      await r.lv('D');
      await r.create('base', [linear(s('D'))]);
      await r.lv('c1');
      await r.create('cow', [linear(s('c1'), ROOM)]);
      await r.create('F', snapshot(d('base'), d('cow'), { mode }));
      const f = zeroes();
      await r.write('F', f, 0, tags(600, 6 * CHUNK));
      expect(await r.begin.write('F', 6 * CHUNK, news(6)).ends()).toBe('failed');
      expect(await r.status('F')).toBe(mode === 'P' ? 'invalid' : 'overflow');
      if (mode === 'P') return;
      expect(await r.wrong('F', f)).toBe(0);
      // More room does not help until the table is loaded anew.
      await r.load('cow', [linear(s('c1'), TOTAL)]);
      await r.resume('cow');
      expect(await r.begin.write('F', 0, news(0)).ends()).toBe('failed');
      await r.remove('F');
      await r.create('F', snapshot(d('base'), d('cow'), { mode }));
      await r.write('F', f, 6 * CHUNK, news(6));
      expect(await r.wrong('F', f)).toBe(0);
    },
  },
];

export const FORKS: readonly RuleCase[] = [SCRATCH, ...forks('P'), ...forks('PO')];
