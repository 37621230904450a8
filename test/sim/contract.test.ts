// The contract suite on the simulated node.

import { expect, test } from 'vitest';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { createRandom } from '../contract/random.ts';
import type { ScenarioOptions } from '../contract/scenario.ts';
import { createScenario } from '../contract/scenario.ts';
import { ENDS, STRANGERS, WITH_TAILS } from '../contract/strangers.ts';
import type { ContractCase } from '../contract/suite.ts';
import { CONTRACT } from '../contract/suite.ts';
import { simRig } from './rig.ts';
import { createWorld } from './world.ts';

async function runHere({ run }: ContractCase, stores: Pick<ScenarioOptions, 'unit' | 'leastHeadroom'>): Promise<void> {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(48), mib(48)] });
  const { vgUuid } = await world.lvm.report();
  const scenario = createScenario(simRig(world, vgUuid), {
    ...stores,
    random: createRandom(1),
    maxVolumes: 8,
    maxSnapshots: 8,
    looksAfterWrites: true,
    looksAfterSteps: true,
    writesMeanwhile: false,
  });
  await scenario.engine.open();
  await run(scenario);
}

test.each([...CONTRACT, ...STRANGERS])('$name', async (one) => {
  await expect(runHere(one, { unit: kib(512), leastHeadroom: mib(4) })).resolves.toBeUndefined();
});

test.each(ENDS)('$name', async (one) => {
  await expect(runHere(one, WITH_TAILS)).resolves.toBeUndefined();
});
