// The contract suite on the simulated node.

import { expect, test } from 'vitest';
import { kib, mib } from '../../src/units.ts';
import { createRandom } from '../contract/random.ts';
import { createScenario } from '../contract/scenario.ts';
import { PARKED, STRANGERS } from '../contract/strangers.ts';
import { CONTRACT } from '../contract/suite.ts';
import { simRig } from './rig.ts';
import { createWorld } from './world.ts';

test.each([...CONTRACT, ...STRANGERS])('$name', async ({ run }) => {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(48), mib(48)] });
  const { vgUuid } = await world.lvm.report();
  const scenario = createScenario(simRig(world, vgUuid), {
    random: createRandom(1),
    unit: kib(512),
    leastHeadroom: mib(4),
    maxVolumes: 8,
    maxSnapshots: 8,
    looksAfterWrites: true,
    looksAfterSteps: true,
    writesMeanwhile: false,
  });
  await scenario.engine.open();
  await expect(run(scenario)).resolves.toBeUndefined();
});

test.each(PARKED)('$name', async ({ run }) => {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(48), mib(48)] });
  const { vgUuid } = await world.lvm.report();
  const scenario = createScenario(simRig(world, vgUuid), {
    random: createRandom(1),
    unit: mib(4),
    leastHeadroom: kib(128),
    maxVolumes: 8,
    maxSnapshots: 8,
    looksAfterWrites: true,
    looksAfterSteps: true,
    writesMeanwhile: false,
  });
  await scenario.engine.open();
  await expect(run(scenario)).resolves.toBeUndefined();
});
