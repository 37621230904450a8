// The kernel's rules of a store that goes on in a tail: `cow = linear(store) ++ linear(tail)`, where the tail is an `error`
// table that stands still, so that a write without room waits there. Both nodes run the same cases. What hangs is begun,
// seen to wait, and let go by the tail.

import { expect } from 'vitest';
import { storeBytesFor } from '../../src/dm/cow.ts';
import { SnapmergeError } from '../../src/errors.ts';
import { bytes, kib, mib } from '../../src/units.ts';
import { BLOCK_BYTES } from './rig.ts';
import type { RuleRig } from './rule-rig.ts';
import type { RuleCase } from './rules.ts';
import type { Underway } from './waits.ts';
import { BLOCKS, CHUNK, d, filler, linear, merge, origin, s, snapshot, store, tailed, zeroes } from './words.ts';

/** Chunks of 8 KiB that a store must have for all 64 of a device: header, one area of metadata, data. */
const TOTAL = (1 + 1 + 64) * CHUNK;
/** Blocks of the store at first: room for six chunks. */
const ROOM = 8 * CHUNK;
const REST = TOTAL - ROOM;
const SECTORS = 8;

const tags = (from: number, count: number): readonly number[] => Array.from({ length: count }, (_, i) => from + i);
/** What a chunk holds after a write of a case's own. */
const news = (chunk: number): readonly number[] => tags(7000 + chunk * CHUNK, CHUNK);
const put = (model: number[], chunk: number): void => void model.splice(chunk * CHUNK, CHUNK, ...news(chunk));

/** v over real over D, all of it written. */
async function volume(r: RuleRig): Promise<number[]> {
  const v = zeroes();
  await r.lv('D');
  await r.create('real', [linear(s('D'))]);
  await r.create('v', [linear(d('real'))]);
  await r.write('v', v, 0, tags(1, BLOCKS));
  return v;
}

/** A cow device over the first blocks of a new store, its tail standing still. */
async function cowDevice(r: RuleRig, blocks = ROOM): Promise<void> {
  await r.lv('c1');
  await r.create('tail', [filler('error', TOTAL - blocks)]);
  await r.suspend('tail');
  await r.create('cow', tailed(s('c1'), blocks, d('tail'), TOTAL - blocks));
}

/** A volume, and a snapshot S1 over a store with a tail that it feeds. */
async function fed(r: RuleRig, blocks = ROOM): Promise<number[]> {
  const v = await volume(r);
  await cowDevice(r, blocks);
  await r.suspend('v');
  await r.create('S1', snapshot(d('real'), d('cow')));
  await r.load('v', origin(d('real')));
  await r.resume('v');
  return v;
}

/** Writes that many chunks of a fed volume, from the first on. */
async function use(r: RuleRig, v: number[], chunks: number): Promise<void> {
  if (chunks > 0) await r.write('v', v, 0, tags(5000, chunks * CHUNK));
}

/** A fed volume whose store has no room left, and a write that waits. */
async function full(
  r: RuleRig,
): Promise<{ readonly v: number[]; readonly s1: readonly number[]; readonly writer: Underway }> {
  const v = await fed(r);
  const s1 = [...v];
  await use(r, v, 6);
  const writer = r.begin.write('v', 6 * CHUNK, news(6));
  expect(await writer.waits()).toBe(true);
  return { v, s1, writer };
}

/** The tail becomes more of the store, up to `to` blocks, and a next tail. */
async function extend(r: RuleRig, tail: string, from: number, to: number, next: string): Promise<void> {
  await r.create(next, [filler('error', TOTAL - to)]);
  await r.suspend(next);
  await r.load(tail, [linear(s('c1'), to - from, from), linear(d(next), TOTAL - to)]);
  await r.resume(tail);
}

/** The tail becomes all that the store can ever need. */
async function extendWhole(r: RuleRig, tail = 'tail', from = ROOM): Promise<void> {
  await r.load(tail, [linear(s('c1'), TOTAL - from, from)]);
  await r.resume(tail);
}

