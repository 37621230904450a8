// Small spaces, not sampled but enumerated: each operation on each family of up to four members, with a crash at every point.

import { afterAll, expect, test } from 'vitest';
import { runCrashes } from './crash-run.ts';
import { scenes, trees } from './crash-small.ts';
import { failureText, telling } from './crash-tell.ts';

const totals = { points: 0, failures: 0 };

afterAll(() => {
  process.stdout.write(`sim: ${totals.points} crash points, ${totals.failures} failures (enumerated)\n`);
});

test('every tree of up to four members is there', () => {
  expect(trees().map(({ length }) => length)).toEqual([1, 2, 3, 3, 4, 4, 4, 4, 4, 4]);
});

test.each([...scenes(false), ...scenes(true)])('$title', { timeout: 120_000 }, async ({ operations }) => {
  const result = await runCrashes({ seed: 1, next: telling(operations, 'last') });
  totals.points += result.points;
  if (result.failure !== undefined) totals.failures += 1;
  expect(await failureText({ seed: 1 }, result)).toBe('');
  expect(result.played).toEqual(operations);
  expect(result.points).toBeGreaterThan(1);
});
