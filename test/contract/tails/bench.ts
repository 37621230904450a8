// What the rules of tails are tried on: a volume that feeds a snapshot over a store with a tail, a fork over one, and the
// tail becoming more of the store.

import { expect } from 'vitest';
import { SnapmergeError } from '../../../src/vocabulary/errors.ts';
import type { RuleRig } from '../rule-rig.ts';
import type { Underway } from '../waits.ts';
import { BLOCKS, CHUNK, d, filler, linear, origin, s, snapshot, tailed, zeroes } from '../words.ts';

/** Chunks of 8 KiB that a store must have for all 64 of a device: header, one area of metadata, data. */
export const TOTAL = (1 + 1 + 64) * CHUNK;
/** Blocks of the store at first: room for six chunks. */
export const ROOM = 8 * CHUNK;
export const REST = TOTAL - ROOM;
export const SECTORS = 8;

export const tags = (from: number, count: number): readonly number[] =>
  Array.from({ length: count }, (_, i) => from + i);
/** What a chunk holds after a write of a case's own. */
export const news = (chunk: number): readonly number[] => tags(7000 + chunk * CHUNK, CHUNK);
export const put = (model: number[], chunk: number): void => void model.splice(chunk * CHUNK, CHUNK, ...news(chunk));

/** v over real over D, all of it written. */
export async function volume(r: RuleRig): Promise<number[]> {
  const v = zeroes();
  await r.lv('D');
  await r.create('real', [linear(s('D'))]);
  await r.create('v', [linear(d('real'))]);
  await r.write('v', v, 0, tags(1, BLOCKS));
  return v;
}

/** A cow device over the first blocks of a new store, and its tail. */
export async function cowDevice(r: RuleRig, blocks = ROOM): Promise<void> {
  await r.lv('c1');
  await r.create('tail', [filler('hold', TOTAL - blocks)]);
  await r.create('cow', tailed(s('c1'), blocks, d('tail'), TOTAL - blocks));
}

/** A volume, and a snapshot S1 over a store with a tail that it feeds. */
export async function fed(r: RuleRig, blocks = ROOM): Promise<number[]> {
  const v = await volume(r);
  await cowDevice(r, blocks);
  await r.suspend('v');
  await r.create('S1', snapshot(d('real'), d('cow')));
  await r.load('v', origin(d('real')));
  await r.resume('v');
  return v;
}

/** Writes that many chunks of a fed volume, from the first on. */
export async function use(r: RuleRig, v: number[], chunks: number): Promise<void> {
  if (chunks > 0) await r.write('v', v, 0, tags(5000, chunks * CHUNK));
}

/** A fed volume whose store has no room left, and a write that waits. */
export async function full(
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
export async function extend(r: RuleRig, tail: string, from: number, to: number, next: string): Promise<void> {
  await r.create(next, [filler('hold', TOTAL - to)]);
  await r.swap(tail, [linear(s('c1'), to - from, from), linear(d(next), TOTAL - to)]);
}

/** The tail becomes all that the store can ever need. */
export async function extendWhole(r: RuleRig, tail = 'tail', from = ROOM): Promise<void> {
  await r.swap(tail, [linear(s('c1'), TOTAL - from, from)]);
}

export async function usedBlocks(r: RuleRig, name: string): Promise<number> {
  return Number((await r.status(name)).split(' ')[0]) / SECTORS;
}

export async function answer(step: Promise<void>): Promise<string> {
  try {
    await step;
    return 'done';
  } catch (error) {
    if (error instanceof SnapmergeError) return error.kind;
    throw error;
  }
}

/** A fork F of base, over a cow device. */
export async function fork(r: RuleRig, mode: 'P' | 'PO'): Promise<number[]> {
  await r.lv('D');
  await r.create('base', [linear(s('D'))]);
  const base = zeroes();
  await r.write('base', base, 0, tags(1, BLOCKS));
  await cowDevice(r);
  await r.create('F', snapshot(d('base'), d('cow'), { mode }));
  return base;
}

/** Another family on the same node: a new store, a snapshot taken, writes, contents. Nothing of it may wait. */
export async function elsewhere(r: RuleRig): Promise<void> {
  await r.lv('E');
  await r.lv('c9');
  await r.create('real9', [linear(s('E'))]);
  await r.create('v9', [linear(d('real9'))]);
  const v = zeroes();
  await r.fill('v9', v, 20);
  await r.suspend('v9');
  await r.create('T9', snapshot(d('real9'), s('c9')));
  await r.load('v9', origin(d('real9')));
  await r.resume('v9');
  const t = [...v];
  await r.fill('v9', v, 20);
  expect(await r.wrong('v9', v)).toBe(0);
  expect(await r.wrong('T9', t)).toBe(0);
  await r.remove('v9', 'T9', 'real9');
  await r.dropLv('E');
  await r.dropLv('c9');
}
