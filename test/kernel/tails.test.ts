// The rules of stores with a tail on the real kernel: the same cases that the simulated node passes. A guest of their own,
// because a case that goes wrong here leaves commands that nothing can end.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRuleRig } from '../contract/rule-rig.ts';
import { TAILS } from '../contract/rules-tails.ts';
import type { Guest } from '../../vm/guest.ts';
import { removeGuest, startGuest } from '../../vm/guest.ts';
import type { GuestRig } from './rig.ts';
import { guestRig, guestWaits, makePool, releaseAll } from './rig.ts';

const NAME = 'tails';
const LIMIT_MS = 600_000;
let guest: Guest | undefined;
let rig: GuestRig | undefined;

beforeAll(async () => {
  // What the kernel does is the same with udev, which takes a third of the time; other suites have it.
  guest = await startGuest({ name: NAME, diskSizeBytes: 1 << 30, udev: false });
  await makePool(guest);
  rig = await guestRig(guest);
}, LIMIT_MS);

afterAll(async () => {
  await guest?.cut();
  await removeGuest(NAME);
}, LIMIT_MS);

test.each(TAILS)('$name', { timeout: LIMIT_MS }, async ({ run }) => {
  if (guest === undefined || rig === undefined) throw new Error('Cannot run without a guest');
  try {
    await expect(run(createRuleRig(rig, guestWaits(guest, rig)))).resolves.toBeUndefined();
  } finally {
    await releaseAll(guest);
    await rig.empty();
  }
});