async function usedBlocks(r: RuleRig, name: string): Promise<number> {
  return Number((await r.status(name)).split(' ')[0]) / SECTORS;
}

async function answer(step: Promise<void>): Promise<string> {
  try {
    await step;
    return 'done';
  } catch (error) {
    if (error instanceof SnapmergeError) return error.kind;
    throw error;
  }
}

const WAITING: readonly RuleCase[] = [
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
      await r.rig.kernel.apply({ do: 'activate', stores: [store('D'), store('c1')] });
      const room = ROOM + 2 * CHUNK;
      await r.create('real', [linear(s('D'))]);
      await r.create('tail', [filler('error', TOTAL - room)]);
      await r.create('cow', tailed(s('c1'), room, d('tail'), TOTAL - room));
      await r.create('S1', snapshot(d('real'), d('cow')));
      await r.suspend('tail');
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
    name: 'ending the wait by force: the tail goes on as error, the snapshot is invalid, the write of its origin is done',
    noticed: ['invalidated'],
    run: async (r) => {
      const { v, writer } = await full(r);
      await r.resume('tail');
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      expect(await r.status('S1')).toBe('invalid');
      await r.write('v', v, 40 * CHUNK, news(40));
      expect(await r.wrong('v', v)).toBe(0);
    },
  },
];

/** A fork F of base, over a cow device. */
async function fork(r: RuleRig, mode: 'P' | 'PO'): Promise<number[]> {
  await r.lv('D');
  await r.create('base', [linear(s('D'))]);
  const base = zeroes();
  await r.write('base', base, 0, tags(1, BLOCKS));
  await cowDevice(r);
  await r.create('F', snapshot(d('base'), d('cow'), { mode }));
  return base;
}

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

const FORKS: readonly RuleCase[] = (['P', 'PO'] as const).flatMap((mode): readonly RuleCase[] => [
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
      await r.resume('tail1');
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
]);

