// The contract suite and the kernel's rules on the real kernel: the same cases that the simulated node passes, one guest
// for all of them.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { createRandom } from '../contract/random.ts';
import { createRuleRig } from '../contract/rule-rig.ts';
import { RULES } from '../contract/rules.ts';
import type { Scenario, ScenarioOptions } from '../contract/scenario.ts';
import { createScenario } from '../contract/scenario.ts';
import { ENDS, STRANGERS, WITH_TAILS } from '../contract/strangers.ts';
import { CONTRACT, fork, scribble, snapshot, volume } from '../contract/suite.ts';
import type { Guest } from '../../vm/guest.ts';
import { removeGuest, startGuest } from '../../vm/guest.ts';
import type { GuestRig } from './rig.ts';
import { guestRig, guestWaits, makePool } from './rig.ts';

const NAME = 'contract';
const LIMIT_MS = 900_000;
let guest: Guest | undefined;
let rig: GuestRig | undefined;

beforeAll(async () => {
  // What the kernel does is the same with udev, which takes a third of the time; other suites have it.
  guest = await startGuest({ name: NAME, diskSizeBytes: 1 << 30, udev: false });
  await makePool(guest);
  rig = await guestRig(guest);
}, LIMIT_MS);

afterAll(async () => {
  await guest?.stop();
  await removeGuest(NAME);
}, LIMIT_MS);

/** Afterwards the pool is empty, and nothing is in the kernel. */
async function inGuest(
  stores: Pick<ScenarioOptions, 'unit' | 'leastHeadroom'>,
  work: (scenario: Scenario, there: Guest) => Promise<void>,
): Promise<void> {
  if (guest === undefined || rig === undefined) throw new Error('Cannot run without a guest');
  const scenario = createScenario(rig, {
    ...stores,
    random: createRandom(1),
    maxVolumes: 8,
    maxSnapshots: 8,
    looksAfterWrites: false,
    looksAfterSteps: false,
    writesMeanwhile: false,
  });
  await scenario.engine.open();
  try {
    await work(scenario, guest);
  } finally {
    await rig.empty();
  }
  expect((await guest.output(['dmsetup', 'ls'])).trim()).toBe('No devices found');
}

// Names by which a part of them can be asked for.
describe.each([
  ['families', CONTRACT],
  ['strangers', STRANGERS],
] as const)('%s', (_, cases) => {
  test.each(cases)('$name', { timeout: LIMIT_MS }, async ({ run }) => {
    await expect(inGuest({ unit: kib(512), leastHeadroom: mib(64) }, run)).resolves.toBeUndefined();
  });
});

test.each(ENDS)('strangers: $name', { timeout: LIMIT_MS }, async ({ run }) => {
  await expect(inGuest(WITH_TAILS, run)).resolves.toBeUndefined();
});

/** Each would wait for ever in the tail of a store, if it read the end of a device that it finds. */
const PROGRAMS = [
  'blkid',
  'blkid -c /dev/null',
  'for d in /dev/dm-*; do blkid -p $d; wipefs $d; done',
  'findfs UUID=00000000-0000-0000-0000-000000000000',
  'lsblk -f',
  'lvs -a',
  'pvs -a',
  'pvs -a --config devices/scan_lvs=1',
  'vgs',
  'pvscan',
  'vgscan --mknodes',
  'lvmdiskscan',
  'dmsetup status',
];
const COW_READS =
  "for u in /sys/block/dm-*/dm/uuid; do case $(cat $u) in *-cow) awk '{print $1}' ${u%/dm/uuid}/stat;; esac; done";

test(
  'strangers: what looks at all devices of a node reads no store, and comes to its end',
  async () => {
    await inGuest(WITH_TAILS, async (scenario, there) => {
      const id = await volume(scenario);
      await scribble(scenario, id);
      const friday = await snapshot(scenario, id);
      await fork(scenario, friday);
      const reads = async (): Promise<string> => there.output(['sh', '-c', COW_READS]);
      const before = await reads();
      expect(before.split('\n').length).toBeGreaterThan(2);
      for (const program of PROGRAMS) {
        const { timedOut, code } = await there.exec(['sh', '-c', program], { timeoutMs: 60_000 });
        const found = { program, timedOut, isThere: code !== 127, reads: await reads() };
        expect(found).toEqual({ program, timedOut: false, isThere: true, reads: before });
      }
    });
  },
  LIMIT_MS,
);

describe('rules', () => {
  test.each(RULES)('$name', { timeout: LIMIT_MS }, async ({ run }) => {
    if (guest === undefined || rig === undefined) throw new Error('Cannot run without a guest');
    try {
      await expect(run(createRuleRig(rig, guestWaits(guest, rig)))).resolves.toBeUndefined();
    } finally {
      await rig.empty();
    }
  });
});
