// Every crash tried: random families on the simulated node, and in each operation the death of the driver and of the node
// after every one of its effects. Law 3 of the design, with 1, 2, 6 and 10 looked after on the way.

import { afterAll, expect, test } from 'vitest';
import { randomly, runCrashes } from './crash-run.ts';

const SEEDS = Number(process.env['SNAPMERGE_CRASH_SEEDS'] ?? 36);
const OPERATIONS = Number(process.env['SNAPMERGE_CRASH_OPERATIONS'] ?? 16);
const FIRST = Number(process.env['SNAPMERGE_CRASH_SEED'] ?? 1);

const totals = { points: 0, failures: 0 };

afterAll(() => {
  process.stdout.write(`sim: ${totals.points} crash points, ${totals.failures} failures\n`);
});

test.each(Array.from({ length: SEEDS }, (_, index) => FIRST + index))('seed %i', { timeout: 300_000 }, async (seed) => {
  const { points, failure } = await runCrashes({ seed, next: randomly(OPERATIONS) });
  totals.points += points;
  if (failure !== '') totals.failures += 1;
  expect(failure).toBe('');
});
