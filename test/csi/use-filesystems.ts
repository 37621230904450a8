// File systems in states that only a real mkfs, kernel or fsck makes: each is staged as what it is, or refused with its reason.

import { expect, test } from 'vitest';
import { z } from 'zod';
import type { Caller } from './caller.ts';
import type { Workload } from './workload.ts';
import { LIMIT_MS, capabilityOf, stagingOf } from './workload.ts';

const MIB = 1024 ** 2;

/** A superblock of md, version 1.0, where a member of this size has it: near its end. With its checksum, or blkid does not take it. */
const MD_MEMBER = `my ($path) = @ARGV; open my $file, "+<:raw", $path or die; seek $file, 0, 2; my $size = tell $file;
  my $at = (($size >> 9) - 16) & ~7; my $block = "\\0" x 512;
  substr($block, 0, 8) = pack("VV", 0xa92b4efc, 1); substr($block, 16, 16) = "0123456789abcdef";
  substr($block, $_, 8) = pack("Q<", $at) for 80, 136, 144; substr($block, 220, 4) = pack("V", 128);
  my $sum = 0; $sum += $_ for unpack("V*", $block); $sum = ($sum & 0xffffffff) + ($sum >> 32);
  substr($block, 216, 4) = pack("V", $sum & 0xffffffff); seek $file, $at << 9, 0; print $file $block; close $file or die`;

export function filesystemTests(scene: () => { readonly csi: Caller; readonly w: Workload }): void {
  const slow = { timeout: LIMIT_MS };
  const rawDevice = async (id: string): Promise<string> => scene().w.use(id, { access: 'block' });
  const stagingRefusal = async (id: string) =>
    scene().csi.refusal('NodeStageVolume', {
      volume_id: id,
      staging_target_path: stagingOf(id),
      volume_capability: capabilityOf(),
    });

  test('ext4 whose last bytes look like a RAID member is staged, by a class that says ext4, too', slow, async () => {
    const { w } = scene();
    const id = await w.volume('member', { mib: 64 });
    const home = await w.use(id);
    await w.random(`${home}/data`, 8);
    const before = await w.filesOf(home);
    await w.leave(id);
    const device = await rawDevice(id);
    await w.sh(`perl -e '${MD_MEMBER}' ${device}; sync`);
    expect(await w.sh(`blkid -p -o value -s TYPE ${device}`)).toBe('linux_raid_member\n');
    await w.leave(id);
    expect(await w.filesOf(await w.use(id))).toBe(before);
  });

  test('ext4 with a noted error is mended and grows; one that needs a decision is refused and kept', slow, async () => {
    const { csi, w } = scene();
    const id = await w.volume('noted', { mib: 32 });
    const home = await w.use(id);
    await w.random(`${home}/data`, 4);
    const before = await w.filesOf(home);
    await w.sh(
      `echo noted > /sys/fs/ext4/$(basename $(readlink -f $(findmnt -n -o SOURCE ${home})))/trigger_fs_error; sync`,
    );
    await w.leave(id);
    await w.use(id);
    const grown = await csi.call(
      'NodeExpandVolume',
      { volume_id: id, volume_path: home, capacity_range: { required_bytes: 64 * MIB } },
      z.object({ capacity_bytes: z.string() }),
    );
    expect(grown.capacity_bytes).toBe(String(64 * MIB));
    expect(Number(await w.sh(`stat -f -c '%b * %S' ${home} | xargs expr`))).toBeGreaterThan(50 * MIB);
    expect(await w.filesOf(home)).toBe(before);
    const good = await w.snapshot('good', id);
    await w.leave(id);

    const device = await rawDevice(id);
    await w.sh(`debugfs -w -R 'clri <2>' ${device}; debugfs -w -R 'ssv state 3' ${device}; sync`);
    await w.leave(id);
    const { code, message } = await stagingRefusal(id);
    expect(code).toBe('FAILED_PRECONDITION');
    expect(message).toContain('errors that need a decision');
    await csi.tell('NodeUnstageVolume', { volume_id: id, staging_target_path: stagingOf(id) });
    await w.restoreDone(await w.restore(id, good));
    expect(await w.filesOf(await w.use(id))).toBe(before);
  });

  test('what mkfs makes mounts on the oldest kernel, and leaves nothing to be zeroed later', slow, async () => {
    const { w } = scene();
    const ext4 = await w.volume('new-ext4', { mib: 64 });
    await w.use(ext4);
    const top = async (home: string): Promise<string> => (await w.sh(`findmnt -n -o SOURCE ${home}`)).trim();
    const shown = await w.sh(`dumpe2fs ${await top(`/run/use/${ext4}`)} 2>/dev/null`);
    expect(shown).not.toContain('orphan_file');
    const groups = [...shown.matchAll(/^Group \d+:.*$/gm)].map(([line]) => line);
    expect(groups.length).toBeGreaterThan(0);
    expect(groups.filter((line) => !line.includes('ITABLE_ZEROED'))).toEqual([]);

    // Asked for with less than mkfs.xfs takes.
    const xfs = await w.volume('new-xfs', { mib: 100, access: 'xfs' });
    const home = await w.use(xfs, { access: 'xfs' });
    expect(await w.sh(`xfs_info ${home}`)).toContain('nrext64=0');
  });

  test('an xfs that has stopped itself holds nothing up: staged anew it works, and so do snapshots', slow, async () => {
    const { csi, w } = scene();
    const access = 'xfs';
    const id = await w.volume('stopped', { mib: 300, access });
    const home = await w.use(id, { access });
    await w.random(`${home}/data`, 8);
    const before = await w.filesOf(home);
    await w.snapshot('before', id);
    await w.sh(`xfs_io -x -c 'shutdown -f' ${home}`);
    // It cannot be frozen, so there is no moment that a snapshot could show.
    const refused = await csi.refusal('CreateSnapshot', { name: 'stopped', source_volume_id: id });
    expect(refused.code).toMatch(/^(UNAVAILABLE|FAILED_PRECONDITION)$/);
    expect(refused.message).toContain('unmount');
    await w.leave(id);
    await w.use(id, { access });
    expect(await w.filesOf(home)).toBe(before);
    const after = await w.snapshot('stopped', id);
    expect(
      await w.filesOf(await w.use(await w.volume('look', { mib: 300, access, snapshot: after }), { access })),
    ).toBe(before);
  });
}
