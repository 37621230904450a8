// Volumes as workloads use them, through CSI, with real file systems in a guest: what a mock of a mount would not tell.

import { expect, test } from 'vitest';
import { z } from 'zod';
import type { Caller } from './caller.ts';
import { Refused } from './caller.ts';
import type { Workload } from './workload.ts';
import { driverInGuest } from './use-guest.ts';
import { filesystemTests } from './use-filesystems.ts';
import { groupTests } from './use-groups.ts';
import { ownerTests } from './use-owner.ts';
import { LIMIT_MS, capabilityOf, stagingOf, targetOf } from './workload.ts';

const MIB = 1024 ** 2;

let csi: Caller;
let w: Workload;

driverInGuest('csi-use', (scene) => {
  ({ csi, w } = scene);
});

const slow = { timeout: LIMIT_MS };
const rawSum = (path: string): Promise<string> => w.rawSum(path);
const filesOf = (home: string): Promise<string> => w.filesOf(home);
const random = (path: string, mib: number): Promise<string> => w.random(path, mib);

ownerTests(() => ({ w }));
filesystemTests(() => ({ csi, w }));
groupTests(() => ({ csi, w }));

test('ext4: grows while mounted and snapshotted, and tells its usage', slow, async () => {
  const id = await w.volume('grows', { mib: 64 });
  const home = await w.use(id);
  await random(`${home}/data`, 20);
  const before = await filesOf(home);
  await w.snapshot('early', id);
  const size = { required_bytes: 128 * MIB };
  const grown = await csi.call(
    'NodeExpandVolume',
    { volume_id: id, volume_path: home, capacity_range: size },
    z.object({ capacity_bytes: z.string() }),
  );
  expect(grown.capacity_bytes).toBe(String(128 * MIB));
  const usage = z.object({ usage: z.array(z.object({ unit: z.string(), total: z.string(), used: z.string() })) });
  const stats = await csi.call('NodeGetVolumeStats', { volume_id: id, volume_path: home }, usage);
  expect(stats.usage.map(({ unit }) => unit)).toEqual(['BYTES', 'INODES']);
  expect(Number(stats.usage[0]?.total)).toBeGreaterThan(100 * MIB);
  expect(Number(stats.usage[0]?.used)).toBeGreaterThan(20 * MIB);
  expect(await filesOf(home)).toBe(before);
});

test(
  'xfs: forks and the restored volume mount beside each other, and no link comes to point at any',
  slow,
  async () => {
    const access = 'xfs';
    const id = await w.volume('origin', { mib: 320, access });
    const home = await w.use(id, { access });
    await random(`${home}/data`, 20);
    const before = await filesOf(home);
    const good = await w.snapshot('good', id);
    await random(`${home}/data`, 20);
    const forks = [
      await w.volume('same', { mib: 320, access, snapshot: good }),
      await w.volume('larger', { mib: 640, access, snapshot: good }),
    ];
    for (const fork of forks) expect(await filesOf(await w.use(fork, { access }))).toBe(before);
    expect(Number(await w.sh(`stat -f -c '%b' ${targetOf(forks[1] ?? '')}`)) * 4096).toBeGreaterThan(500 * MIB);
    await w.leave(id);
    const begun = await w.restore(id, good);
    await w.use(id, { access });
    expect(await filesOf(home)).toBe(before);
    await w.restoreDone(begun);
    expect(await filesOf(home)).toBe(before);
    for (const fork of forks) expect(await filesOf(targetOf(fork))).toBe(before);
    const links = await w.sh(
      `for l in $(find /dev/disk -type l); do readlink -f $l; done | sort -u | grep dm- || true`,
    );
    expect(links.trim()).toBe('');
  },
);

test('raw block: fresh is zeroes, a larger fork ends in zeroes, read-only cannot be written', slow, async () => {
  const dirty = await w.volume('dirty', { mib: 64, access: 'block' });
  await random(await w.use(dirty, { access: 'block' }), 64);
  await w.leave(dirty);
  await csi.tell('DeleteVolume', { volume_id: dirty });

  const id = await w.volume('fresh', { mib: 64, access: 'block' });
  const device = await w.use(id, { access: 'block' });
  expect(await w.sh(`cmp -n ${64 * MIB} ${device} /dev/zero && echo zeroes`)).toBe('zeroes\n');
  await random(device, 64);
  const before = await rawSum(device);
  const good = await w.snapshot('good', id);
  await random(device, 8);
  const fork = await w.volume('fork', { mib: 96, access: 'block', snapshot: good });
  const at = await w.use(fork, { access: 'block', readOnly: true });
  expect((await w.sh(`dd if=${at} iflag=direct bs=1M count=64 status=none | md5sum`)).trim()).toBe(before);
  expect(await w.sh(`cmp -i ${64 * MIB}:0 -n ${32 * MIB} ${at} /dev/zero && echo zeroes`)).toBe('zeroes\n');
  expect(await w.sh(`echo x | dd of=${at} conv=notrunc status=none 2>/dev/null && echo written || echo refused`)).toBe(
    'refused\n',
  );
});

