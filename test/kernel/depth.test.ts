// Why images may lie only so deep: at the bound a real kernel does all that it should, and beyond it, some way off, it is
// down, and the node with it.

import { clockOf } from '../clock.ts';
import { expect, test } from 'vitest';
import { MOST_NESTED } from '../../src/converge/depth.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import { createPoolEngine } from '../../src/engine/compose.ts';
import { poolName } from '../../src/vocabulary/ids.ts';
import { silentLog } from '../../src/vocabulary/ports.ts';
import { kib } from '../../src/vocabulary/units.ts';
import { runAtTheBound } from '../contract/depth.ts';
import { idOf } from '../contract/ids.ts';
import type { Guest } from '../../vm/guest.ts';
import { removeGuest, startGuest } from '../../vm/guest.ts';
import { waitFor } from '../../vm/wait.ts';
import { guestRig, makePool } from './rig.ts';

const LIMIT_MS = 1_800_000;

/** Of Debian's own kernel: User Mode Linux has another stack, and panics sooner. */
async function inGuest(name: string, cpus: number, work: (guest: Guest) => Promise<void>): Promise<void> {
  const guest = await startGuest({ name, bed: 'qemu', cpus, diskSizeBytes: 1 << 30, udev: false });
  try {
    await work(guest);
  } finally {
    await guest.cut();
    await removeGuest(name);
  }
}

test('at the bound all is read, written, cut off, staged again and merged', { timeout: LIMIT_MS }, async () => {
  await inGuest('depth-bound', 2, async (guest) => {
    await makePool(guest);
    const rig = await guestRig(guest);
    let next = 1;
    const open = async (): Promise<PoolEngine> => {
      const { vg, lvm, kernel, host } = rig;
      const engine = createPoolEngine({
        pool: poolName('test'),
        vg,
        lvm,
        kernel,
        host,
        clock: clockOf(Date.now),
        drawId: () => idOf(next++),
        log: silentLog,
        reservePercent: 0,
        // So that stores have tails, which are part of how deep they lie.
        leastHeadroom: kib(128),
      });
      await engine.open();
      return engine;
    };
    await expect(runAtTheBound(rig, open)).resolves.toBeUndefined();
  });
});

const STEP = 32;
const MOST_TRIED = 1024;

/** Tables by hand: snapshots of snapshots, read through all of them. Says on the console how far it is. */
const NEST = String.raw`
set -e
major=$(awk '$2 == "device-mapper" { print $1 }' /proc/devices)
length=65536
dmsetup create --noudevsync depth-0 --major $major --minor 0 --table "0 $length linear $BASE 0"
depth=0
while [ $depth -lt $MOST ]; do
  all=''
  for at in $(seq $((depth + 1)) $((depth + STEP))); do
    all="$all;depth-$at-cow,,$((2 * at + 1)),,0 1024 linear $COWS $((at * 1024))"
    all="$all;depth-$at,,$((2 * at)),,0 $length snapshot $major:$((2 * at - 2)) $major:$((2 * at + 1)) P 16"
  done
  dmsetup create --noudevsync --concise "${'${all#;}'}"
  depth=$((depth + STEP))
  echo "<3>depth: reading through $depth" > /dev/kmsg
  dd if=/dev/dm-$((2 * depth)) of=/dev/null bs=1M count=4 iflag=direct status=none
done
`;

test('far beyond the bound one read brings the kernel down', { timeout: LIMIT_MS }, async () => {
  await inGuest('depth-beyond', 1, async (guest) => {
    const [base = '', cows = ''] = guest.disks;
    const env = { MOST: `${MOST_TRIED}`, STEP: `${STEP}`, BASE: base, COWS: cows };
    const ended = guest.exec(['bash', '-c', NEST], { env }).then(
      ({ code, stderr }) => `code ${String(code)}: ${Buffer.from(stderr).toString()}`,
      () => 'the guest is gone',
    );
    const how = await ended;
    // What it says last may be on its way to the console still.
    await waitFor(60_000, () => (guest.isRunning() ? undefined : true));
    const said = await guest.log(1024 ** 2);
    expect(how).toBe('the guest is gone');
    expect(said).toMatch(/BUG: \w+ stack guard page was hit/);
    const reached = [...said.matchAll(/depth: reading through (\d+)/g)].map(([, depth]) => Number(depth));
    // With a wide margin: what lies below a store takes stack too, and other kernels bear fewer.
    expect(reached.at(-1)).toBeGreaterThanOrEqual(4 * MOST_NESTED);
  });
});
