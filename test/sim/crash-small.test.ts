// Small spaces, not sampled but enumerated: each operation on each family of up to four members, with a crash at every point.

import { afterAll, expect, test } from 'vitest';
import { runCrashes } from './crash-run.ts';
import { played, scenes, trees } from './crash-small.ts';

const totals = { points: 0, failures: 0 };

afterAll(() => {
  process.stdout.write(`sim: ${totals.points} crash points, ${totals.failures} failures (enumerated)\n`);
});

test('every tree of up to four members is there', () => {
  expect(trees().map(({ length }) => length)).toEqual([1, 2, 3, 3, 4, 4, 4, 4, 4, 4]);
});

test.each([...scenes(false), ...scenes(true)])('$title', { timeout: 120_000 }, async (scene) => {
  const { points, failure } = await runCrashes({ seed: 1, next: played(scene) });
  totals.points += points;
  if (failure !== '') totals.failures += 1;
  expect(points).toBeGreaterThan(1);
  expect(failure).toBe('');
});
