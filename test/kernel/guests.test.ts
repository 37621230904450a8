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

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();

test(
  'a command is what it is anywhere, and a limit ends it and all that it has started',
  { timeout: LIMIT_MS },
  async () => {
    const [guest] = guests;
    if (guest === undefined) throw new Error('Cannot run without a guest');
    const said = 'echo before >&2; kill -SEGV $$';
    const hurt = await guest.exec(['sh', '-c', said]);
    expect([hurt.code, hurt.signal, text(hurt.stderr)]).toEqual([null, 'SIGSEGV', 'before\n']);
    const words = ['a b', '', '$x', '"', "'", 'ü\n\n'];
    expect(await guest.output(['printf', '[%s]', ...words])).toBe(words.map((word) => `[${word}]`).join(''));
    const env = { 'a.b': 'odd', FOO: "it's" };
    expect((await guest.output(['env'], { env })).split('\n')).toEqual(expect.arrayContaining(['a.b=odd', "FOO=it's"]));
    await expect(guest.exec(['no-such-program'])).rejects.toThrow(
      "Cannot start 'no-such-program' in the guest: ENOENT",
    );
    await expect(guest.exec(['true'], { cwd: '/none' })).rejects.toThrow('ENOENT');
    // In a folder that nobody holds afterwards.
    await guest.output(['sh', '-c', 'mkdir -p /tmp/mnt && mount -t tmpfs none /tmp/mnt']);
    expect(await guest.output(['pwd'], { cwd: '/tmp/mnt' })).toBe('/tmp/mnt\n');
    await guest.output(['umount', '/tmp/mnt']);

    await guest.output(['sh', '-c', '(while :; do sleep 0.01; done) > /dev/null 2>&1 & echo $! > /tmp/left']);
    // It makes a process group of its own.
    const late = await guest.exec(['timeout', '1000', 'sleep', '999'], { timeoutMs: 500 });
    expect([late.code, late.signal, late.timedOut]).toEqual([null, 'SIGKILL', true]);
    expect((await guest.exec(['pgrep', '-f', 'sleep 999'])).code).toBe(1);
    expect((await guest.exec(['sh', '-c', 'kill -0 $(cat /tmp/left) && kill $(cat /tmp/left)'])).code).toBe(0);
    const none = new AbortController();
    none.abort();
    expect((await guest.exec(['sleep', '999'], { signal: none.signal })).signal).toBe('SIGKILL');

    await guest.output(['pkill', '-KILL', '-f', '/proc/self/fd/0']).catch(() => undefined);
    expect(await guest.output(['echo', 'still there'])).toBe('still there\n');
  },
);

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
