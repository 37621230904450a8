// The adapters on a real LVM and a real kernel, in a guest: what no scripted command can show. With udev running, as on
// every node, and once more without it.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createHost } from '../../src/host/blockdev.ts';
import { createKernel } from '../../src/dm/dmsetup.ts';
import type { Kernel } from '../../src/dm/kernel.ts';
import { deviceNode } from '../../src/dm/observed.ts';
import type { Table } from '../../src/dm/table.ts';
import { onDevice, onStore, sameTable } from '../../src/dm/table.ts';
import { installUdevRules, udevRuns } from '../../src/dm/udev.ts';
import type { Argv, Exec } from '../../src/system/exec.ts';
import type { DeviceKey, StoreName } from '../../src/vocabulary/ids.ts';
import { deviceKey, poolName, snapshotId, storeName, volumeId } from '../../src/vocabulary/ids.ts';
import type { LvmCommands } from '../../src/lvm/commands.ts';
import { createLvm } from '../../src/lvm/commands.ts';
import { createLoopPool, createPool } from '../../src/lvm/create-pool/create-pool.ts';
import { bytes, kib, mib, sectors, toBytes, toSectors } from '../../src/vocabulary/units.ts';
import type { Guest } from '../../vm/guest.ts';
import { removeGuest, startGuest } from '../../vm/guest.ts';
import type { LossyDisk } from '../../vm/lossy-disk.ts';
import { createLossyDisk } from '../../vm/lossy-disk.ts';
import { waitFor } from '../../vm/wait.ts';
import { guestDisk, guestExec } from './guest-exec.ts';

const VG = 'pool-a';
const STEP_LIMIT_MS = 60_000;
const BOOT_LIMIT_MS = 900_000;

const volume = volumeId('v-0000000001');
const fork = volumeId('v-0000000002');
const snapshot = snapshotId('s-0000000001');
const top = deviceKey(volume, 'top');
const view = deviceKey(volume, 'view');
const snapshotView = deviceKey(snapshot, 'view');
const forkView = deviceKey(fork, 'view');
const forkTop = deviceKey(fork, 'top');

const data = storeName('sm_0000000001');
const cow = storeName('sm_0000000002');
const forkCow = storeName('sm_0000000003');
const scratch = storeName('sm_0000000009');

const LENGTH = toSectors(mib(64));
const CHUNK = sectors(16);
const over = (device: DeviceKey): Table => [
  { type: 'linear', length: LENGTH, on: onDevice(device), offset: sectors(0) },
];
const on = (store: StoreName): Table => [{ type: 'linear', length: LENGTH, on: onStore(store), offset: sectors(0) }];
const origin = (device: DeviceKey): Table => [{ type: 'snapshot-origin', length: LENGTH, origin: onDevice(device) }];
const snapshotOf = (device: DeviceKey, store: StoreName, mode: 'P' | 'PO'): Table => [
  { type: 'snapshot', length: LENGTH, origin: onDevice(device), cow: onStore(store), mode, chunk: CHUNK },
];

interface Rig {
  readonly guest: Guest;
  readonly exec: Exec;
  readonly lvm: LvmCommands;
  readonly kernel: Kernel;
  readonly zero: (store: StoreName) => Promise<void>;
  /** Standard output of a shell line in the guest. */
  readonly sh: (line: string) => Promise<string>;
  readonly show: (device: DeviceKey, table: Table, readOnly?: boolean) => Promise<void>;
  readonly node: (device: DeviceKey) => Promise<string>;
  /** How many metadata commits it took. */
  readonly commits: (change: () => Promise<unknown>) => Promise<number>;
}

/** As in a container: what udev says when it is done never reaches a command that waits for it. */
const contained =
  (exec: Exec): Exec =>
  (argv, options) =>
    exec(['unshare', '--ipc', ...argv], options);

