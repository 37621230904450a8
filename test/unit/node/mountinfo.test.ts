import { expect, test } from 'vitest';
import { hasGivenUp, isReadOnly, mountAt, parseMountinfo } from '../../../src/node/mountinfo.ts';

const TEXT = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:5 / /dev rw,nosuid - devtmpfs udev rw,size=10k
40 22 253:3 / /var/lib/a\\040b rw,noatime shared:9 master:2 - xfs /dev/dm-3 ro,nouuid
41 22 0:5 /dm-3 /target ro - devtmpfs udev rw
42 22 253:4 / /target rw - ext4 /dev/dm-4 rw
garbage
`;

test('entries with and without optional fields, escaped paths', () => {
  const mounts = parseMountinfo(TEXT);
  expect(mounts).toHaveLength(5);
  expect(mounts[2]).toEqual({
    majorMinor: '253:3',
    root: '/',
    mountPoint: '/var/lib/a b',
    options: ['rw', 'noatime'],
    fsType: 'xfs',
    source: '/dev/dm-3',
    superOptions: ['ro', 'nouuid'],
  });
});

test('the later mount is on top', () => {
  expect(mountAt(parseMountinfo(TEXT), '/target')?.majorMinor).toBe('253:4');
  expect(mountAt(parseMountinfo(TEXT), '/nothing')).toBeUndefined();
});

test('read-only by wish is not read-only by error', () => {
  const [, , failed, wished] = parseMountinfo(TEXT);
  if (failed === undefined || wished === undefined) throw new Error('missing');
  expect([isReadOnly(failed), hasGivenUp(failed)]).toEqual([false, true]);
  expect([isReadOnly(wished), hasGivenUp(wished)]).toEqual([true, false]);
});
