import { expect, test } from 'vitest';
import { heldBy, holdersOf } from '../../../src/system/holders.ts';
import { scriptedExec } from '../scripted-exec.ts';

const node = (answers: Readonly<Record<string, string>>) =>
  scriptedExec((argv) => {
    const line = argv.join(' ');
    return Object.entries(answers).find(([part]) => line.includes(part))?.[1] ?? 1;
  }).exec;

test('processes, mounts of other namespaces, loop devices and devices over it are named', async () => {
  const exec = node({
    'ls /sys/block/dm-7/holders': 'dm-9\n',
    'stat --format': '0:5 341\n',
    // As util-linux before 2.40 pads it.
    'losetup --list': '/dev/loop0 \\x20\\x208:1\\x20\\x20 341\n/dev/loop3 \\x20\\x200:5\\x20\\x20 341\n',
    '-name mountinfo': [
      '/proc/12/mountinfo:36 35 253:7 / /var/lib/kubelet/at\\040it rw - ext4 /dev/dm-7 rw',
      '/proc/13/mountinfo:36 35 253:7 / /var/lib/kubelet/at\\040it rw - ext4 /dev/dm-7 rw',
      '/proc/40/mountinfo:99 98 253:7 / /mnt rw - ext4 /dev/dm-7 rw',
    ].join('\n'),
    '-lname */dm-7': '/proc/51/fd/3\n/proc/51/fd/4\n',
    '/proc/12/comm': 'kubelet\n',
    '/proc/51/comm': 'mdadm\n',
  });
  const found = await holdersOf(exec, '253:7');
  expect(found).toEqual([
    'device dm-9',
    'loop device /dev/loop3',
    'process 51 (mdadm)',
    'a mount at /var/lib/kubelet/at\\040it as process 12 (kubelet) sees it',
    'a mount at /mnt as process 40 sees it',
  ]);
  expect(heldBy(found, '253:7')).toMatch(/^held by device dm-9, loop device/);
});

test('where nobody is in sight, what would show them is told', async () => {
  const found = await holdersOf(node({}), '253:7');
  expect(found).toEqual([]);
  expect(heldBy(found, '253:7')).toContain("'fuser -v /dev/dm-7'");
  expect(heldBy(found, '253:7')).toContain('grep -l " 253:7 "');
});
