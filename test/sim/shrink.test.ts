// A failure that a person reads: long random stories become a handful of operations that still fail in the same way, and the
// line that is printed tells them again.

import { expect, test } from 'vitest';
import { inTurn } from '../../src/dm/kernel.ts';
import type { Step } from '../../src/dm/step.ts';
import { createRandom } from '../contract/random.ts';
import { randomly } from './crash-random.ts';
import type { Ports } from './crash-run.ts';
import { runCrashes } from './crash-run.ts';
import type { Story, Told } from './crash-story.ts';
import { readStory, writeStory } from './crash-story.ts';
import { kindOf, shorten, storyText, telling } from './crash-tell.ts';
import { shrink } from './shrink.ts';
import type { World } from './world.ts';

const isLate = (): boolean => false;
const MAX_TRIES = 1000;

test.each([1, 2, 3, 4, 5])('what is needed is found, and nothing else is left (seed %i)', async (seed) => {
  const random = createRandom(seed);
  const all = Array.from({ length: 60 }, (_, index) => ({ index, size: 8 }));
  const needed = new Set([random.below(60), random.below(60), random.below(60)]);
  const result = await shrink(all, {
    isLate,
    maxTries: MAX_TRIES,
    simpler: ({ index, size }) => (size > 1 ? [{ index, size: size / 2 }] : []),
    failing: async (items) =>
      [...needed].every((want) => items.some(({ index }) => index === want)) ? items : undefined,
  });
  expect(new Set(result.items.map(({ index }) => index))).toEqual(needed);
  expect(result.items.map(({ size }) => size)).toEqual(result.items.map(() => 1));
  expect(result.finished).toBe(true);
});

test('what hangs on something that is left out goes with it', async () => {
  const all = [0, 1, 2, 3, 4, 5, 6, 7];
  const { items } = await shrink(all, {
    isLate,
    maxTries: MAX_TRIES,
    simpler: () => [],
    // Every number needs the one that is half of it.
    failing: async (some) => {
      const used: number[] = [];
      for (const one of some) if (one < 2 || used.includes(Math.floor(one / 2))) used.push(one);
      return used.includes(5) ? used : undefined;
    },
  });
  expect(items).toEqual([1, 2, 5]);
});

test('it ends when the tries are used up, or time is', async () => {
  const all = Array.from({ length: 100 }, (_, index) => index);
  const failing = async (items: readonly number[]) => (items.includes(99) ? items : undefined);
  const few = await shrink(all, { isLate, maxTries: 3, simpler: () => [], failing });
  expect(few).toMatchObject({ tries: 3, finished: false });
  expect(few.items.length).toBeLessThan(100);
  const late = await shrink(all, { isLate: () => true, maxTries: MAX_TRIES, simpler: () => [], failing });
  expect(late).toEqual({ items: all, tries: 0, finished: false });
});

interface Broken {
  readonly title: string;
  /** What the shortest story has that shows it. */
  readonly operations: number;
  readonly ports: (world: World) => Ports;
}

const nothing = (): Promise<void> => Promise.resolve();
const without =
  (kind: Step['do']): Broken['ports'] =>
  ({ kernel, lvm, host }) => ({
    kernel: { ...kernel, apply: inTurn((step) => (step.do === kind ? nothing() : kernel.apply([step]))) },
    lvm,
    host,
  });

/** Drivers with a rule dropped. */
const BROKEN: readonly Broken[] = [
  { title: 'a snapshot does not flush its origin', operations: 4, ports: without('flush') },
  { title: 'nothing is suspended before its store changes hands', operations: 4, ports: without('suspend') },
  {
    title: 'a sweep takes a store that counts',
    operations: 3,
    ports: ({ kernel, lvm, host }) => {
      const remove: typeof lvm.remove = async (store) => {
        await lvm.remove(store);
        const used = (await kernel.observe()).stores;
        const victim = (await lvm.report()).stores.find((one) => !used.has(one.store));
        if (victim !== undefined) await lvm.remove(victim.store);
      };
      return { kernel, lvm: { ...lvm, remove }, host };
    },
  },
];

const LONG = 10;
const SEEDS = 40;

/** The first story that is long, and how it fails. */
async function longStory(ports: Broken['ports']) {
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const { played, failure } = await runCrashes({ seed, ports, next: randomly(16) });
    if (failure !== undefined && played.length >= LONG) return { seed, played, failure };
  }
  throw new Error('nothing long was found');
}

test.each(BROKEN)('$title: told in $operations operations', { timeout: 300_000 }, async ({ operations, ports }) => {
  const { seed, played, failure } = await longStory(ports);
  const short = await shorten({ seed, ports }, played, failure);
  expect(short.story.operations.length).toBeLessThanOrEqual(operations);

  const [, literal = ''] = /SNAPMERGE_CRASH_STORY='(.*)' npx/.exec(storyText(short)) ?? [];
  const again = readStory(literal);
  expect(again).toEqual(short.story);
  const told = await runCrashes({ seed, ports, next: telling(again.operations, 'all') });
  expect(told.failure && kindOf(told.failure)).toBe(kindOf(failure));
  // It is the rule that is missing, and the story that shows it.
  expect((await runCrashes({ seed, next: telling(again.operations, 'all') })).failure).toBeUndefined();
});

test('a story can be read by a person', async () => {
  const operations: readonly Told[] = [
    { do: 'create', name: 'V1', size: 524288, chunk: 4096 },
    { do: 'activate', volume: 'V1' },
    { do: 'create', name: 'V2', size: 524288, chunk: 4096 },
    { do: 'snapshot', name: 'S1', volume: 'V1', unflushed: [9, 2] },
  ];
  const ports = without('flush');
  const { played, failure } = await runCrashes({ seed: 1, ports, next: telling(operations, 'all') });
  if (failure === undefined) throw new Error('nothing was found');
  const short = await shorten({ seed: 1, ports }, played, failure);
  expect(short.failure.trace).toContain('suspend v-0000000001-top');
  // What the driver does on its way is no concern of this test.
  expect(storyText({ ...short, failure: { ...short.failure, trace: [] } })).toMatchInlineSnapshot(`
    "seed 1, 3 of 4 operations after 11 tries:
      create V1 of 512 KiB, chunk 4 KiB
      activate V1
      snapshot V1 as S1 (a write at 9 not flushed)
        power fails after 11 effects of that
    the last effects:
    what is wrong:
      after the restart:
      want: 'V1' (v-0000000001): 1 of 128 blocks differ, the first is 10: got 0, want 2
    again:
      SNAPMERGE_CRASH_STORY='{"seed":1,"operations":[{"do":"create","name":"V1","size":524288,"chunk":4096},{"do":"activate","volume":"V1"},{"do":"snapshot","name":"S1","volume":"V1","unflushed":[9,2]}]}' npx vitest run test/sim/crash.test.ts"
  `);
});

test('a story is the same after it was written and read', () => {
  const story: Story = {
    seed: 9,
    operations: [
      { do: 'create', name: 'V1', size: 524288, chunk: 4096 },
      { do: 'write', volume: 'V1', writes: [[3, 2]] },
      { do: 'background' },
    ],
  };
  expect(readStory(writeStory(story))).toEqual(story);
  expect(() => readStory('{"seed":9,"operations":[{"do":"explode"}]}')).toThrow('do');
});