async function rigOf(guest: Guest): Promise<Rig> {
  const exec = contained(guestExec(guest));
  const lvm = createLvm({ exec, vgName: VG, readDisk: guestDisk(exec) });
  const { vgUuid } = await lvm.report();
  const udev = await udevRuns(exec);
  if (udev) await installUdevRules(exec, [vgUuid]);
  const kernel = createKernel({ exec, lvm, pool: poolName('fast'), vgName: VG, vgUuid, udev });
  const host = createHost({ exec, vgName: VG, vgUuid });
  const seqno = async (): Promise<number> => (await lvm.report()).seqno;
  return {
    guest,
    exec,
    lvm,
    kernel,
    zero: async (store) => {
      const { stores } = await lvm.report();
      await host.zero(store, bytes(0), stores.find((one) => one.store === store)?.size ?? bytes(0));
    },
    sh: async (line) => await guest.output(['sh', '-c', line]),
    show: async (device, table, readOnly = false) => {
      await kernel.apply([{ do: 'create', device }]);
      await kernel.apply([{ do: 'load', device, table, readOnly }]);
      await kernel.apply([{ do: 'resume', device }]);
    },
    node: async (device) => deviceNode((await kernel.observe()).devices.get(device)?.majorMinor ?? ''),
    commits: async (change) => {
      const before = await seqno();
      await change();
      return (await seqno()) - before;
    },
  };
}

async function makeStores({ lvm, zero }: Rig): Promise<void> {
  await lvm.create(data, mib(64), 'linear', ['snapmerge']);
  await lvm.create(cow, mib(16), 'linear', ['snapmerge']);
  await lvm.create(forkCow, mib(16), 'linear', ['snapmerge']);
  for (const store of [data, cow, forkCow]) await zero(store);
}

async function clean({ lvm, kernel, sh }: Rig): Promise<void> {
  await sh('umount /mnt/* 2>/dev/null; true');
  const { devices } = await kernel.observe();
  for (const device of devices.values())
    if (device.suspended) await kernel.apply([{ do: 'resume', device: device.key }]);
  for (const device of [forkTop, forkView, top, snapshotView, view]) {
    if (devices.has(device)) await kernel.apply([{ do: 'remove', device }]);
  }
  for (const { store } of (await lvm.report()).stores) await lvm.remove(store);
}

