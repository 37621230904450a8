// The engine on the simulated node: random scenarios against the model, every byte of every image after every operation.

import { expect, test } from 'vitest';
import { createRandom } from '../contract/random.ts';
import { check, createScenario, randomOperation } from '../contract/scenario.ts';
import { kib, mib } from '../../src/units.ts';
import { simRig } from './rig.ts';
import { createWorld } from './world.ts';

const SEEDS = Number(process.env['SNAPMERGE_SEEDS'] ?? 60);
const OPERATIONS = Number(process.env['SNAPMERGE_OPERATIONS'] ?? 40);
const FIRST = Number(process.env['SNAPMERGE_SEED'] ?? 1);

test.each(Array.from({ length: SEEDS }, (_, index) => FIRST + index))('seed %i', { timeout: 120_000 }, async (seed) => {
  const world = createWorld({ seed, extent: kib(64), disks: [mib(48), mib(48)] });
  const report = await world.lvm.report();
  const random = createRandom(seed);
  const scenario = createScenario(simRig(world, report.vgUuid), {
    random,
    unit: kib(512),
    leastCow: random.chance(0.5) ? kib(512) : kib(4096),
    maxVolumes: 8,
    maxSnapshots: 8,
    looksAfterWrites: true,
  });
  await scenario.engine.open();
  for (let index = 0; index < OPERATIONS; index += 1) {
    try {
      await randomOperation(scenario);
    } catch (error) {
      throw new Error(
        `${String(error)}\n${scenario.story.join('\n')}\n--\n${world.inspect.trace().slice(-Number(process.env["TRACE"] ?? 40)).join('\n')}`,
        { cause: error },
      );
    }
    let wrong: readonly string[];
    try {
      wrong = await check(scenario);
    } catch (error) {
      wrong = [String(error)];
    }
    expect(wrong, [...scenario.story, '--', ...world.inspect.trace().slice(-Number(process.env["TRACE"] ?? 40))].join('\n')).toEqual([]);
  }
});
