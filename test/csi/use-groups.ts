// Groups as administrators and tenants leave them: renamed, closed disks, and one of the pool's name in a tenant's volume.

import { expect, test } from 'vitest';
import { z } from 'zod';
import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../../vm/wait.ts';
import type { Caller } from './caller.ts';
import type { Workload } from './workload.ts';
import { LIMIT_MS } from './workload.ts';

export function groupTests(scene: () => { readonly csi: Caller; readonly w: Workload }): void {
  const slow = { timeout: LIMIT_MS };

  test('a group that is renamed: every call says what it is called now, and how it goes on', slow, async () => {
    const { csi, w } = scene();
    const id = await w.volume('kept', { mib: 16, access: 'block' });
    const device = await w.use(id, { access: 'block' });
    await w.random(device, 16);
    const before = await w.rawSum(device);
    await w.snapshot('of kept', id);
    await w.sh('vgrename -qq pool elsewhere');
    try {
      await csi.tell('Probe', {});
      // What was read of the pool just before may still be told.
      const refused = await waitFor(
        LIMIT_MS,
        () => csi.refusal('ListVolumes', {}).catch(() => undefined),
        LOOK_IN_GUEST_EVERY_MS,
      );
      expect(refused?.code).toBe('UNAVAILABLE');
      expect(refused?.message).toContain("'pool'");
      expect(refused?.message).toContain('vgrename elsewhere pool');
      await w.random(device, 16);
    } finally {
      // As docs/recovery.md says: links to the devices are left under the old name, and LVM refuses a name that has a folder.
      await w.sh('find /dev/pool -type l -delete; rmdir /dev/pool; vgrename -qq elsewhere pool');
    }
    await csi.tell('ListVolumes', {});
    const fork = await w.volume('fork', { mib: 16, access: 'block', snapshot: await w.snapshot('after', id) });
    expect(await w.rawSum(await w.use(fork, { access: 'block' }))).toBe(await w.rawSum(device));
    expect(await w.rawSum(device)).not.toBe(before);
  });

  test("a tenant's group of the pool's name stops nothing, whatever its volume is seen through", slow, async () => {
    const { w } = scene();
    const raw = await w.volume('raw', { mib: 32, access: 'block' });
    const device = await w.use(raw, { access: 'block' });
    const files = await w.volume('files', { mib: 64 });
    const home = await w.use(files);
    // As the kubelet does with a raw volume, by the path that it is mounted at; and a file in a volume.
    // LVM makes no group under a name that has a folder below /dev, so the tenant has a /dev of his own.
    const make = `truncate -s 32M ${home}/disk
      for at in ${device} ${home}/disk; do
        loop=$(losetup --find --show $at); echo $loop
        unshare --mount bash -euc "mount -t tmpfs none /dev; mkdir /dev/mapper; mknod /dev/mapper/control c 10 236
          mknod /dev/null c 1 3; mknod /dev/urandom c 1 9; mknod $loop b 7 $(echo $loop | tr -dc 0-9)
          lvm vgcreate -qq --yes --devices $loop pool $loop" >/dev/null
      done`;
    try {
      expect((await w.sh(make)).trim().split('\n')).toHaveLength(2);
      await w.killDriver();
      expect(await w.snapshot('of files', files)).toContain('s-');
    } finally {
      await w.sh('losetup --detach-all');
    }
  });

  test('what is free on a disk that somebody closed is not promised', slow, async () => {
    const { csi, w } = scene();
    const capacity = z.object({ available_capacity: z.string(), maximum_volume_size: z.object({ value: z.string() }) });
    const ask = async (layout: string) => {
      const reply = await csi.call('GetCapacity', { parameters: { layout } }, capacity);
      return Number(reply.maximum_volume_size.value);
    };
    // What an earlier test had may still be on its way back.
    const disks = (await w.sh('pvs --noheadings -o pv_name -S vg_name=pool')).trim().split(/\s+/);
    const before = await ask('linear');
    await w.sh(`pvchange -qq -xn ${disks[0]}`);
    try {
      const closed = await waitFor(
        LIMIT_MS,
        async () => ((await ask('linear')) < before ? ask('linear') : undefined),
        LOOK_IN_GUEST_EVERY_MS,
      );
      expect(closed).toBeGreaterThan(0);
      expect(await ask('raid1')).toBe(0);
      const id = await w.volume('on the other', { mib: 16, access: 'block', parameters: { layout: 'striped' } });
      await w.random(await w.use(id, { access: 'block' }), 16);
      expect(await w.sh('snapmerge status')).toContain('closed');
    } finally {
      await w.sh(`pvchange -qq -xy ${disks[0]}`);
    }
  });
}