describe('with udev', { timeout: STEP_LIMIT_MS }, () => {
  let guest: Guest;
  let rig: Rig;
  /** The pool is made on the first two. */
  let [first, second, third, fourth] = ['', '', '', ''];

  beforeAll(async () => {
    guest = await startGuest({ name: 'adapters-udev', disks: 4 });
    const exec = guestExec(guest);
    [first = '', second = '', third = '', fourth = ''] = guest.disks;
    await createPool({ exec, vgName: VG, disks: [first, second] });
    rig = await rigOf(guest);
  }, BOOT_LIMIT_MS);
  afterAll(async () => {
    await guest.cut();
    await removeGuest('adapters-udev');
  }, BOOT_LIMIT_MS);

  describe('a pool is made', () => {
    const refused = async (...disks: readonly string[]): Promise<string> => {
      const sums = `for disk in ${[first, third, fourth].join(' ')}; do head -c 4M $disk | sha256sum; done`;
      const before = await rig.sh(sums);
      const made = createPool({ exec: rig.exec, vgName: 'pool-b', disks });
      const said = await made.then(
        () => 'it was made',
        (error: unknown) => (error instanceof Error ? error.message : ''),
      );
      expect(await rig.sh(sums)).toBe(before);
      return said;
    };

    test('never on disks that are mounted, hold a group, are no disks or are named twice', async () => {
      const root = (await rig.sh('findmnt --noheadings --output SOURCE /')).trim();
      const again = `/dev/..${third}`;
      const said = await refused(root, first, '/dev/null', third, again);
      expect(said).toContain(`'${root}' is in use at /`);
      expect(said).toContain(`'${first}' holds LVM2_member`);
      expect(said).toContain("'/dev/null' is no block device");
      expect(said).toContain(`'${again}' is the same disk as '${third}'`);
      expect(said).toContain('Nothing was changed');
    });

    test.each([
      ['a file system', 'mkfs.ext4 -q -F $disk', 'holds ext4'],
      ['swap', 'mkswap $disk', 'holds swap'],
      ['data that nobody knows', 'echo mine | dd of=$disk bs=4096 seek=100 conv=notrunc', 'no known signature'],
      ['a mapping over it', 'dmsetup create mine --table "0 2048 linear $disk 8192"', '/dev/mapper/mine (dm)'],
    ])('never over %s', async (_, prepare, words) => {
      await rig.sh(`disk=${third}; ${prepare} && udevadm settle`);
      try {
        expect(await refused(third, fourth)).toContain(words);
      } finally {
        await rig.sh(`dmsetup remove mine 2>/dev/null; wipefs -aq ${third}; blkdiscard -fz -l 16M ${third}`);
      }
    });

    test('never by the name of another group', async () => {
      const made = createPool({ exec: rig.exec, vgName: VG, disks: [third] });
      await expect(made).rejects.toMatchObject({ kind: 'exists' });
    });

    test('on a file, with room for metadata by its size', async () => {
      const file = '/var/tmp/pool.img';
      const made = await createLoopPool({ exec: rig.exec, vgName: 'loopy', file, size: mib(512) });
      expect(await createLvm({ exec: rig.exec, vgName: 'loopy' }).report()).toMatchObject({ stores: [], strangers: 0 });
      const again = createLoopPool({ exec: rig.exec, vgName: 'loopy2', file, size: mib(512) });
      await expect(again).rejects.toMatchObject({ kind: 'exists' });
      await rig.sh(`vgremove -qq -f loopy; losetup -d ${made.disks.join(' ')}; rm ${file}`);
    });

    test('with a large metadata area', async () => {
      expect((await rig.lvm.report()).metadataSize).toBeGreaterThan(mib(64));
    });

    test('its stamp is another one after each commit, and after nothing else', async () => {
      const seen = [await rig.lvm.stamp()];
      await rig.lvm.create(data, mib(64), 'linear', ['snapmerge']);
      for (const change of [
        () => rig.lvm.retag(data, ['sm.deleted'], []),
        () => rig.lvm.extend(data, mib(80)),
        // Somebody else.
        () => rig.sh(`lvm lvchange --addtag theirs ${VG}/${data}`),
        () => rig.lvm.remove(data),
      ]) {
        seen.push(await rig.lvm.stamp());
        await rig.lvm.report();
        await rig.lvm.flush();
        expect(await rig.lvm.stamp()).toBe(seen.at(-1));
        await change();
      }
      seen.push(await rig.lvm.stamp());
      expect(seen).toEqual(seen.map(() => expect.any(String)));
      expect(new Set(seen).size).toBe(6);
    });
  });

  describe('LVM', () => {
    const store = scratch;
    const sizeOf = async (): Promise<bigint | undefined> =>
      (await rig.lvm.report()).stores.find((one) => one.store === store)?.size;

    test.each([
      ['linear', 1],
      ['striped', 1],
      // LVM's own way with a raid: once with its metadata parts still to be cleared.
      ['raid1', 2],
    ] as const)('%s: every change is one commit', async (layout, toCreate) => {
      const { lvm, commits } = rig;
      expect(await commits(() => lvm.create(store, mib(64), layout, ['snapmerge', 'sm.a=1']))).toBe(toCreate);
      expect((await lvm.report()).stores).toEqual([
        { store, tags: ['snapmerge', 'sm.a=1'].sort(), size: mib(64), active: true, layout, damaged: false },
      ]);
      expect(await commits(() => lvm.retag(store, ['sm.b', 'sm.c=d:e'], ['sm.a=1']))).toBe(1);
      expect(new Set((await lvm.report()).stores[0]?.tags)).toEqual(new Set(['snapmerge', 'sm.b', 'sm.c=d:e']));
      expect(await commits(() => lvm.extend(store, mib(128)))).toBe(1);
      expect(await sizeOf()).toBe(mib(128));
      expect(await commits(() => lvm.extend(store, mib(128)))).toBe(0);
      expect(await commits(() => lvm.shrink(store, mib(32)))).toBe(1);
      expect(await sizeOf()).toBe(mib(32));
      expect(await commits(() => lvm.shrink(store, mib(32)))).toBe(0);
      for (const active of [false, false, true, true]) {
        expect(await commits(() => (active ? lvm.activate([store]) : lvm.deactivate([store])))).toBe(0);
        expect((await lvm.report()).stores[0]?.active).toBe(active);
      }
      expect(await commits(() => lvm.remove(store))).toBe(1);
      expect(await commits(() => lvm.remove(store))).toBe(0);
      await lvm.flush();
    });

    test('says that there is no room, whatever the layout, and leaves nothing behind', async () => {
      const { lvm } = rig;
      for (const layout of ['linear', 'striped', 'raid1'] as const) {
        const huge = lvm.create(store, mib(1024 * 1024), layout, ['snapmerge']);
        await expect(huge).rejects.toMatchObject({ kind: 'exhausted' });
      }
      expect((await lvm.report()).stores).toEqual([]);
    });

    test('activates no store by itself, nor when somebody activates the whole group', async () => {
      const { lvm, sh } = rig;
      for (const layout of ['linear', 'raid1'] as const) {
        await lvm.create(store, mib(64), layout, ['snapmerge']);
        await lvm.deactivate([store]);
        await sh(`vgchange -qq -aay ${VG}; vgchange -qq -ay ${VG}`);
        expect((await lvm.report()).stores[0]?.active).toBe(false);
        await lvm.remove(store);
      }
    });

    test('counts the volumes of others and leaves them alone', async () => {
      await rig.sh(`lvcreate -qq -y -n theirs -L 16m ${VG}; lvcreate -qq -y -n sm_0000000000 -L 16m ${VG}`);
      expect(await rig.lvm.report()).toMatchObject({ stores: [], strangers: 2 });
      await rig.sh(`lvremove -qq -f ${VG}/theirs ${VG}/sm_0000000000`);
    });

    test('tells whose prompt keeps its commands waiting', async () => {
      await rig.sh(`lvcreate -qq -y -n theirs -L 16m ${VG}`);
      // It asks whether it is really to be removed, and holds the lock of the group until somebody answers.
      await rig.sh(
        `mkfifo /tmp/answer; lvremove ${VG}/theirs </tmp/answer >/dev/null 2>&1 & sleep 1000 >/tmp/answer &`,
      );
      const said = await waitFor(STEP_LIMIT_MS, async () => rig.lvm.waitsFor());
      expect(said).toMatch(new RegExp(`^LVM's lock of volume group '${VG}' is held by process [0-9]+ \\(lvremove\\)$`));
      const report = rig.lvm.report();
      await rig.sh('pkill -f "slee[p] 1000"; rm /tmp/answer');
      expect(await report).toMatchObject({ strangers: 1 });
      expect(await rig.lvm.waitsFor()).toBeUndefined();
      await rig.sh(`lvremove -qq -f ${VG}/theirs`);
    });

    test.each([true, false])('makes a device read-only, or not: %s', async (readOnly) => {
      await rig.lvm.create(data, mib(64), 'linear', ['snapmerge']);
      await rig.kernel.apply([{ do: 'activate', stores: [data] }]);
      await rig.kernel.apply([{ do: 'make', device: view, table: on(data), readOnly }]);
      expect((await rig.kernel.observe()).devices.get(view)).toMatchObject({ readOnly, suspended: false });
      await clean(rig);
    });

    test('keeps a store that is in use', async () => {
      await rig.lvm.create(data, mib(64), 'linear', ['snapmerge']);
      await rig.show(view, on(data));
      await expect(rig.lvm.remove(data)).rejects.toMatchObject({ kind: 'internal' });
      await expect(rig.lvm.deactivate([data])).rejects.toMatchObject({ kind: 'internal' });
      expect((await rig.lvm.report()).stores[0]).toMatchObject({ store: data, active: true });
      await clean(rig);
    });

    test('grows and shrinks a store under a live device', async () => {
      await rig.lvm.create(data, mib(64), 'linear', ['snapmerge']);
      await rig.show(view, on(data));
      await rig.lvm.extend(data, mib(128));
      await rig.lvm.shrink(data, mib(64));
      expect((await rig.kernel.observe()).devices.get(view)).toMatchObject({ suspended: false });
      await clean(rig);
    });
  });

  describe('the kernel', () => {
    test('shows what was loaded: live, inactive, suspended, read-only, open, status', async () => {
      await makeStores(rig);
      const { kernel, show } = rig;
      await show(view, on(data));
      await kernel.apply([{ do: 'create', device: top }]);
      expect((await kernel.observe()).devices.get(top)).toMatchObject({
        live: undefined,
        inactive: undefined,
        suspended: false,
        openCount: 0,
      });
      await kernel.apply([{ do: 'load', device: top, table: over(view), readOnly: false }]);
      const loaded = (await kernel.observe()).devices.get(top);
      expect(loaded?.live).toBeUndefined();
      expect(sameTable(loaded?.inactive ?? [], over(view))).toBe(true);
      await kernel.apply([{ do: 'clear', device: top }]);
      expect((await kernel.observe()).devices.get(top)?.inactive).toBeUndefined();
      await kernel.apply([{ do: 'load', device: top, table: over(view), readOnly: false }]);
      await kernel.apply([{ do: 'resume', device: top }]);

      await kernel.apply([{ do: 'suspend', device: top }]);
      await show(snapshotView, snapshotOf(view, cow, 'P'), true);
      await kernel.apply([{ do: 'load', device: top, table: origin(view), readOnly: false }]);
      const paused = (await kernel.observe()).devices.get(top);
      expect(paused?.suspended).toBe(true);
      expect(sameTable(paused?.live ?? [], over(view))).toBe(true);
      expect(sameTable(paused?.inactive ?? [], origin(view))).toBe(true);
      await kernel.apply([{ do: 'resume', device: top }]);

      const observed = await kernel.observe();
      expect(observed.devices.get(snapshotView)).toMatchObject({
        readOnly: true,
        suspended: false,
        status: { state: 'counts', metadata: 32n, used: 32n, total: 32768n },
      });
      expect(observed.devices.get(top)).toMatchObject({ suspended: false, openCount: 0, inactive: undefined });
      expect(observed.devices.get(view)?.openCount).toBe(2);
      expect(observed.stores.get(cow)?.openCount).toBe(1);
      expect([...(await kernel.statuses()).keys()]).toEqual([snapshotView]);
    });

    test('feeds the snapshot, and the status tells', async () => {
      const { kernel, node, sh } = rig;
      const before = await sh(`sha256sum < ${await node(snapshotView)}`);
      await sh(`dd if=/dev/urandom of=${await node(top)} bs=64k count=8 oflag=direct status=none`);
      await kernel.apply([{ do: 'flush', device: top }]);
      const status = (await kernel.statuses()).get(snapshotView);
      expect(status).toMatchObject({ state: 'counts', used: 32n + 8n * 128n });
      expect(await sh(`sha256sum < ${await node(snapshotView)}`)).toBe(before);
      expect(await sh(`blockdev --getro ${await node(snapshotView)}`)).toBe('1\n');
    });

    test('waits for somebody who holds a device for a moment', async () => {
      const { kernel, guest, node } = rig;
      const held = guest.exec(['sh', '-c', `exec 9<${await node(top)}; sleep 1`]);
      const open = async (): Promise<boolean> => ((await kernel.observe()).devices.get(top)?.openCount ?? 0) > 0;
      while (!(await open())) await Promise.resolve();
      await kernel.apply([{ do: 'remove', device: top }]);
      expect((await held).code).toBe(0);
      expect((await kernel.observe()).devices.has(top)).toBe(false);
    });

    test('says at once whose table lies on a device', async () => {
      const began = performance.now();
      await expect(rig.kernel.apply([{ do: 'remove', device: view }])).rejects.toThrow(
        /the tables of dm-\d+ lie on it/,
      );
      expect(performance.now() - began).toBeLessThan(3000);
      await clean(rig);
    });

    test('is observed while devices of others come and go', async () => {
      await makeStores(rig);
      await rig.show(view, on(data));
      const loop =
        'i=0; while [ -e /tmp/churn ]; do dmsetup create c$i --table "0 8 zero"; dmsetup remove c$i; i=$((i+1)); done';
      await rig.sh('touch /tmp/churn');
      const churn = rig.guest.exec(['sh', '-c', loop]);
      try {
        for (let round = 0; round < 20; round += 1) {
          expect([...(await rig.kernel.observe()).devices.keys()]).toEqual([view]);
        }
      } finally {
        await rig.sh('rm /tmp/churn');
        await churn;
      }
      await clean(rig);
    });
  });

  describe('nobody else touches our devices', () => {
    test('udev makes no links to them, probes none, watches none', async () => {
      await makeStores(rig);
      const { kernel, show, sh, node } = rig;
      await show(view, on(data));
      await show(top, over(view));
      await sh(`mkfs.ext4 -q ${await node(top)} && mkdir -p /mnt/v /mnt/f && mount ${await node(top)} /mnt/v`);
      await sh('echo one > /mnt/v/file && udevadm settle');
      await kernel.apply([{ do: 'suspend', device: top }]);
      await show(snapshotView, snapshotOf(view, cow, 'P'), true);
      await kernel.apply([{ do: 'load', device: top, table: origin(view), readOnly: false }]);
      await kernel.apply([{ do: 'resume', device: top }]);
      await show(forkView, snapshotOf(snapshotView, forkCow, 'PO'));
      await show(forkTop, over(forkView));
      await sh(`echo two > /mnt/v/file; mount ${await node(forkTop)} /mnt/f`);
      expect(await sh('cat /mnt/v/file /mnt/f/file; umount /mnt/f')).toBe('two\none\n');

      const links = 'find /dev/disk -lname "*/dm-*"; ls -l /run/udev/watch | grep b253 || true';
      expect(await sh(`udevadm settle; ${links}`)).toBe('');
      for (const action of ['change', 'add']) {
        expect(await sh(`udevadm trigger --action=${action} --subsystem-match=block --settle; ${links}`)).toBe('');
      }
      for (const device of [top, view, snapshotView, forkView, forkTop]) {
        const info = await sh(`udevadm info --query=property ${await node(device)}`);
        expect(info).toContain('SYSTEMD_READY=0');
        expect(info).not.toContain('ID_FS_');
      }
      await sh('umount /mnt/v; udevadm settle');
      const { devices, stores } = await kernel.observe();
      expect(devices.get(top)?.openCount).toBe(0);
      expect(devices.get(forkTop)?.openCount).toBe(0);
      expect(stores.get(data)?.openCount).toBe(1);
      await clean(rig);
    });

    test('our LVM commands go on while a volume that holds a PV is suspended, a plain one waits', async () => {
      await makeStores(rig);
      const { kernel, show, sh, node, lvm, guest } = rig;
      await show(view, on(data));
      await show(top, over(view));
      await sh(`vgcreate -qq theirs ${await node(top)}`);
      await kernel.apply([{ do: 'suspend', device: top }]);

      let plainIsDone = false;
      const plain = guest.exec(['pvs']).then(() => (plainIsDone = true));
      await lvm.create(scratch, mib(64), 'raid1', ['snapmerge']);
      await lvm.extend(scratch, mib(128));
      await lvm.retag(scratch, ['sm.x'], []);
      await lvm.shrink(scratch, mib(64));
      await lvm.deactivate([scratch]);
      await lvm.activate([scratch]);
      await lvm.remove(scratch);
      expect((await createLvm({ exec: rig.exec, vgName: VG }).report()).strangers).toBe(0);
      expect(plainIsDone).toBe(false);

      await kernel.apply([{ do: 'resume', device: top }]);
      await plain;
      await sh(`wipefs -aq ${await node(top)}`);
      await clean(rig);
    });
  });

  describe('disks', () => {
    beforeAll(async () => await clean(rig), STEP_LIMIT_MS);

    test('that an operator adds are noticed at once', async () => {
      const { lvm, sh } = rig;
      await lvm.report();
      await sh(`vgextend -qq ${VG} ${third}`);
      const { physicalVolumes } = await lvm.report();
      expect(physicalVolumes.map(({ path, missing }) => [path, missing])).toEqual([
        [first, false],
        [second, false],
        [third, false],
      ]);
      await sh(`vgreduce -qq ${VG} ${third}`);
      expect((await lvm.report()).physicalVolumes).toHaveLength(2);
    });

    test('that are added are noticed by a change too', async () => {
      const { lvm, sh } = rig;
      await sh(`vgextend -qq ${VG} ${fourth}`);
      await lvm.create(scratch, mib(64), 'linear', ['snapmerge']);
      expect(await lvm.disks()).toContain(fourth);
      await lvm.remove(scratch);
      await sh(`vgreduce -qq ${VG} ${fourth}`);
    });
  });
});

