// Which block devices are asked for the pool's metadata: every possible disk, and nothing that is a volume or asleep.

import { expect, test } from 'vitest';
import { parseDevices } from '../../../src/dm/parse.ts';
import { candidateDisks } from '../../../src/lvm/disks.ts';

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
  expect(candidateDisks(PARTITIONS, devices)).toEqual([
    '/dev/sda',
    '/dev/sda1',
    '/dev/loop0',
    '/dev/cciss/c0d0',
    '/dev/dm-0',
    '/dev/dm-4',
  ]);
});
