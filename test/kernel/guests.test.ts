// What every test in a guest takes for granted, whatever machine it is: guests side by side are different ones, their disks are
// those that they are said to be, and a power cut leaves nothing running that could still write.

import { readFile, readdir } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { removeGuest, startGuest } from '../../vm/guest.ts';
import type { Guest } from '../../vm/guest.ts';
import { guestDir, readState } from '../../vm/state.ts';

const NAMES = ['guests-one', 'guests-two'] as const;
const LIMIT_MS = 600_000;

let guests: readonly Guest[] = [];

beforeAll(async () => {
  const small = { disks: 2, diskSizeBytes: 64 * 1024 ** 2, memoryMiB: 512 };
  guests = await Promise.all(NAMES.map((name) => startGuest({ name, ...small })));
}, LIMIT_MS);

afterAll(async () => {
  await Promise.all(guests.map((guest) => guest.cut()));
  await Promise.all(NAMES.map(removeGuest));
}, LIMIT_MS);

const drawn = (guest: Guest): Promise<string> =>
  guest.output(['cat', '/proc/sys/kernel/random/boot_id', '/proc/sys/kernel/random/uuid', '/etc/hostname']);

test('each has its own name, and random numbers that no other has', { timeout: LIMIT_MS }, async () => {
  const names = await Promise.all(guests.map((guest) => guest.output(['hostname'])));
  expect(names).toEqual(NAMES.map((name) => `${name}\n`));
  const [first, second] = await Promise.all(guests.map(drawn));
  expect(first).not.toBe(second);
});

test('disks are what they are called', { timeout: LIMIT_MS }, async () => {
  for (const guest of guests) {
    const links = guest.disks.map((_, index) => `/run/guest/disks/pool${index}`);
    expect((await guest.output(['readlink', ...links])).trim().split('\n')).toEqual(guest.disks);
    for (const [index, disk] of guest.disks.entries()) {
      const mark = `${guest.shape.name} ${index}`;
      await guest.output(['dd', `of=${disk}`, 'conv=notrunc,fsync', 'status=none'], { stdin: mark });
      const file = await readFile(`${guestDir(guest.shape.name)}/pool${index}.raw`);
      expect(file.toString('utf8', 0, mark.length)).toBe(mark);
    }
  }
});

/** Of processes that do more than wait for their parent to notice that they have ended. */
const inGroup = async (group: number): Promise<readonly string[]> => {
  const pids = (await readdir('/proc')).filter((entry) => /^\d+$/.test(entry));
  const stats = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')));
  return stats.filter((stat) => {
    const [state = 'Z', , found] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return !'ZX'.includes(state) && Number(found) === group;
  });
};

test('a power cut ends all of it at once, and disks stay', { timeout: LIMIT_MS }, async () => {
  const [guest] = guests;
  if (guest === undefined) throw new Error('Cannot run without a guest');
  const { name } = guest.shape;
  // Processes that the machine has to end too.
  await guest.output(['sh', '-c', 'for i in 1 2 3 4; do sleep 1000 & done >/dev/null 2>&1; touch /root/new']);
  const group = (await readState(name))?.pid ?? 0;
  expect(await inGroup(group)).not.toEqual([]);
  await guest.cut();
  expect(await inGroup(group)).toEqual([]);
  await guest.boot();
  expect((await guest.exec(['test', '-e', '/root/new'])).code).toBe(1);
  const [disk = ''] = guest.disks;
  expect(await guest.output(['head', '-c', '12', disk])).toBe('guests-one 0');
});