describe('without udev', { timeout: STEP_LIMIT_MS }, () => {
  let guest: Guest;
  let rig: Rig;

  beforeAll(async () => {
    guest = await startGuest({ name: 'adapters-bare', udev: false });
    await createPool({ exec: guestExec(guest), vgName: VG, disks: guest.disks });
    rig = await rigOf(guest);
  }, BOOT_LIMIT_MS);
  afterAll(async () => {
    await guest.cut();
    await removeGuest('adapters-bare');
  }, BOOT_LIMIT_MS);

  test('it is known', async () => {
    expect(await udevRuns(rig.exec)).toBe(false);
  });

  test('a volume with a snapshot lives and goes without leaving a node', async () => {
    await makeStores(rig);
    const { kernel, lvm, show, sh, node } = rig;
    await lvm.create(scratch, mib(64), 'raid1', ['snapmerge']);
    await show(view, on(data));
    await show(top, over(view));
    await sh(`mkfs.ext4 -q ${await node(top)} && mkdir -p /mnt/v && mount ${await node(top)} /mnt/v`);
    await kernel.apply([{ do: 'suspend', device: top }]);
    await show(snapshotView, snapshotOf(view, cow, 'P'), true);
    await kernel.apply([{ do: 'load', device: top, table: origin(view), readOnly: false }]);
    await kernel.apply([{ do: 'resume', device: top }]);
    await sh('echo one > /mnt/v/file; sync /mnt/v/file');
    expect((await kernel.statuses()).get(snapshotView)).toMatchObject({ state: 'counts' });
    await clean(rig);
    expect(await sh('ls /dev/mapper')).toBe('control\n');
    expect((await kernel.observe()).stores.size).toBe(0);
  });
});

