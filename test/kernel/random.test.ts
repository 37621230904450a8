// Random operations on the real kernel against a model of the contents: seeded, replayable, compared block by block.
// SNAPMERGE_SEEDS, SNAPMERGE_SEED (the first) and SNAPMERGE_OPERATIONS change how much is tried. In a fifth of the seeds somebody
// reads every device meanwhile, and in another the programs of an ordinary node run in a loop each.

import { afterAll, describe, expect, test } from 'vitest';
import { isUnsure } from '../contract/model.ts';
import { createRandom } from '../contract/random.ts';
import type { Scenario } from '../contract/scenario.ts';
import { check, createScenario, finish, newEngine, randomOperation } from '../contract/scenario.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import type { Guest } from '../../vm/guest.ts';
import { removeGuest, startGuest } from '../../vm/guest.ts';
import type { Rig } from '../contract/rig.ts';
import { programsThroughout } from './programs.ts';
import { guestRig, makePool } from './rig.ts';

const SEEDS = Number(process.env['SNAPMERGE_SEEDS'] ?? 6);
const OPERATIONS = Number(process.env['SNAPMERGE_OPERATIONS'] ?? 40);
const FIRST = Number(process.env['SNAPMERGE_SEED'] ?? 1);
/** Showing and reading every image costs more than most operations; a wrong block stays wrong until the next look. */
const OPERATIONS_A_CHECK = 10;
const GUESTS = 2;
/** Of five seeds. */
const LOOKERS = 0;
const PROGRAMS = 3;
const LIMIT_MS = 3_600_000;

/** Which guest runs which seeds. */
const WORKERS = Array.from({ length: GUESTS }, (_, index): readonly [number, readonly number[]] => [
  index,
  Array.from({ length: SEEDS }, (__, count) => FIRST + count).filter((seed) => seed % GUESTS === index),
]).filter(([, seeds]) => seeds.length > 0);

const totals = { seeds: 0, operations: 0, wrong: 0 };
/** Of those, with others beside. Stuck: did not come to an end. */
const beside = { seeds: 0, operations: 0, stuck: 0, wrong: 0, runs: 0 };

afterAll(() => {
  process.stdout.write(
    `kernel: ${totals.seeds} seeds, ${totals.operations} operations, ${totals.wrong} wrong chunks\n` +
      `strangers: ${beside.seeds} seeds, ${beside.operations} operations, ${beside.stuck} stuck, ${beside.wrong} wrong chunks ` +
      `(${beside.runs} programs ran to their end)\n`,
  );
});

describe.concurrent('random operations on a real kernel', () => {
  test.each(WORKERS)('guest %i: seeds %j', { timeout: LIMIT_MS }, async (index, seeds) => {
    for (const udev of [true, false]) {
      const chosen = seeds.filter((seed) => (seed % 3 === 0) === udev);
      await expect(runSeeds(`random-${index}`, udev, chosen)).resolves.toBeUndefined();
    }
  });
});

/** In one guest, one after the other. */
async function runSeeds(name: string, udev: boolean, seeds: readonly number[]): Promise<void> {
  if (seeds.length === 0) return;
  const guest = await startGuest({ name, diskSizeBytes: 1 << 30, udev });
  try {
    await makePool(guest);
    const rig = await guestRig(guest);
    for (const seed of seeds) {
      const random = createRandom(seed);
      const scenario = createScenario(rig, {
        random,
        unit: random.chance(0.5) ? kib(512) : mib(4),
        leastHeadroom: mib(64),
        maxVolumes: 6,
        maxSnapshots: 6,
        looksAfterWrites: false,
        looksAfterSteps: false,
        writesMeanwhile: seed % 4 === 3,
      });
      await runAmong(guest, rig, seed, async (tally) => runSeed(scenario, seed, tally));
      totals.seeds += 1;
      await rig.empty();
    }
  } finally {
    await guest.stop();
    await removeGuest(name);
  }
}

interface Tally {
  operations: number;
  wrong: number;
}

async function runAmong(guest: Guest, rig: Rig, seed: number, work: (tally: Tally) => Promise<void>): Promise<void> {
  const tally = { operations: 0, wrong: 0 };
  const among = [LOOKERS, PROGRAMS].includes(seed % 5);
  try {
    if (!among) await work(tally);
    else if (seed % 5 === LOOKERS) await rig.strangers.lookThroughout(async () => work(tally));
    else beside.runs += (await programsThroughout(guest, async () => work(tally)))[1];
  } catch (error) {
    if (among && tally.wrong === 0) beside.stuck += 1;
    throw error;
  } finally {
    totals.operations += tally.operations;
    totals.wrong += tally.wrong;
    if (among) {
      beside.seeds += 1;
      beside.operations += tally.operations;
      beside.wrong += tally.wrong;
    }
  }
}

async function runSeed(scenario: Scenario, seed: number, tally: Tally): Promise<void> {
  await scenario.engine.open();
  for (let operation = 1; operation <= OPERATIONS; operation += 1) {
    try {
      await randomOperation(scenario);
      tally.operations += 1;
      if (operation % OPERATIONS_A_CHECK === 0 || isUnsure(scenario.model)) await requireRight(scenario, tally);
    } catch (error) {
      throw new Error(`seed ${seed}: ${String(error)}\n${scenario.story.join('\n')}`, { cause: error });
    }
  }
  await finish(scenario);
  await requireRight(scenario, tally);
  scenario.engine = newEngine(scenario);
}

async function requireRight(scenario: Scenario, tally: Tally): Promise<void> {
  const wrong = await check(scenario);
  tally.wrong += wrong.length;
  if (wrong.length > 0) throw new Error(wrong.join('\n'));
}
