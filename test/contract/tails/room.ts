// How much room a store needs, and how to see from outside whether a write may wait in the tail.

import { expect } from 'vitest';
import { storeBytesFor } from '../../../src/dm/cow.ts';
import { bytes, mib } from '../../../src/vocabulary/units.ts';
import { BLOCK_BYTES } from '../rig.ts';
import type { RuleRig } from '../rule-rig.ts';
import type { RuleCase } from '../rules.ts';
import { CHUNK, d, filler, linear, origin, s, snapshot, tailed, zeroes } from '../words.ts';
import { ROOM, SECTORS, extend, extendWhole, fed, news, tags, usedBlocks } from './bench.ts';

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
  [2, 512],
  [16, 24],
  [128, 3],
];

function roomCase(chunk: number, chunks: number, less: 0 | 1): RuleCase {
  return {
    name: `${chunks} chunks of ${chunk * 4} KiB in a store ${less === 0 ? 'as large as they need' : 'one chunk smaller'}`,
    noticed: less === 0 ? [] : ['invalidated'],
    run: async (r) => {
      const room = needed(chunks, chunk);
      const chunkBytes = bytes(BigInt(chunk * BLOCK_BYTES));
      expect(storeBytesFor(bytes(chunkBytes * BigInt(chunks)), chunkBytes)).toBe(chunkBytes * BigInt(room + 1));
      const status = await overwritten(r, chunk, chunks, room - less);
      expect(status.split(' ')[0]).toBe(less === 0 ? `${room * chunk * SECTORS}` : 'invalid');
    },
  };
}

export const ROOMS: readonly RuleCase[] = SIZES.flatMap(([chunk, chunks]) => [
  roomCase(chunk, chunks, 0),
  roomCase(chunk, chunks, 1),
]);

export const SIGNS: readonly RuleCase[] = [
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
      expect(await r.inflight('tail')).toBeGreaterThan(0);
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
      await r.create('tail', [filler('hold', total - room)]);
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
      await r.create('tail1', [filler('hold', total - room - 1)]);
      await r.swap('tail', [linear(s('c1'), 1, room), linear(d('tail1'), total - room - 1)]);
      expect(await writer.ends()).toBe('done');
      expect(await next.waits()).toBe(true);
      await r.swap('tail1', [linear(s('c1'), total - room - 1, room + 1)]);
      expect(await next.ends()).toBe('done');
      await r.write('v', v, 0, tags(2000, blocks));
      expect(await r.wrong('S1', s1)).toBe(0);
      expect(await r.wrong('v', v)).toBe(0);
    },
  },
];
