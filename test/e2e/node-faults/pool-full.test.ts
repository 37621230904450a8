// A pool with no room left: writers to what a snapshot must keep wait, and go on by themselves when there is room again, with
// the snapshot exact.

import { expect, test } from 'vitest';
import { z } from 'zod';
import { byNode, driverPods, inDriver } from '../room/driver.ts';
import { podWithClaims, snapshotsOf } from '../room/generated.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('pool-full');
const MIB = 1024 ** 2;
const WAIT_MS = 10 * 60_000;
/** More than a pool's reserve and a snapshot's first store together. */
const OVERWRITTEN_MIB = 960;

const look = z.object({
  pools: z.array(z.object({ contents: z.object({ free: z.number(), reserve: z.number() }) })),
});

/** MiB that new volumes may take. */
const roomIn = async (pod: string): Promise<number> => {
  // It ends with 1 where something is wrong.
  const text = await inDriver(pod, ['sh', '-c', 'snapmerge status --json || true']);
  const [pool] = look.parse(JSON.parse(text)).pools;
  return pool === undefined ? 0 : Math.floor((pool.contents.free - pool.contents.reserve) / MIB);
};

test(
  'writers wait for room, and lose nothing',
  async () => {
    const [{ node, pod } = { node: '', pod: '' }] = (await driverPods()).toSorted(byNode);
    // It ends with 1 where something is wrong.
    const status = (): Promise<string> => inDriver(pod, ['sh', '-c', 'snapmerge status || true']);
    const disk = { name: 'disk', size: '1Gi', volumeMode: 'Block' as const };
    await room.create(podWithClaims('writer', node, [disk]));
    await room.ready('writer');
    await room.create(snapshotsOf(['disk']));
    await room.field('volumesnapshot/disk-snapshot', '.status.readyToUse', 'true');

    const mib = Math.floor((await roomIn(pod)) / 4) * 4;
    const ballast = { name: 'ballast', size: `${mib}Mi`, volumeMode: 'Block' as const };
    await room.create(podWithClaims('ballast', node, [ballast]));
    await room.ready('ballast');

    const bytes = `tr '\\0' b </dev/zero | dd of=/dev/disk bs=1M count=${OVERWRITTEN_MIB} iflag=fullblock conv=fsync`;
    await room.exec('writer', 'sh', '-c', `(${bytes} >/tmp/written 2>&1; touch /tmp/done) >/dev/null 2>&1 &`);
    await expect.poll(status, { timeout: WAIT_MS, interval: 5_000 }).toContain('wait for room');
    await expect(room.exec('writer', 'test', '-e', '/tmp/done')).rejects.toThrow('Cannot finish');

    await room.remove('pod/ballast', 'pvc/ballast');
    const done = async (): Promise<string> =>
      room.exec('writer', 'sh', '-c', 'test -e /tmp/done && cat /tmp/written || true');
    await expect.poll(done, { timeout: WAIT_MS, interval: 2_000 }).toContain(`${OVERWRITTEN_MIB}+0 records out`);

    const fork = { name: 'fork', size: '1Gi', volumeMode: 'Block' as const, snapshot: 'disk-snapshot' };
    await room.create(podWithClaims('fork', node, [fork]));
    await room.ready('fork');
    // Bytes that are not what was written, or not what was there before.
    const others = (device: string, byte: string): readonly string[] => {
      const read = `dd if=${device} bs=1M count=${OVERWRITTEN_MIB} 2>/dev/null`;
      return ['sh', '-c', `${read} | tr -d '${byte}' | wc -c`];
    };
    expect(await room.exec('writer', ...others('/dev/disk', 'b'))).toBe('0\n');
    expect(await room.exec('fork', ...others('/dev/fork', '\\0'))).toBe('0\n');
  },
  4 * TEST_LIMIT_MS,
);
