// The disk that loses writes, without a guest: what a flush covers, what a cut takes, and that it is the same for a seed.

import { expect, test } from 'vitest';
import { createRandom } from '../../contract/random.ts';
import type { Medium } from '../../../vm/medium.ts';
import { createMedium } from '../../../vm/medium.ts';

const BLOCK = 4096;
const never = { below: () => 0 };

const write = (disk: Medium, block: number, value: number, { blocks = 1, fua = false } = {}): void => {
  disk.answer({ do: 'write', offset: block * BLOCK, data: Buffer.alloc(blocks * BLOCK, value), fua });
};
const shown = (disk: Medium, blocks: number): readonly (number | undefined)[] => {
  const read = disk.answer({ do: 'read', offset: 0, length: blocks * BLOCK });
  return Array.from({ length: blocks }, (_, index) => (read instanceof Buffer ? read[index * BLOCK] : undefined));
};

test('a flushed write stays, one that is not flushed goes', () => {
  const disk = createMedium({ sizeBytes: 16 * BLOCK });
  write(disk, 0, 1);
  disk.answer({ do: 'flush' });
  write(disk, 0, 2);
  write(disk, 1, 2);
  expect(shown(disk, 2)).toEqual([2, 2]);
  expect(disk.losePower('everything', never)).toEqual({ uncovered: 2, lost: 2 });
  expect(shown(disk, 2)).toEqual([1, 0]);
});

test('a write that is durable by itself stays, and covers no other', () => {
  const disk = createMedium({ sizeBytes: 16 * BLOCK });
  write(disk, 0, 1);
  write(disk, 1, 1);
  write(disk, 1, 2, { fua: true });
  expect(disk.losePower('everything', never)).toEqual({ uncovered: 2, lost: 2 });
  expect(shown(disk, 2)).toEqual([0, 2]);
});

test('zeroes and discards are writes too', () => {
  const disk = createMedium({ sizeBytes: 16 * BLOCK });
  write(disk, 0, 1, { blocks: 4 });
  disk.answer({ do: 'flush' });
  disk.answer({ do: 'zero', offset: 0, length: BLOCK, fua: false });
  disk.answer({ do: 'trim', offset: BLOCK, length: BLOCK, fua: false });
  expect(shown(disk, 4)).toEqual([0, 0, 1, 1]);
  disk.losePower('everything', never);
  expect(shown(disk, 4)).toEqual([1, 1, 1, 1]);
});

test('of many writes some are lost, some are torn between blocks, and a seed tells which', () => {
  const after = (seed: number): readonly (number | undefined)[] => {
    const disk = createMedium({ sizeBytes: 64 * BLOCK });
    for (let block = 0; block < 64; block += 4) write(disk, block, block + 1, { blocks: 4 });
    disk.losePower('some', createRandom(seed));
    return shown(disk, 64);
  };
  const once = after(7);
  const parts = Array.from({ length: 16 }, (_, index) => once.slice(index * 4, index * 4 + 4));
  const there = parts.map((part) => part.filter((value) => value !== 0).length);
  expect(there).toContain(0);
  expect(there).toContain(4);
  expect(there.some((count) => count > 0 && count < 4)).toBe(true);
  expect(after(7)).toEqual(once);
  expect(after(8)).not.toEqual(once);
});

test('in its ordered part the last writes go', () => {
  for (let seed = 1; seed <= 50; seed += 1) {
    const disk = createMedium({ sizeBytes: 64 * BLOCK, ordered: { offset: 0, length: 32 * BLOCK } });
    for (let block = 0; block < 8; block += 1) write(disk, block, 1);
    disk.losePower('some', createRandom(seed));
    const there = shown(disk, 8);
    const first = there.indexOf(0);
    expect(first < 0 ? [] : there.slice(first)).not.toContain(1);
  }
});

test('a fault refuses what touches its part, and only that', () => {
  const disk = createMedium({ sizeBytes: 16 * BLOCK });
  const read = (block: number) => disk.answer({ do: 'read', offset: block * BLOCK, length: BLOCK });
  disk.fail({ on: ['read'], ranges: [{ offset: 2 * BLOCK, length: BLOCK }] });
  expect(read(2)).toBe('io-error');
  expect(read(3)).toBeInstanceOf(Buffer);
  expect(disk.answer({ do: 'flush' })).toBe('done');
  disk.fail({ on: ['flush'] });
  expect(disk.answer({ do: 'flush' })).toBe('io-error');
  disk.fail(undefined);
  expect(read(2)).toBeInstanceOf(Buffer);
});
