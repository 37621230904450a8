// What happens when there is no room for what a volume overwrites: its writers wait, and nothing is lost. Part of
// restores.test.ts, in its guest; the pool is filled by a logical volume that is none of ours.

import { expect, test } from 'vitest';
import { z } from 'zod';
import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../../vm/wait.ts';
import type { Caller } from './caller.ts';
import { LIMIT_MS, stagingOf } from './workload.ts';
import type { Workload } from './workload.ts';

interface Parts {
  readonly csi: Caller;
  readonly w: Workload;
}

const slow = { timeout: LIMIT_MS };
const MIB = 1024 ** 2;
/** More than the first store of a snapshot is: twice a 64th of the guest's pool. */
const SIZE = 96;
const FILL = 'lvcreate -qq -Wn -Zn -n theirs -l 100%FREE pool';
const EMPTY = 'lvremove -qq -y pool/theirs';

const health = z.object({ volume_health: z.object({ health_statuses: z.array(z.object({ message: z.string() })) }) });

interface Stuck {
  readonly id: string;
  readonly device: string;
  readonly before: string;
  readonly good: string;
}

/** A volume whose writer needs more room for its newest snapshot than the pool has; it waits when this returns. */
async function stuckVolume({ csi, w }: Parts, parameters: Readonly<Record<string, string>> = {}): Promise<Stuck> {
  const id = await w.volume('stuck', {
    mib: SIZE,
    access: 'block',
    parameters: { snapshotReserve: '1%', ...parameters },
  });
  const device = await w.use(id, { access: 'block' });
  await w.random(device, SIZE);
  const before = await w.rawSum(device);
  const good = await w.snapshot('good', id);
  await w.sh(FILL);
  await w.sh(
    `( dd if=/dev/zero of=${device} bs=1M oflag=direct count=${SIZE} conv=notrunc; echo $? > /run/use/ended ) < /dev/null > /dev/null 2>&1 & rm -f /run/use/ended`,
  );
  if (parameters['onFull'] !== 'drop') await says(csi, id, 'Writers wait for room');
  return { id, device, before, good };
}

/** Until the volume's health says so; undefined: until it says nothing. */
async function says(csi: Caller, id: string, words: string | undefined): Promise<string> {
  const said = await waitFor(
    LIMIT_MS,
    async () => {
      const { volume_health: now } = await csi.call('ControllerGetVolumeHealth', { volume_id: id }, health);
      const text = now.health_statuses.map(({ message }) => message).join();
      return (words === undefined ? text === '' : text.includes(words)) ? text : undefined;
    },
    LOOK_IN_GUEST_EVERY_MS,
  );
  if (said === undefined) throw new Error(`The health of '${id}' never said '${words}'`);
  return said;
}

async function ended({ w }: Parts): Promise<string> {
  return (await w.sh('until [ -e /run/use/ended ]; do sleep 0.2; done; cat /run/use/ended')).trim();
}

/** The snapshot, through a fork that is only read. */
async function shows({ w }: Parts, snapshot: string): Promise<string> {
  const fork = await w.volume('look', { mib: SIZE, access: 'block', snapshot });
  const sum = await w.rawSum(await w.use(fork, { access: 'block', readOnly: true }));
  await w.leave(fork);
  return sum;
}

