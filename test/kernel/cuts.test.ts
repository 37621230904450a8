// Power cuts on the real kernel, between any two steps of the driver, inside of commands and in the middle of merges, on
// disks that lose what was not flushed. SNAPMERGE_CUTS says how many, SNAPMERGE_CUT_SEED the first seed.

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { CutMachine } from './cut-machine.ts';
import { startCutMachine } from './cut-machine.ts';
import { runCuts } from './cut-run.ts';

const NAME = 'cuts';
const CUTS = Number(process.env['SNAPMERGE_CUTS'] ?? 24);
const FIRST = Number(process.env['SNAPMERGE_CUT_SEED'] ?? 1);
const CUTS_A_SEED = 8;
const LIMIT_MS = 900_000;

const SEEDS = Array.from({ length: Math.ceil(CUTS / CUTS_A_SEED) }, (_, index) => FIRST + index);

const totals = { cuts: 0, lossy: 0, merging: 0, wrong: 0 };
let machine: CutMachine | undefined;

beforeAll(async () => {
  machine = await startCutMachine(NAME);
}, LIMIT_MS);

afterAll(async () => {
  await machine?.close();
  const { cuts, lossy, merging, wrong } = totals;
  process.stdout.write(
    `kernel: ${cuts} power cuts, ${lossy} with lost writes, ${wrong} wrong chunks (${merging} cuts in a merge)\n`,
  );
}, LIMIT_MS);

test.each(SEEDS)('seed %i', { timeout: LIMIT_MS }, async (seed) => {
  if (machine === undefined) throw new Error('Cannot run without a guest');
  if (seed !== FIRST) await machine.reset();
  const { cuts, lossy, merging, wrongBlocks, story, failure } = await runCuts(machine, {
    seed,
    cuts: Math.min(CUTS_A_SEED, CUTS - (seed - FIRST) * CUTS_A_SEED),
  });
  totals.cuts += cuts;
  totals.lossy += lossy;
  totals.merging += merging;
  totals.wrong += wrongBlocks;
  if (process.env['SNAPMERGE_STORY'] !== undefined) process.stdout.write(`seed ${seed}:\n${story.join('\n')}\n`);
  expect(failure).toBe('');
});