describe('a disk', { timeout: STEP_LIMIT_MS }, () => {
  const NAME = 'adapters-lost';
  let dir: string;
  let guest: Guest;
  let rig: Rig;
  let disks: readonly LossyDisk[];

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'snapmerge-lost-'));
    const make = (name: string) => createLossyDisk({ path: join(dir, name), sizeBytes: Number(mib(256)) });
    disks = [await make('first.sock'), await make('second.sock')];
    guest = await startGuest({ name: NAME, sockets: disks.map(({ path }) => path) });
    await createPool({ exec: guestExec(guest), vgName: VG, disks: guest.disks });
    rig = await rigOf(guest);
  }, BOOT_LIMIT_MS);
  afterAll(async () => {
    await guest.cut();
    for (const disk of disks) await disk.close();
    await removeGuest(NAME);
    await rm(dir, { recursive: true });
  }, BOOT_LIMIT_MS);

  test('that is lost leaves a damaged store and a pool that still answers', async () => {
    const { lvm } = rig;
    await lvm.create(data, mib(64), 'striped', ['snapmerge']);
    await lvm.create(cow, mib(64), 'raid1', ['snapmerge']);
    await lvm.create(forkCow, mib(64), 'linear', ['snapmerge']);
    for (const store of [data, cow, forkCow]) await lvm.deactivate([store]);
    await guest.unplug(1);
    const report = await lvm.report();
    expect(report.physicalVolumes.map(({ missing }) => missing)).toEqual([false, true]);
    expect(report.stores.map(({ store, damaged }) => [store, damaged])).toEqual([
      [data, true],
      [cow, true],
      [forkCow, false],
    ]);
    await lvm.activate([forkCow]);
    await lvm.flush();
  });
});

