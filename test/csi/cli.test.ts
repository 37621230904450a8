// The operator's command line in a guest: with the driver, and without it when everything that it had made is gone.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { driverListens, driverTars } from '../../tools/driver.ts';
import { CSI_SOCKET } from '../../tools/forwarding.ts';
import type { Guest } from '../../vm/guest.ts';
import { removeGuest, startGuest } from '../../vm/guest.ts';
import type { Forward } from '../../vm/forward.ts';
import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../../vm/wait.ts';
import type { Caller } from './caller.ts';
import { createCaller } from './caller.ts';
import type { Workload } from './workload.ts';
import { LIMIT_MS, createWorkload } from './workload.ts';

const NAME = 'csi-cli';
const WAIT_MS = 180_000;
const slow = { timeout: LIMIT_MS };
const MIB = 1024 ** 2;
const access = 'block';

let guest: Guest;
let socket: Forward;
let csi: Caller;
let w: Workload;
/** Handles, and what each shows. */
const made = { shop: '', friday: '', fork: '' };
const shows = { friday: '', fork: '' };

interface Said {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function snapmerge(...args: readonly string[]): Promise<Said> {
  const { code, stdout, stderr } = await guest.exec(['snapmerge', ...args]);
  return { code, out: Buffer.from(stdout).toString(), err: Buffer.from(stderr).toString() };
}

const idOf = (handle: string): string => handle.slice(handle.lastIndexOf('.') + 1);
const deviceOf = (handle: string, part: string): Promise<string> =>
  w.sh(`printf /dev/dm-%s $(dmsetup info -c --noheadings -o minor snapmerge-pool-${idOf(handle)}-${part})`);

beforeAll(async () => {
  guest = await startGuest({ name: NAME, driver: true, tars: await driverTars(NAME) });
  await driverListens(guest);
  socket = await guest.forward(CSI_SOCKET);
  csi = createCaller(socket.path);
  w = createWorkload(guest, csi);
  made.shop = await w.volume('shop', { mib: 48, access });
  const device = await w.use(made.shop, { access });
  await w.random(device, 32);
  made.friday = await w.snapshot('friday', made.shop);
  shows.friday = await w.rawSum(device);
  made.fork = await w.volume('test-a', { mib: 48, access, snapshot: made.friday });
  const fork = await w.use(made.fork, { access });
  await w.random(fork, 4);
  shows.fork = await w.rawSum(fork);
  await w.leave(made.fork);
  await w.random(device, 40);
}, LIMIT_MS);

afterAll(async () => {
  csi.close();
  await socket.close();
  await guest.stop();
  await removeGuest(NAME);
}, LIMIT_MS);

const node = z.object({
  pools: z.array(
    z.object({
      contents: z.object({
        families: z.array(
          z.object({
            images: z.array(
              z.object({
                id: z.string(),
                kind: z.string(),
                fed: z.boolean(),
                shown: z.boolean(),
                used: z.number().nullable(),
              }),
            ),
          }),
        ),
      }),
    }),
  ),
});

test('tree and status show a family', slow, async () => {
  const { code, out, err } = await snapmerge('tree', '--json');
  expect([err, code]).toEqual(['', 0]);
  const images = node.parse(JSON.parse(out)).pools[0]?.contents.families[0]?.images ?? [];
  expect(images.map(({ id, kind, fed, shown }) => [id, kind, fed, shown])).toEqual([
    [idOf(made.shop), 'volume', false, true],
    [idOf(made.friday), 'snapshot', true, true],
    [idOf(made.fork), 'fork', false, false],
  ]);
  expect(images[1]?.used).toBeGreaterThan(40 * MIB);
  const status = await snapmerge('status');
  expect(status.out).toContain('1 volume, 1 fork, 1 snapshot, in 1 family, 1 staged');
  expect(status.code).toBe(0);
});

test('check says what differs', slow, async () => {
  const top = `snapmerge-pool-${idOf(made.shop)}-top`;
  await w.sh(`dmsetup table ${top} | dmsetup load ${top}`);
  const { code, out } = await snapmerge('check');
  expect(out).toContain(`state ${idOf(made.shop)}-top: an inactive table is loaded`);
  expect(code).toBe(1);
  await w.sh(`dmsetup clear ${top}`);
});

test('a restore is cut off in the middle, shown by hand, and goes on to its end', slow, async () => {
  await w.leave(made.shop);
  await w.sh(`snapmerge restore shop ${made.friday} > /tmp/begun 2>&1 & asked=$!
    until dmsetup table | grep -q snapshot-merge; do sleep 0.1; done
    touch /run/snapmerge/stopped; kill -KILL $(cat /run/snapmerge/driver.pid); wait $asked || true`);
  await w.sh('snapmerge tables --remove > /tmp/remove && bash -e < /tmp/remove');
  expect(await w.sh('dmsetup ls | grep -E "snapmerge-|sm_" || true')).toBe('');

  // As a person would paste it: a shell that goes on after what fails.
  await w.sh('snapmerge tables > /tmp/tables');
  const pasted = await guest.exec(['bash'], { stdin: await guest.pull('/tmp/tables') });
  expect(Buffer.from(pasted.stderr).toString()).toBe('');
  expect(Buffer.from(pasted.stdout).toString()).toMatch(/^volume shop \(v-\w{10}\): \/dev\/dm-\d+$/m);
  const views = [
    [made.shop, 'top', shows.friday],
    [made.friday, 'view', shows.friday],
    [made.fork, 'top', shows.fork],
  ] as const;
  for (const [handle, part, sum] of views) expect(await w.rawSum(await deviceOf(handle, part))).toBe(sum);
  await w.random(await deviceOf(made.shop, 'top'), 8);
  const written = await w.rawSum(await deviceOf(made.shop, 'top'));
  const merged = await waitFor(
    WAIT_MS,
    async () => {
      const [, used, metadata] = / snapshot-merge (\d+)\/\d+ (\d+)/.exec(await w.sh('dmsetup status')) ?? [];
      return used !== undefined && used === metadata ? true : undefined;
    },
    LOOK_IN_GUEST_EVERY_MS,
  );
  expect(merged).toBe(true);

  await w.sh('rm /run/snapmerge/csi.sock; /run/guest/driver.sh start');
  await driverListens(guest);
  const list = z.object({ restores: z.array(z.object({ phase: z.string() })) });
  const done = await waitFor(
    WAIT_MS,
    async () => {
      const { restores } = await csi.call('ListRestores', {}, list);
      return restores[0]?.phase === 'RESTORE_PHASE_DONE' ? true : undefined;
    },
    LOOK_IN_GUEST_EVERY_MS,
  );
  expect(done).toBe(true);
  expect(await w.rawSum(await deviceOf(made.shop, 'top'))).toBe(written);
  expect(await w.rawSum(await deviceOf(made.fork, 'top'))).toBe(shows.fork);
  const check = await snapmerge('check');
  expect(check.out).toContain('right: 1 family as recorded');
  expect(check.code).toBe(0);
});

test('a restore is watched to its end', slow, async () => {
  const { code, out, err } = await snapmerge('restore', 'shop', 'friday', '--safety', 'before', '--watch');
  expect(err).toBe('');
  expect(out.split('\n').at(-2)).toMatch(/^shop ← friday .* done, /);
  expect(code).toBe(0);
});
