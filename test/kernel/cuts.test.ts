// Power cuts on the real kernel, between any two steps of the driver, inside of commands and in the middle of merges, on
// disks that lose what was not flushed. SNAPMERGE_CUTS says how many, SNAPMERGE_CUT_SEED the first seed.

import { basename } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRandom } from '../contract/random.ts';
import { readBlocks, writeBlocks } from './blocks.ts';
import type { CutMachine } from './cut-machine.ts';
import { startCutMachine } from './cut-machine.ts';
import { runCuts } from './cut-run.ts';
import { guestExec } from './guest-exec.ts';
import { programsThroughout } from './programs.ts';

const NAME = 'cuts';
const CUTS = Number(process.env['SNAPMERGE_CUTS'] ?? 24);
const FIRST = Number(process.env['SNAPMERGE_CUT_SEED'] ?? 1);
const CUTS_A_SEED = 8;
/** A half of them lose something, as a rule: fewer than this of that many are no chance (1 in 50,000). */
const LEAST_LOSSY = 3;
const CUTS_TO_JUDGE = 24;
/** Of three seeds: with what opens every device of a node looping beside. */
const AMONG_PROGRAMS = 2;
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
    `kernel: ${cuts} power cuts, ${lossy} with lost writes, ${wrong} wrong chunks\nkernel: ${merging} of them in a merge\n`,
  );
}, LIMIT_MS);

/** Past the end of the pool's own disk room, which nothing else uses: a raw write there is nobody's data. */
const SPARE_BLOCK = 23_000;

test('the disks lose what was not flushed, and nothing else', { timeout: LIMIT_MS }, async () => {
  if (machine === undefined) throw new Error('Cannot run without a guest');
  const { guest } = machine;
  const [disk = ''] = guest.disks;
  const cache = await guest.output(['cat', `/sys/block/${basename(disk)}/queue/write_cache`]);
  expect(cache.trim()).toBe('write back');
  const exec = guestExec(guest);
  const before = { block: SPARE_BLOCK, tags: [1, 1] };
  await writeBlocks(exec, disk, [before], 'flush');
  await writeBlocks(exec, disk, [{ block: SPARE_BLOCK, tags: [2] }], 'leave');
  const shown = async () => (await readBlocks(guest, [disk], { from: SPARE_BLOCK, count: 2 })).join();
  expect(await shown()).toBe('2,1');
  expect(await machine.cut('everything', createRandom(1))).toEqual({ uncovered: 1, lost: 1 });
  await machine.boot();
  expect(await shown()).toBe('1,1');
});

test.each(SEEDS)('seed %i', { timeout: LIMIT_MS }, async (seed) => {
  if (machine === undefined) throw new Error('Cannot run without a guest');
  await machine.reset();
  const here = machine;
  const cutting = async () => runCuts(here, { seed, cuts: Math.min(CUTS_A_SEED, CUTS - (seed - FIRST) * CUTS_A_SEED) });
  const [result, ends] =
    seed % 3 === AMONG_PROGRAMS ? await programsThroughout(here.guest, cutting) : [await cutting(), undefined];
  const { cuts, lossy, merging, wrongBlocks, story, failure } = result;
  totals.cuts += cuts;
  totals.lossy += lossy;
  totals.merging += merging;
  totals.wrong += wrongBlocks;
  if (process.env['SNAPMERGE_STORY'] !== undefined) process.stdout.write(`seed ${seed}:\n${story.join('\n')}\n`);
  if (ends !== undefined) {
    const stuck = failure !== '' && wrongBlocks === 0 ? 1 : 0;
    process.stdout.write(
      `strangers: 1 seed, ${cuts} power cuts, ${stuck} stuck, ${wrongBlocks} wrong chunks (${ends} programs ran to their end)\n`,
    );
  }
  expect(failure).toBe('');
  expect(ends).not.toBe(0);
});

test.runIf(CUTS >= CUTS_TO_JUDGE)('a good part of the cuts took something', () => {
  expect(totals.lossy).toBeGreaterThanOrEqual(LEAST_LOSSY);
});
