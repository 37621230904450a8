// What guests call their disks, which is what their command lines say.

import { expect, test } from 'vitest';
import { diskNames } from '../../../vm/bed.ts';
import type { GuestShape } from '../../../vm/state.ts';
import { guestArgv } from '../../../vm/qemu-argv.ts';
import { canBeInCommandLine, umlArgv } from '../../../vm/uml-argv.ts';

const SHAPE: GuestShape = {
  name: 'one',
  bed: 'uml',
  disks: 2,
  diskSizeBytes: 4096,
  inMemory: false,
  sockets: [],
  memoryMiB: 512,
  cpus: 1,
  udev: true,
  driver: false,
  tars: ['/a.tar'],
  detached: false,
  address: '10.0.2.15',
  forwards: [],
  network: null,
  data: null,
};
const PLACE = { dir: '/guest', port: 1 };
const sockets = ['/a.sock', '/b.sock'];

test.each([
  ['files', {}, ['/dev/ubdc', '/dev/ubdd'], ['/dev/vdc', '/dev/vdd']],
  ['files after a disk with data', { data: '/data' }, ['/dev/ubdd', '/dev/ubde'], ['/dev/vdd', '/dev/vde']],
  [
    'in memory',
    { inMemory: true },
    ['/dev/mapper/disk0', '/dev/mapper/disk1'],
    ['/dev/mapper/disk0', '/dev/mapper/disk1'],
  ],
  ['what servers have', { disks: 0, sockets }, ['/dev/nbd0', '/dev/nbd1'], ['/dev/vdc', '/dev/vdd']],
  [
    'that, after a disk with data',
    { disks: 0, sockets, data: '/d' },
    ['/dev/nbd0', '/dev/nbd1'],
    ['/dev/vdd', '/dev/vde'],
  ],
])('%s', (_, change, inUml, inQemu) => {
  expect(diskNames({ ...SHAPE, ...change })).toEqual(inUml);
  expect(diskNames({ ...SHAPE, ...change, bed: 'qemu' })).toEqual(inQemu);
});

test('the letter is the place in the command line', () => {
  const shape = { ...SHAPE, data: '/d' };
  const uml = { kernel: '/linux', modulesDir: '/modules', initramfs: '/ram', rootDisk: '/root.ext4' };
  const words = umlArgv(uml, 'seccomp', shape, PLACE).filter((word) => word.startsWith('ubd'));
  expect(words).toEqual([
    'ubd0c=/guest/root.cow,/root.ext4',
    'ubd1=/guest/state.ext4,,state',
    'ubd2=/guest/data.ext4,,data',
    'ubd3=/guest/pool0.raw,,pool0',
    'ubd4=/guest/pool1.raw,,pool1',
    'ubd5rc=/a.tar,,tar0',
  ]);
  const qemu = { accelerator: 'tcg', rootDisk: '/root.ext4', kernel: '/k', initramfs: '/ram' } as const;
  const serials = guestArgv(qemu, { ...shape, bed: 'qemu' }, PLACE).flatMap(
    (word) => /^virtio-blk.*serial=(\w+)/.exec(word)?.[1] ?? [],
  );
  expect(serials).toEqual(['root', 'state', 'data', 'pool0', 'pool1', 'tar0']);
});

test('a path that the command line would take apart is known', () => {
  expect(['/a/b-c_d.e', '/a b', '/a,b', '/a:b'].map(canBeInCommandLine)).toEqual([true, false, false, false]);
});