const FLUSHES: readonly RuleCase[] = [
  {
    name: 'flushes pass a tail of error or zero that stands still, and nothing else',
    noticed: [],
    run: async (r) => {
      const v = await fed(r);
      const s1 = [...v];
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

/** A fork F of base with six chunks of its own, then removed; its tail stands still. */
async function used(r: RuleRig): Promise<number[]> {
  const f = zeroes();
  await r.lv('D');
  await r.create('base', [linear(s('D'))]);
  await r.write('base', f, 0, tags(1, BLOCKS));
  await r.lv('c1');
  await r.create('tail', [filler('error', LONG - 16)]);
  await r.suspend('tail');
  await r.create('cow', tailed(s('c1'), 16, d('tail'), LONG - 16));
  await r.make('F');
  // The store is new: its header and its first area alone are touched.
  await r.load('F', snapshot(d('base'), d('cow'), SMALL));
  await r.resume('F');
  await r.write('F', f, 0, tags(600, 6));
  return f;
}

const LOADS: readonly RuleCase[] = [
  ...([snapshot, merge] as const).map((table, index): RuleCase => ({
    name: `a load of a ${index === 0 ? 'snapshot' : 'merge'} over a store that is not new hangs while its tail stands still`,
    noticed: ['hang'],
    run: async (r) => {
      const f = await used(r);
      await r.remove('F');
      await r.make('F');
      const loading = r.begin.load('F', table(d('base'), d('cow'), SMALL));
      expect(await loading.waits()).toBe(true);
      // Nobody else is held up by it.
      await r.create('other', [linear(s('D'))]);
      expect(await r.status('other')).toBe('none');
      await r.remove('other');
      await r.resume('tail');
      expect(await loading.ends()).toBe('done');
      await r.suspend('tail');
      await r.resume('F');
      await r.finishMerges();
      expect(await r.wrong('F', f)).toBe(0);
      if (index === 1) return;

      const writer = r.begin.write('F', 6, tags(700, 20));
      expect(await writer.waits()).toBe(true);
      await r.load('tail', [linear(s('c1'), 100, 16), filler('error', LONG - 116)]);
      await r.resume('tail');
      expect(await writer.ends()).toBe('done');
      f.splice(6, 20, ...tags(700, 20));
      expect(await r.wrong('F', f)).toBe(0);
    },
  })),
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
    name: 'a new snapshot is loaded, and used, while its tail stands still',
    noticed: [],
    run: async (r) => {
      const f = await used(r);
      expect(await r.status('F')).toBe(`${(2 + 6) * SECTORS} ${2 * SECTORS}`);
      expect(await r.wrong('F', f)).toBe(0);
    },
  },
];

const HANGS: readonly RuleCase[] = [
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
      await r.lv('E');
      await r.create('real2', [linear(s('E'))]);
      await r.create('v2', [linear(d('real2'))]);
      const v2 = zeroes();
      await r.fill('v2', v2, 20);
      await r.lv('c2');
      await r.suspend('v2');
      await r.create('T1', snapshot(d('real2'), s('c2')));
      await r.load('v2', origin(d('real2')));
      await r.resume('v2');
      const t1 = [...v2];
      await r.fill('v2', v2, 20);
      expect(await r.wrong('T1', t1)).toBe(0);
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

const MERGES: readonly RuleCase[] = [
  {
    name: 'the resume of a merge hangs until a sibling has room for all chunks in a row that it moves first',
    noticed: ['hang'],
    run: async (r) => {
      const { f, k } = await merging(r, 4 * CHUNK);
      const begun = r.begin.resume('F');
      expect(await begun.waits()).toBe(true);
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
    name: 'by force: the tail of a full sibling goes on as error, the sibling is invalid, the merge goes on',
    noticed: ['invalidated'],
    run: async (r) => {
      const { f } = await merging(r, ROOM);
      await r.resume('F');
      await r.settle();
      await r.resume('tail');
      await r.finishMerges();
      expect(await r.status('K')).toBe('invalid');
      expect(await r.wrong('top', f)).toBe(0);
      expect(await r.wrong('base', f)).toBe(0);
    },
  },
];

/** 0-based position in a store, in chunks, behind the last one that `chunks` exceptions need. */
const needed = (chunks: number, chunkBlocks: number): number =>
  2 + chunks + Math.floor(chunks / (chunkBlocks * (BLOCK_BYTES / 16)));

async function overwritten(r: RuleRig, chunk: number, chunks: number, room: number): Promise<string> {
  const blocks = chunk * chunks;
  const size = bytes(BigInt(blocks * BLOCK_BYTES));
  await r.lv('D', size);
  await r.create('real', [linear(s('D'), blocks)]);
  await r.create('v', [linear(d('real'), blocks)]);
  const v = zeroes(blocks);
  await r.lv('c1', bytes(size + mib(2)));
  await r.create('cow', [linear(s('c1'), room * chunk)]);
  await r.suspend('v');
  await r.create('S1', snapshot(d('real'), d('cow'), { blocks, chunk }));
  await r.load('v', origin(d('real'), blocks));
  await r.resume('v');
  const s1 = [...v];
  for (let at = 0; at < blocks; at += 256) await r.write('v', v, at, tags(500_000 + at, Math.min(256, blocks - at)));
  const status = await r.status('S1');
  if (status !== 'invalid') expect(await r.wrong('S1', s1)).toBe(0);
  expect(await r.wrong('v', v)).toBe(0);
  return status;
}

/** Blocks of a chunk, and how many chunks there are: the first sizes reach the end of their first area, and beyond. */
const SIZES: readonly (readonly [number, number])[] = [
  [1, 255],
  [1, 256],
  [1, 257],
  [2, 512],
  [4, 96],
  [16, 24],
  [128, 3],
];

const ROOMS: readonly RuleCase[] = SIZES.flatMap(([chunk, chunks]): readonly RuleCase[] =>
  [0, 1].map((less) => ({
    name: `${chunks} chunks of ${chunk * 4} KiB in a store ${less === 0 ? 'as large as they need' : 'one chunk smaller'}`,
    noticed: less === 0 ? [] : ['invalidated'],
    run: async (r) => {
      const room = needed(chunks, chunk);
      const chunkBytes = bytes(BigInt(chunk * BLOCK_BYTES));
      expect(storeBytesFor(bytes(chunkBytes * BigInt(chunks)), chunkBytes)).toBe(chunkBytes * BigInt(room + 1));
      const status = await overwritten(r, chunk, chunks, room - less);
      expect(status.split(' ')[0]).toBe(less === 0 ? `${room * chunk * SECTORS}` : 'invalid');
    },
  })),
);

const SIGNS: readonly RuleCase[] = [
  {
    name: 'a write may wait in the tail exactly when more is used than the store has',
    noticed: [],
    run: async (r) => {
      const v = await fed(r);
      for (let chunk = 0; chunk < 6; chunk += 1) {
        await r.write('v', v, chunk * CHUNK, news(chunk));
        expect(await usedBlocks(r, 'S1')).toBe((3 + chunk) * CHUNK);
        expect(await r.inflight('cow')).toBe(0);
      }
      const writer = r.begin.write('v', 6 * CHUNK, news(6));
      expect(await writer.waits()).toBe(true);
      expect(await usedBlocks(r, 'S1')).toBe(ROOM + CHUNK);
      expect(await r.inflight('cow')).toBeGreaterThan(0);
      expect(await r.inflight('tail')).toBe(0);
      await extend(r, 'tail', ROOM, ROOM + 3, 'tail1');
      expect(await writer.ends()).toBe('done');
      expect(await usedBlocks(r, 'S1')).toBeLessThanOrEqual(ROOM + 3);
      // Half a chunk of room is none: a write that reaches it waits in its second half.
      const second = r.begin.write('v', 7 * CHUNK, news(7));
      expect(await second.waits()).toBe(true);
      expect(await usedBlocks(r, 'S1')).toBe(ROOM + 2 * CHUNK);
      await extendWhole(r, 'tail1', ROOM + 3);
      expect(await second.ends()).toBe('done');
      expect(await r.inflight('cow')).toBe(0);
    },
  },
  {
    name: 'the last write of an area waits for the next one to be zeroed, although its own chunk has room',
    noticed: [],
    run: async (r) => {
      const blocks = 512;
      const v = zeroes(blocks);
      const area = 256;
      const room = 1 + 1 + area;
      const total = 2 + blocks + 2;
      await r.lv('D', mib(2));
      await r.create('real', [linear(s('D'), blocks)]);
      await r.create('v', [linear(d('real'), blocks)]);
      await r.lv('c1', mib(3));
      await r.create('tail', [filler('error', total - room)]);
      await r.suspend('tail');
      await r.create('cow', tailed(s('c1'), room, d('tail'), total - room));
      await r.suspend('v');
      await r.create('S1', snapshot(d('real'), d('cow'), { blocks, chunk: 1 }));
      await r.load('v', origin(d('real'), blocks));
      await r.resume('v');
      const s1 = [...v];
      await r.write('v', v, 0, tags(600, area - 1));
      expect(await usedBlocks(r, 'S1')).toBe(room - 1);
      const writer = r.begin.write('v', area - 1, [7]);
      expect(await writer.waits()).toBe(true);
      expect(await usedBlocks(r, 'S1')).toBe(room + 1);
      expect(await r.wrong('S1', s1)).toBe(0);
      // Room for that area alone: what comes after it waits, what is complete does not.
      const next = r.begin.write('v', area, [8]);
      expect(await next.waits()).toBe(true);
      await r.create('tail1', [filler('error', total - room - 1)]);
      await r.suspend('tail1');
      await r.load('tail', [linear(s('c1'), 1, room), linear(d('tail1'), total - room - 1)]);
      await r.resume('tail');
      expect(await writer.ends()).toBe('done');
      expect(await next.waits()).toBe(true);
      await r.load('tail1', [linear(s('c1'), total - room - 1, room + 1)]);
      await r.resume('tail1');
      expect(await next.ends()).toBe('done');
      await r.write('v', v, 0, tags(2000, blocks));
      expect(await r.wrong('S1', s1)).toBe(0);
      expect(await r.wrong('v', v)).toBe(0);
    },
  },
];

const CHANGES: readonly RuleCase[] = [
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
    name: 'snapshot, cow device and tail are removed from the top down; a tail that stands still goes like any other',
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
      expect(await answer(r.rig.kernel.apply({ do: 'deactivate', stores: [store('c1')] }))).toBe('internal');
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
  await r.create('tail2', [filler('error', REST)]);
  await r.suspend('tail2');
  await r.create('cow2', tailed(s('c2'), ROOM, d('tail2'), REST));
  await r.make('S2');
  await r.load('S2', snapshot(d('real'), d('cow2')));
  await r.suspend('v', 'S1');
  await r.load('S1', snapshot(d('S2'), s('c1')));
  await r.resume('S2', 'S1', 'v');
  await r.remove('cow', 'tail');
  return [...v];
}

const ORDERS: readonly RuleCase[] = [
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
      await r.load('tail2', [linear(s('c2'), REST, ROOM)]);
      await r.resume('tail2');
      expect(await writer.ends()).toBe('done');
      put(v, 6);
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S2', s2)).toBe(0);
      expect(await r.wrong('S1', s1)).toBe(0);
    },
  },
  {
    name: 'at a boot tails are live while tables are loaded, stand still before the tops, and only what is written has one',
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
      await r.rig.kernel.apply({ do: 'activate', stores: ['D', 'c1', 'c2', 'f1'].map(store) });
      for (const tail of ['tail2', 'tailf']) await r.create(tail, [filler('error', REST)]);
      await r.create('cow2', tailed(s('c2'), ROOM, d('tail2'), REST));
      await r.create('cowf', tailed(s('f1'), ROOM, d('tailf'), REST));
      await r.create('real', [linear(s('D'))]);
      await r.create('S2', snapshot(d('real'), d('cow2')));
      await r.create('S1', snapshot(d('S2'), s('c1')));
      await r.create('F', snapshot(d('S1'), d('cowf'), { mode: 'PO' }));
      await r.suspend('tail2', 'tailf');
      await r.create('v', origin(d('real')));
      await r.create('top', [linear(d('F'))]);
      const writers = [r.begin.write('v', 6 * CHUNK, news(6)), r.begin.write('top', 11 * CHUNK, tags(9000, 6 * CHUNK))];
      for (const writer of writers) expect(await writer.waits()).toBe(true);
      for (const [tail, of] of [
        ['tail2', 'c2'],
        ['tailf', 'f1'],
      ] as const) {
        await r.load(tail, [linear(s(of), REST, ROOM)]);
        await r.resume(tail);
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
    name: 'an older snapshot takes over the cow device of a newer one by a handover, its tail standing still',
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
      await r.load('tail2', [linear(s('c2'), REST, ROOM)]);
      await r.resume('tail2');
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
      await r.load('tail', [linear(s('c1'), TOTAL - room, room)]);
      await r.resume('tail');
      expect(await flatten.ends()).toBe('done');
      expect(await writer.ends()).toBe('done');
      put(v, 8);
      await r.write('v', v, 9 * CHUNK, tags(9000, 20 * CHUNK));
      expect(await r.wrong('v', v)).toBe(0);
      expect(await r.wrong('S1', s1)).toBeGreaterThan(0);
    },
  },
];

export const TAILS: readonly RuleCase[] = [
  ...WAITING,
  SCRATCH,
  ...FORKS,
  ...FLUSHES,
  ...LOADS,
  ...HANGS,
  ...MERGES,
  ...ROOMS,
  ...SIGNS,
  ...CHANGES,
  ...ORDERS,
];
