// The restriction of every lvm command.

import { expect, test } from 'vitest';
import { lvmArgv } from '../../../src/lvm/config.ts';

const call = { disks: ['/dev/vdc', '/dev/vdd'], known: true, ioMemoryKib: 8192 };

test('names the disks and waits for nobody', () => {
  const [file, command, devices, disks, config, settings, ...rest] = lvmArgv(call, 'lvs', ['-a', 'vg']);
  expect([file, command, devices, disks, config]).toEqual(['lvm', 'lvs', '--devices', '/dev/vdc,/dev/vdd', '--config']);
  expect(settings?.split(' ')).toEqual(
    expect.arrayContaining([
      'devices/scan_lvs=0',
      'devices/issue_discards=0',
      'activation/udev_sync=0',
      'activation/monitoring=0',
      'backup/backup=0',
    ]),
  );
  expect(settings).not.toContain('io_memory_size');
  expect(rest).toEqual(['-a', 'vg']);
});

test('tells parts of multipath and MD devices apart only where disks are looked for', () => {
  const found = 'devices/multipath_component_detection=0';
  expect(lvmArgv(call, 'lvs', []).join(' ')).toContain(found);
  expect(lvmArgv({ ...call, known: false }, 'pvs', []).join(' ')).not.toContain(found);
});

test('gives LVM more memory where the metadata is large', () => {
  expect(lvmArgv({ ...call, ioMemoryKib: 65536 }, 'lvs', []).join(' ')).toContain('global/io_memory_size=65536');
});
