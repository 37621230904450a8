// Which block devices are asked for the pool's metadata: every possible disk, and nothing that is a volume or asleep.

import { expect, test } from 'vitest';
import { parseDevices } from '../../../src/dm/parse.ts';
import { candidateDisks, withoutNamesakes } from '../../../src/lvm/disks.ts';

const PARTITIONS = `major minor  #blocks  name

   8        0  500107608 sda
   8        1  500106584 sda1
  11        0    1048575 sr0
   1        0       4096 ram0
 252        0    1000000 zram0
   7        0    1048576 loop0
   7        1          0 loop1
 104        0    1048576 cciss!c0d0
 253        0    1048576 dm-0
 253        1    1048576 dm-1
 253        2    1048576 dm-2
 253        3    1048576 dm-3
 253        4    1048576 dm-4
`;

test('candidates', () => {
  const devices = parseDevices(
    [
      'mpatha|mpath-3600|253|0|1|L--w',
      'vg-root|LVM-aaaa|253|1|1|L--w',
      'snapmerge-p-v|SNAPMERGE-bbbb-v-0000000000-top|253|2|1|L--w',
      'asleep|CRYPT-x|253|3|1|L-sw',
      'plain||253|4|0|L--w',
    ].join('\n'),
  );
  expect(candidateDisks({ partitions: PARTITIONS }, devices)).toEqual([
    '/dev/sda',
    '/dev/sda1',
    '/dev/loop0',
    '/dev/cciss/c0d0',
    '/dev/dm-0',
    '/dev/dm-4',
  ]);
});

test('what lies over a volume of ours is never a candidate, however it got there', () => {
  const names = [
    '8:0 sda',
    '253:1 dm-1',
    '253:2 dm-2',
    '253:3 dm-3',
    '9:0 md0',
    '259:0 md0p1',
    '7:0 loop0',
    '7:1 loop1',
    '7:2 loop2',
  ];
  const partitions = names.map((name) => name.replace(/^(\d+):(\d+) /, '$1 $2 1000 ')).join('\n');
  const top = 'snapmerge-p-v|SNAPMERGE-bbbb-v-0000000000-top|253|1|1|L--w';
  const devices = parseDevices([top, 'vg-root|LVM-aaaa|253|2|1|L--w', 'secret|CRYPT-x|253|3|1|L--w'].join('\n'));
  const nodes = '0:5 341 /dev/dm-1\n';
  const over = (slaves: string, loops: string): readonly string[] =>
    candidateDisks({ partitions, slaves, loops, nodes }, devices);
  const all = ['/dev/sda', '/dev/dm-3', '/dev/md0', '/dev/md0p1', '/dev/loop0', '/dev/loop1', '/dev/loop2'];
  const without = (hidden: RegExp): readonly string[] => all.filter((path) => !hidden.test(path));
  // A loop file of a root file system on LVM, and a file with the inode that our node has elsewhere.
  expect(over('dm-2/slaves/sda\nmd0/slaves/dm-2\n', ' 7:0 253:2 12\n 7:1 8:0 341\n')).toEqual(all);
  // md over it; the device itself, by whatever path; a file in it; what lies over such a one.
  expect(over('md0/slaves/dm-1\n', '')).toEqual(without(/md0/));
  expect(over('', ' 7:0 0:5 341\n')).toEqual(without(/loop0/));
  expect(over('', ' 7:2 253:1 77\n')).toEqual(without(/loop2/));
  expect(over('dm-3/slaves/dm-1\n', ' 7:1 253:3 5\n')).toEqual(without(/dm-3|loop1/));
});

const row = (name: string, system: string) => ({ vg_name: name, vg_systemid: system });

test('another system has a group of a name that is here too: it is passed over', () => {
  expect(withoutNamesakes([row('pool', 'other'), row('pool', '')], '')).toEqual([row('pool', '')]);
  expect(withoutNamesakes([row('pool', 'me'), row('pool', 'other')], 'me')).toEqual([row('pool', 'me')]);
});

test('another system alone has a group of that name: it is told of', () => {
  const rows = [row('pool', 'other'), row('data', '')];
  expect(withoutNamesakes(rows, 'me')).toEqual(rows);
});
