// Whether a group's metadata may have changed since it was last read, told by the headers of its metadata areas: half a
// kilobyte of each disk instead of a report. Every commit writes them anew, with the place, length and checksum of the text.

import { Buffer } from 'node:buffer';
import { open } from 'node:fs/promises';

/** Reads a part of a disk; rejects when the disk does not answer. */
export type ReadDisk = (path: string, offset: number, length: number) => Promise<Uint8Array>;

/** Where the first area of a disk begins: after its label, on the first page. */
const HEADER_OFFSET = 4096;
const HEADER_BYTES = 512;
const MAGIC = Buffer.from(' LVM2 x[5A%r0N*>', 'latin1');
const MAGIC_OFFSET = 4;

/** LVM writes past the page cache, and the kernel then drops what the cache held of that place. */
export const readDisk: ReadDisk = async (path, offset, length) => {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
};

/**
 * A text that is another one after each commit; undefined when it cannot be told: a disk that does not answer, no area
 * where one is expected, or a look that is under way. A disk that hangs holds up one look, and no other reader of files.
 */
export function createStamp(read: ReadDisk): (disks: readonly string[]) => Promise<string | undefined> {
  let looking = false;
  return async (disks) => {
    if (looking) return undefined;
    looking = true;
    try {
      const headers: string[] = [];
      for (const disk of disks) {
        const header = Buffer.from(await read(disk, HEADER_OFFSET, HEADER_BYTES));
        // A disk may be without an area, where its group has others.
        const isHeader = header.subarray(MAGIC_OFFSET, MAGIC_OFFSET + MAGIC.length).equals(MAGIC);
        if (isHeader) headers.push(`${disk} ${header.toString('base64')}`);
      }
      return headers.length === 0 ? undefined : headers.join('\n');
    } catch {
      return undefined;
    } finally {
      looking = false;
    }
  };
}
