// Every crash tried: random families on the simulated node, and in each operation the death of the driver and of the node
// after every one of its effects. Law 3 of the design, with 1, 2, 6 and 10 looked after on the way.

import { afterAll, expect, test } from 'vitest';
import { randomly } from './crash-random.ts';
import type { CrashOptions } from './crash-run.ts';
import { runCrashes } from './crash-run.ts';
import { STORIES } from './crash-stories.ts';
import { readStory } from './crash-story.ts';
import type { Story } from './crash-story.ts';
import { failureText, telling } from './crash-tell.ts';

const SEEDS = Number(process.env['SNAPMERGE_CRASH_SEEDS'] ?? 16);
const OPERATIONS = Number(process.env['SNAPMERGE_CRASH_OPERATIONS'] ?? 30);
const FIRST = Number(process.env['SNAPMERGE_CRASH_SEED'] ?? 1);
/** A story that a failure has printed: told alone, with every crash in all of it. */
const STORY = process.env['SNAPMERGE_CRASH_STORY'];

const totals = { points: 0, failures: 0, members: 0 };

interface Case {
  readonly title: string;
  readonly seed: number;
  readonly next: CrashOptions['next'];
}

const drawn = (): readonly Case[] =>
  Array.from({ length: SEEDS }, (_, index) => FIRST + index).map((seed) => ({
    title: `seed ${seed}`,
    seed,
    next: randomly(OPERATIONS),
  }));

const told = (title: string, { seed, operations }: Story): Case => ({
  title,
  seed,
  next: telling(operations, 'all'),
});

const cases = (): readonly Case[] =>
  STORY === undefined
    ? [...drawn(), ...STORIES.map(({ title, story }) => told(title, story))]
    : [told('the story that was given', readStory(STORY))];

afterAll(() => {
  const { points, failures, members } = totals;
  process.stdout.write(`sim: ${points} crash points, ${failures} failures (families of up to ${members} members)\n`);
});

test.each(cases())('$title', { timeout: 300_000 }, async (options) => {
  const result = await runCrashes(options);
  totals.points += result.points;
  totals.members = Math.max(totals.members, result.members);
  if (result.failure !== undefined) totals.failures += 1;
  expect(await failureText(options, result)).toBe('');
});
