// The kernel's rules on the simulated node: it corrupts and refuses where the kernel does, and says so besides.

import { expect, test } from 'vitest';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { createRuleRig } from '../contract/rule-rig.ts';
import { TAILS } from '../contract/rules-tails.ts';
import { RULES } from '../contract/rules.ts';
import { simRig, simWaits } from './rig.ts';
import { createWorld } from './world.ts';

test.each([...RULES, ...TAILS])('$name', async ({ run, noticed }) => {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(16), mib(16)] });
  const { vgUuid } = await world.lvm.report();
  await run(createRuleRig(simRig(world, vgUuid), simWaits(world)));
  expect([...new Set(world.inspect.notices().map(({ kind }) => kind))].sort()).toEqual([...noticed].sort());
});
