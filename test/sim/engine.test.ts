// The engine on the simulated node: random scenarios against the model, every byte of every image after every operation, or
// after every few where users go on writing meanwhile: what is looked at is shown, and so measured anew. In a third of them
// other programs look at every device before each step. In a fifth the group's extents are no power of two.

import { expect, test } from 'vitest';
import { isUnsure } from '../contract/model.ts';
import { createRandom } from '../contract/random.ts';
import type { Scenario } from '../contract/scenario.ts';
import { check, createScenario, randomOperation } from '../contract/scenario.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { simRig } from './rig.ts';
import { createWorld } from './world.ts';

const SEEDS = Number(process.env['SNAPMERGE_SEEDS'] ?? 240);
const OPERATIONS = Number(process.env['SNAPMERGE_OPERATIONS'] ?? 40);
const OPERATIONS_A_CHECK = 5;
const FIRST = Number(process.env['SNAPMERGE_SEED'] ?? 1);

const PLAIN = { extent: kib(64), disks: [mib(48), mib(48)], unit: kib(512) };
/** Sizes are multiples of both an extent and the largest chunk. */
const ODD = { extent: kib(640), disks: [mib(200), mib(200)], unit: kib(2560) };

/** How many of the last effects a failure shows. */
const TRACE = Number(process.env['SNAPMERGE_TRACE'] ?? 40);

test.each(Array.from({ length: SEEDS }, (_, index) => FIRST + index))('seed %i', { timeout: 120_000 }, async (seed) => {
  const group = seed % 5 === 4 ? ODD : PLAIN;
  const world = createWorld({ seed, ...group });
  const { vgUuid } = await world.lvm.report();
  const random = createRandom(seed);
  const scenario = createScenario(simRig(world, vgUuid), {
    random,
    unit: group.unit,
    leastHeadroom: random.chance(0.5) ? kib(512) : mib(4),
    maxVolumes: 8,
    maxSnapshots: 8,
    looksAfterWrites: true,
    looksAfterSteps: seed % 2 === 1,
    writesMeanwhile: seed % 4 === 3,
  });
  const failure = await (seed % 3 === 0 ? scenario.rig.strangers.lookThroughout(() => run(scenario)) : run(scenario));
  const story =
    failure === '' ? '' : [...scenario.story, '--', ...world.inspect.trace().slice(-TRACE), failure].join('\n');
  expect(story).toBe('');
});

/** The first thing that went wrong, or nothing. */
async function run(scenario: Scenario): Promise<string> {
  try {
    await scenario.engine.open();
    for (let index = 0; index < OPERATIONS; index += 1) {
      await randomOperation(scenario);
      const isLast = index === OPERATIONS - 1;
      const isDue =
        !scenario.options.writesMeanwhile || index % OPERATIONS_A_CHECK === 0 || isUnsure(scenario.model) || isLast;
      const wrong = isDue ? await check(scenario) : [];
      if (wrong.length > 0) return wrong.join('\n');
    }
    return '';
  } catch (error) {
    return String(error);
  }
}