describe('what is in a store', { timeout: STEP_LIMIT_MS }, () => {
  let guest: Guest;

  beforeAll(async () => {
    guest = await startGuest({ name: 'adapters-zero' });
    await createPool({ exec: guestExec(guest), vgName: VG, disks: guest.disks });
  }, BOOT_LIMIT_MS);
  afterAll(async () => {
    await guest.cut();
    await removeGuest('adapters-zero');
  }, BOOT_LIMIT_MS);

  test('is cleared: what was there goes, with progress told, also while the store is in use', async () => {
    const rig = await rigOf(guest);
    await rig.lvm.create(data, mib(256), 'linear', ['snapmerge']);
    const store = deviceNode((await rig.kernel.observe()).stores.get(data)?.majorMinor ?? '');
    await rig.sh(`mkfs.ext4 -q ${store}; dd if=/dev/urandom of=${store} bs=1M seek=64 count=100 status=none; sync`);
    await rig.show(view, on(data));
    const { vgUuid } = await rig.lvm.report();
    const told: bigint[] = [];
    const host = createHost({ exec: rig.exec, vgName: VG, vgUuid });
    await host.zero(data, mib(64), mib(192), (done) => told.push(done));
    expect(told.at(-1)).toBe(mib(192));
    expect(told.length).toBeGreaterThan(1);
    const blank: Argv = ['cmp', '--bytes', `${mib(192)}`, '--ignore-initial', `${mib(64)}:0`, store, '/dev/zero'];
    expect((await rig.exec(blank)).code).toBe(0);
    expect(await rig.sh(`blkid -p -o value -s TYPE ${store}`)).toBe('ext4\n');
    await clean(rig);
  });

  test('reads how far the exceptions in a store reach, past what a probe has left in the page cache', async () => {
    const rig = await rigOf(guest);
    await makeStores(rig);
    const { kernel, sh, show, node } = rig;
    const { vgUuid } = await rig.lvm.report();
    const host = createHost({ exec: rig.exec, vgName: VG, vgUuid });
    const store = deviceNode((await kernel.observe()).stores.get(cow)?.majorMinor ?? '');
    await show(view, on(data));
    await show(snapshotView, snapshotOf(view, cow, 'P'), true);
    await show(top, origin(view));
    // What it has read stays in the cache for as long as it holds the device.
    await sh(`{ dd bs=1M count=16 of=/dev/null status=none; touch /run/read; sleep 600; } < ${store} >/dev/null 2>&1 &
      while [ ! -e /run/read ]; do sleep 0.1; done`);
    // The first area lists 512 chunks of 8 KiB.
    await sh(`dd if=/dev/urandom of=${await node(top)} bs=8k count=700 oflag=direct status=none`);
    const status = (await kernel.statuses()).get(snapshotView);
    await kernel.apply([{ do: 'remove', device: snapshotView }]);
    const firstPair = async (): Promise<readonly string[]> =>
      (await sh(`od -A n -t u8 -j 8192 -N 16 ${store}`)).trim().split(/ +/);
    expect(await firstPair()).toEqual(['0', '0']);
    const used = status?.state === 'counts' ? toBytes(status.used) : undefined;
    expect(used).toBeGreaterThan(kib(8) * 700n);
    expect(await host.exceptionsEnd(cow, kib(8), 0n)).toBe(used);
    expect(await host.exceptionsEnd(cow, kib(8), 1n)).toBe(used);
    expect(await firstPair()).not.toEqual(['0', '0']);
    await sh('pkill sleep');
    await clean(rig);
  });
});