test('what a volume holds is never formatted over, whatever it is', slow, async () => {
  const id = await w.volume('swap', { mib: 32, access: 'block' });
  const device = await w.use(id, { access: 'block' });
  const blank = `dd if=/dev/zero of=${device} bs=1M oflag=direct count=32 status=none`;
  for (const [what, make] of [
    ['swap', `mkswap -q ${device}`],
    ['ext4', `${blank}; mkfs.ext4 -q -F ${device}`],
    ['bytes that are not zero', `${blank}; echo x | dd of=${device} bs=1M seek=16 conv=notrunc status=none`],
  ] as const) {
    await w.sh(`${make}; sync`);
    const before = await rawSum(device);
    await w.leave(id);
    const { code, message } = await csi.refusal('NodeStageVolume', {
      volume_id: id,
      staging_target_path: stagingOf(id),
      volume_capability: capabilityOf({ access: 'xfs' }),
    });
    expect(code).toBe('FAILED_PRECONDITION');
    expect(message).toContain(what);
    await csi.tell('NodeUnstageVolume', { volume_id: id, staging_target_path: stagingOf(id) });
    await w.use(id, { access: 'block' });
    expect(await rawSum(device)).toBe(before);
  }
});

test('mount options, read-only, and nothing active that nobody needs', slow, async () => {
  const id = await w.volume('options', { mib: 64 });
  const home = await w.use(id, { flags: ['noatime'] });
  expect(await w.sh(`findmnt -n -o OPTIONS ${home}`)).toContain('noatime');
  await w.sh(`echo kept > ${home}/data; sync`);
  await w.leave(id);
  expect(await w.sh(`dmsetup ls | grep ^snapmerge- || true`)).toBe('');
  await w.use(id, { readOnly: true });
  expect(await w.sh(`cat ${home}/data; touch ${home}/x 2>/dev/null && echo written || echo refused`)).toBe(
    'kept\nrefused\n',
  );
});

test.each(['striped', 'raid1'])(
  'layout %s: data and exceptions lie so, and a restore is right',
  slow,
  async (layout) => {
    const id = await w.volume('laid-out', { mib: 64, access: 'block', parameters: { layout } });
    const device = await w.use(id, { access: 'block' });
    await random(device, 64);
    const before = await rawSum(device);
    const good = await w.snapshot('good', id);
    await random(device, 50);
    expect([...new Set((await w.sh('lvs --noheadings -o segtype pool')).trim().split(/\s+/))]).toEqual([layout]);
    await w.leave(id);
    const begun = await w.restore(id, good);
    await w.use(id, { access: 'block' });
    expect(await rawSum(device)).toBe(before);
    await w.restoreDone(begun);
    expect(await rawSum(device)).toBe(before);
  },
);

/** Several times what the first store of a snapshot has room for. */
const BUSY = 384;

test('a writer at full speed does not outrun the monitor', slow, async () => {
  const id = await w.volume('busy', { mib: BUSY, access: 'block', parameters: { snapshotReserve: '1%' } });
  const device = await w.use(id, { access: 'block' });
  await random(device, 64);
  const before = await rawSum(device);
  const good = await w.snapshot('good', id);
  await w.sh(`dd if=/dev/zero of=${device} bs=4M count=${BUSY / 4} oflag=direct conv=notrunc status=none; sync`);
  const fork = await w.volume('look', { mib: BUSY, access: 'block', snapshot: good });
  expect(await rawSum(await w.use(fork, { access: 'block', readOnly: true }))).toBe(before);
  expect(await w.sh('grep -c "extended a store" /var/log/snapmerge.log')).not.toBe('0\n');
});

test('the driver is killed under a volume that is written: devices stay, work goes on', slow, async () => {
  // So small that its snapshot's first store has room for all of it: none is extended, and no device comes or goes for that.
  const id = await w.volume('served', { mib: 48 });
  const home = await w.use(id);
  const good = await w.snapshot('good', id);
  const devices = `dmsetup info -c --noheadings -o name,major,minor,suspended,events | grep ^snapmerge- | sort`;
  const before = await w.sh(devices);
  await Promise.all([w.killDriver(), random(`${home}/data`, 24)]);
  const written = await filesOf(home);
  expect(await w.sh(devices)).toBe(before);
  expect(await filesOf(home)).toBe(written);
  const fork = await w.volume('old', { mib: 48, snapshot: good });
  expect(await w.sh(`ls ${await w.use(fork)}`)).toBe('lost+found\n');
});

test('many calls on one family at once: each is done or ABORTED, never a mix', slow, async () => {
  const id = await w.volume('shared', { mib: 16, access: 'block' });
  const device = await w.use(id, { access: 'block' });
  await random(device, 16);
  const first = await w.snapshot('first', id);
  const calls = [
    ...[1, 2, 3].map((n) => () => w.snapshot(`s${n}`, id)),
    ...[1, 2].map((n) => () => w.volume(`f${n}`, { mib: 16, access: 'block', snapshot: first })),
    () => w.volume('c', { mib: 16, access: 'block', volume: id }),
    () => w.volume('f1', { mib: 16, access: 'block', snapshot: first }),
  ];
  const outcomes = await Promise.all(
    calls.map(async (call) => {
      try {
        return await call();
      } catch (error) {
        if (error instanceof Refused) return error.code;
        throw error;
      }
    }),
  );
  const refused = outcomes.filter((outcome) => !/^[a-z0-9]/.test(outcome));
  expect([...new Set(refused)]).toEqual(refused.length === 0 ? [] : ['ABORTED']);
  // Asked again, as a sidecar does, all of them are there, each once.
  const final = [];
  for (const call of calls) final.push(await call());
  expect(new Set(final).size).toBe(calls.length - 1);
  const before = await rawSum(device);
  for (const fork of final.filter((handle) => handle.includes('v-')).slice(0, 2)) {
    expect(await rawSum(await w.use(fork, { access: 'block' }))).toBe(before);
  }
});
