// The stamp of a group's metadata over disks in memory.

import { expect, test } from 'vitest';
import type { ReadDisk } from '../../../src/lvm/stamp.ts';
import { createStamp } from '../../../src/lvm/stamp.ts';

/** A metadata area's header as LVM writes it: a checksum, the magic, and what tells one commit from another. */
function headerOf(commit: number): Buffer {
  const header = Buffer.alloc(512);
  header.writeUInt32LE(0x5eed_0000 + commit, 0);
  header.write(' LVM2 x[5A%r0N*>', 4, 'latin1');
  header.writeBigUInt64LE(BigInt(512 * commit), 40);
  return header;
}

function rig(headers: Record<string, Buffer | undefined>) {
  const asked: string[] = [];
  const read: ReadDisk = async (path, offset, length) => {
    asked.push(`${path} ${offset} ${length}`);
    const header = headers[path];
    if (header === undefined) throw new Error('it does not answer');
    return header;
  };
  return { asked, headers, stamp: createStamp(read) };
}

test('it is the same until a commit', async () => {
  const { asked, headers, stamp } = rig({ '/dev/a': headerOf(1), '/dev/b': headerOf(1) });
  const disks = ['/dev/a', '/dev/b'];
  const first = await stamp(disks);
  expect(first).toEqual(expect.any(String));
  expect(await stamp(disks)).toBe(first);
  headers['/dev/b'] = headerOf(2);
  expect(await stamp(disks)).not.toBe(first);
  expect(asked.slice(0, 2)).toEqual(['/dev/a 4096 512', '/dev/b 4096 512']);
});

test('a disk without an area says nothing, beside one that has one', async () => {
  const { stamp } = rig({ '/dev/a': Buffer.alloc(512), '/dev/b': headerOf(1) });
  expect(await stamp(['/dev/a', '/dev/b'])).toEqual(expect.any(String));
  expect(await stamp(['/dev/a'])).toBeUndefined();
  expect(await stamp([])).toBeUndefined();
});

test('a disk that does not answer leaves it open, and so does one that is being asked', async () => {
  const { stamp } = rig({ '/dev/a': headerOf(1), '/dev/b': undefined });
  expect(await stamp(['/dev/a', '/dev/b'])).toBeUndefined();
  const first = stamp(['/dev/a']);
  expect(await stamp(['/dev/a'])).toBeUndefined();
  expect(await first).toEqual(expect.any(String));
});
