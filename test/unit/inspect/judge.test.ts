import { expect, test } from 'vitest';
import { MOST_NESTED, MOST_NESTED_NEW } from '../../../src/converge/depth.ts';
import { judge } from '../../../src/inspect/judge.ts';
import { viewPool } from '../../../src/inspect/pool.ts';
import type { PoolContents } from '../../../src/inspect/view.ts';
import { gib, kib, mib } from '../../../src/vocabulary/units.ts';
import { POOL, fork, friday, lookOf, shop } from './family.ts';

const right = viewPool(lookOf());
const judged = (more: Partial<PoolContents> = {}) =>
  judge({ name: POOL, problem: '', contents: { ...right, reserve: gib(10), ...more } });

test('nothing is wrong', () => {
  expect(judged()).toEqual({ wrong: [], notices: [] });
  expect(judged({ reserve: undefined, free: gib(0) })).toEqual({ wrong: [], notices: [] });
});

test.each<[Partial<PoolContents>, string]>([
  [
    { disks: [{ path: '/dev/vdc', size: gib(1), free: gib(1), missing: true, closed: false }] },
    'disk /dev/vdc missing',
  ],
  [{ metadataFree: kib(8) }, 'its metadata area is full: 8 KiB of 64 MiB free'],
  [
    { troubles: [{ family: shop, stores: [], images: [], reason: 'because' }] },
    `family '${shop}' is left alone: because`,
  ],
  [{ families: right.families.map((one) => ({ ...one, stuck: 'no' })) }, `family '${shop}' is stuck: no`],
  [
    { families: right.families.map((one) => ({ ...one, waitsForRoom: true })) },
    `family '${shop}' waits for room in the pool`,
  ],
])('wrong: %#', (more, text) => {
  expect(judged(more).wrong).toEqual([`pool 'fast': ${text}`]);
});

test('an image that is lost, or lies on a disk that is gone', () => {
  const families = right.families.map((one) => ({
    ...one,
    images: one.images.map((image) => ({ ...image, state: 'invalid' as const, damaged: true })),
  }));
  const { wrong } = judged({ families });
  expect(wrong).toHaveLength(8);
  expect(wrong[0]).toBe("pool 'fast': volume 'shop': the kernel says 'invalid'");
});

test('writers that wait for room', () => {
  const families = right.families.map((one) => ({
    ...one,
    images: one.images.map((image) =>
      image.id === friday ? { ...image, full: { writer: shop, missing: mib(64) } } : image,
    ),
  }));
  expect(judged({ families }).wrong).toEqual([
    "pool 'fast': writers of 'shop' wait for room in store 'sm_0000000003': the pool needs 64 MiB more free space",
  ]);
});

test('what will be wrong', () => {
  expect(judged({ free: gib(9), metadataFree: mib(5) }).notices).toEqual([
    "pool 'fast': 9 GiB free, less than its reserve of 10 GiB: nothing new can be made",
    "pool 'fast': its metadata area has only 5 MiB of 64 MiB free",
  ]);
});

test('a pool that does not answer', () => {
  expect(judge({ name: POOL, problem: 'no disk', contents: undefined }).wrong).toEqual([
    "pool 'fast' does not answer: no disk",
  ]);
});

test('a fork that lies deep: told while it is staged, and when it could not be', () => {
  const deepAt = (depth: number, staged: boolean) =>
    right.families.map((one) => ({
      ...one,
      images: one.images.map((image) =>
        image.id === fork
          ? { ...image, depth, top: staged ? { path: '/dev/dm-9', openers: 1 } : undefined }
          : { ...image, depth },
      ),
    }));
  const told = (depth: number, staged: boolean) => {
    const { wrong, notices } = judged({ families: deepAt(depth, staged) });
    const ofFork = (text: string): boolean => text.includes("'test-a'");
    return { wrong: wrong.filter(ofFork), notices: notices.filter(ofFork) };
  };
  expect(told(MOST_NESTED_NEW, true)).toEqual({ wrong: [], notices: [] });
  expect(told(MOST_NESTED, false)).toEqual({ wrong: [], notices: [] });
  expect(told(MOST_NESTED_NEW + 1, true)).toEqual({
    wrong: [],
    notices: [
      "pool 'fast': fork 'test-a' is shown by 33 devices on top of each other: at 48 no more snapshots are taken of what " +
        'it reads through; delete snapshots that it reads through, or unstage it',
    ],
  });
  expect(told(MOST_NESTED + 1, true)).toEqual({
    wrong: [
      "pool 'fast': fork 'test-a' is staged, and shown by 49 devices on top of each other: more than 48 could bring the " +
        'kernel down; delete snapshots that it reads through, or unstage it',
    ],
    notices: [],
  });
  expect(told(MOST_NESTED + 1, false)).toEqual({
    wrong: [],
    notices: [
      "pool 'fast': fork 'test-a' cannot be staged: 49 devices would lie on top of each other to show it, and more than " +
        '48 could bring the kernel down; delete snapshots that it reads through',
    ],
  });
});
