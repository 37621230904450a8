// Volumes of other kinds: raw devices, xfs, one pod only, an ordinary user's group.

import { afterAll, expect, test } from 'vitest';
import { kubectl } from '../room/cluster.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('kinds');
afterAll(() => kubectl(['delete', 'storageclass', 'snapmerge-xfs', '--ignore-not-found']));

test(
  'a raw device is written, snapshotted and forked',
  async () => {
    await room.apply('block.yaml');
    await room.ready('disk');
    const write = (text: string): Promise<string> =>
      room.exec('disk', 'sh', '-c', `echo ${text} | dd of=/dev/data bs=4096 seek=1000 conv=sync,fsync status=none`);
    const read = (pod: string): Promise<string> =>
      room.exec(pod, 'sh', '-c', 'dd if=/dev/data bs=4096 skip=1000 count=1 status=none | head -n 1');
    expect(await room.exec('disk', 'blockdev', '--getsize64', '/dev/data')).toBe(`${64 * 1024 ** 2}\n`);
    await write('friday');
    await room.apply('block-fork.yaml');
    await room.field('volumesnapshot/disk-friday', '.status.readyToUse', 'true');
    await write('saturday');
    await room.ready('disk-fork');
    expect(await read('disk-fork')).toBe('friday\n');
    expect(await read('disk')).toBe('saturday\n');
  },
  TEST_LIMIT_MS,
);

test(
  'xfs, where the class says so',
  async () => {
    await room.apply('xfs.yaml');
    await room.ready('archive');
    expect(await room.exec('archive', 'sh', '-c', 'grep " /data " /proc/mounts')).toContain(' xfs ');
    await room.exec('archive', 'sh', '-c', 'echo kept >/data/paper && sync');
    expect(await room.exec('archive', 'cat', '/data/paper')).toBe('kept\n');
  },
  TEST_LIMIT_MS,
);

test(
  'ReadWriteOncePod: a second pod waits for the first',
  async () => {
    await room.apply('exclusive.yaml');
    await room.ready('first');
    await room.apply('exclusive-second.yaml');
    await room.event('Pod/second', 'ReadWriteOncePod');
    await room.exec('first', 'sh', '-c', 'echo one >/data/line && sync');
    await room.remove('pod/first');
    await room.ready('second');
    expect(await room.exec('second', 'cat', '/data/line')).toBe('one\n');
  },
  TEST_LIMIT_MS,
);

test(
  'fsGroup: the volume belongs to the group, and so do new files',
  async () => {
    await room.apply('fs-group.yaml');
    await room.ready('papers');
    await room.exec('papers', 'sh', '-c', 'echo mine >/data/note && sync');
    expect(await room.exec('papers', 'stat', '-c', '%u %g', '/data/note')).toBe('1000 2000\n');
    expect(await room.exec('papers', 'stat', '-c', '%g %A', '/data')).toMatch(/^2000 drwxrws/);
  },
  TEST_LIMIT_MS,
);
