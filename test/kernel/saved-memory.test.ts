// Guests that go on from the same memory are different machines, and so is one before and after a power cut.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { removeGuest, startGuest } from '../../vm/guest.ts';
import type { Guest } from '../../vm/guest.ts';

const NAMES = ['memory-one', 'memory-two'];
const LIMIT_MS = 600_000;

let guests: readonly Guest[] = [];
/** When their last boot was asked for: later than their memory was kept by all that was done with them before. */
let bootedMs = Number.POSITIVE_INFINITY;

beforeAll(async () => {
  guests = await Promise.all(NAMES.map((name) => startGuest({ name, disks: 1, diskSizeBytes: 64 * 1024 ** 2 })));
}, LIMIT_MS);

afterAll(async () => {
  await Promise.all(guests.map((guest) => guest.cut()));
  await Promise.all(NAMES.map(removeGuest));
}, LIMIT_MS);

/** What a machine takes for its own: from the kernel, from its random numbers, and from LVM, which asks for some more. */
const identities = async (guest: Guest): Promise<readonly string[]> => {
  const drawn = await guest.output(['cat', '/proc/sys/kernel/random/boot_id', '/proc/sys/kernel/random/uuid']);
  await guest.output(['vgcreate', '-qq', '--force', '--yes', 'pool', '/dev/vdc']);
  const uuid = await guest.output(['vgs', '--noheadings', '-o', 'vg_uuid']);
  await guest.output(['vgremove', '-qq', '--yes', 'pool']);
  return [...drawn.trim().split('\n'), uuid.trim()];
};

test('nothing that should be unique is the same twice', { timeout: LIMIT_MS }, async () => {
  const first = await Promise.all(guests.map(identities));
  await Promise.all(guests.map((guest) => guest.cut()));
  bootedMs = Date.now();
  await Promise.all(guests.map((guest) => guest.boot()));
  const all = [...first, ...(await Promise.all(guests.map(identities)))].flat();
  expect(all).toHaveLength(4 * 3);
  expect(new Set(all).size).toBe(all.length);
});

test('the clock is right', { timeout: LIMIT_MS }, async () => {
  for (const guest of guests) {
    const shownMs = Number(await guest.output(['date', '+%s%3N']));
    // On a busy machine it is behind by as long as it took to be set.
    expect(shownMs).toBeGreaterThanOrEqual(bootedMs);
    expect(shownMs).toBeLessThan(Date.now() + 1000);
  }
});

test('each has its own name and disks', { timeout: LIMIT_MS }, async () => {
  const names = await Promise.all(guests.map((guest) => guest.output(['hostname'])));
  expect(names).toEqual(NAMES.map((name) => `${name}\n`));
  for (const guest of guests) {
    const serials = await guest.output(['sh', '-c', 'for disk in /sys/block/vd*; do cat "$disk/serial"; echo; done']);
    expect(serials.trim().split(/\s+/)).toEqual(['root', 'state', 'pool0']);
    expect((await guest.output(['readlink', '/run/guest/disks/pool0'])).trim()).toBe('/dev/vdc');
  }
});