export function fullStoreTests(parts: () => Parts): void {
  test(
    'a writer without room waits, over a restart of the driver; room lets it go on, and nothing is lost',
    slow,
    async () => {
      const { csi, w } = parts();
      const { id, device, before, good } = await stuckVolume({ csi, w });
      // What would hang is refused, and says why; what need not hang does not.
      const refusals = [
        await csi.refusal('CreateSnapshot', { name: 'late', source_volume_id: id }),
        await csi.refusal('NodeUnstageVolume', { volume_id: id, staging_target_path: stagingOf(id) }),
        await csi.refusal('DeleteVolume', { volume_id: id }),
      ];
      expect(refusals.map(({ code }) => code)).toEqual(refusals.map(() => 'FAILED_PRECONDITION'));
      expect(refusals[0]?.message).toContain('wait for room');
      await w.killDriver();
      await says(csi, id, 'Writers wait for room');
      expect(await w.sh('[ -e /run/use/ended ] && echo ended || echo waits')).toBe('waits\n');
      await w.sh(EMPTY);
      expect(await ended({ csi, w })).toBe('0');
      await says(csi, id, undefined);
      expect(await shows({ csi, w }, good)).toBe(before);
      expect(await w.sh(`cmp -n ${SIZE * MIB} ${device} /dev/zero && echo zeroes`)).toBe('zeroes\n');
    },
  );

  test('a writer waits while no driver runs, and goes on when there is one again', slow, async () => {
    const { csi, w } = parts();
    const id = await w.volume('alone', { mib: SIZE, access: 'block', parameters: { snapshotReserve: '1%' } });
    const device = await w.use(id, { access: 'block' });
    await w.random(device, SIZE);
    const before = await w.rawSum(device);
    const good = await w.snapshot('good', id);
    await w.sh('kill -STOP $(cat /run/snapmerge/driver.pid)');
    await w.sh(
      `( dd if=/dev/zero of=${device} bs=1M oflag=direct count=${SIZE} conv=notrunc; echo $? > /run/use/ended ) < /dev/null > /dev/null 2>&1 & rm -f /run/use/ended`,
    );
    // Stuck when what is under way does not change any more and is not over.
    await w.sh('for i in $(seq 5); do sleep 1; [ ! -e /run/use/ended ]; done');
    await w.sh('kill -CONT $(cat /run/snapmerge/driver.pid)');
    expect(await ended({ csi, w })).toBe('0');
    expect(await shows({ csi, w }, good)).toBe(before);
  });

  test('a disk more in the volume group lets a writer go on', slow, async () => {
    const { csi, w } = parts();
    const { before, good } = await stuckVolume({ csi, w });
    await w.sh(
      'truncate -s 512M /run/more; losetup /dev/loop7 /run/more; pvcreate -qq /dev/loop7; vgextend -qq pool /dev/loop7',
    );
    try {
      expect(await ended({ csi, w })).toBe('0');
    } finally {
      await w.sh(EMPTY);
    }
    try {
      expect(await shows({ csi, w }, good)).toBe(before);
      await w.clear();
    } finally {
      await w.sh(
        'pvmove -qq /dev/loop7 2>/dev/null || true; vgreduce -qq pool /dev/loop7; pvremove -qq /dev/loop7; losetup -d /dev/loop7; rm /run/more',
      );
    }
  });

  test('the full snapshot deleted, its writer goes on', slow, async () => {
    const { csi, w } = parts();
    const { good } = await stuckVolume({ csi, w });
    await csi.tell('DeleteSnapshot', { snapshot_id: good });
    expect(await ended({ csi, w })).toBe('0');
    await w.sh(EMPTY);
  });

  test('onFull drop: the writer goes on, the snapshot is lost, and that is said', slow, async () => {
    const { csi, w } = parts();
    const { id, good } = await stuckVolume({ csi, w }, { onFull: 'drop' });
    expect(await ended({ csi, w })).toBe('0');
    await w.sh(EMPTY);
    const lists = z.object({ entries: z.array(z.object({ snapshot: z.object({ ready_to_use: z.boolean() }) })) });
    const lost = await waitFor(
      LIMIT_MS,
      async () => {
        const { entries } = await csi.call('ListSnapshots', { snapshot_id: good }, lists);
        return entries[0]?.snapshot.ready_to_use === false ? true : undefined;
      },
      LOOK_IN_GUEST_EVERY_MS,
    );
    expect(lost).toBe(true);
    const fork = await csi.refusal('CreateVolume', {
      name: 'too late',
      capacity_range: { required_bytes: SIZE * MIB },
      volume_capabilities: [{ block: {}, access_mode: { mode: 'SINGLE_NODE_WRITER' } }],
      volume_content_source: { snapshot: { snapshot_id: good } },
    });
    expect(fork.message).toContain('lost');
    expect(await w.sh(`grep -c 'has lost its contents' /var/log/snapmerge.log`)).not.toBe('0\n');
    await w.leave(id);
  });
}
