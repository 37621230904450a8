// The port to the node's files and devices, and its real form: what the node service reads and makes besides commands.

import type { Stats } from 'node:fs';
import { lstat, mkdir, open, readFile, readdir, realpath, rmdir, stat, statfs, unlink } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { sectors, toBytes } from '../vocabulary/units.ts';
import { parseMountinfo } from './mountinfo.ts';
import type { MountEntry } from './mountinfo.ts';

export type FileKind =
  | { readonly kind: 'directory' | 'file' | 'symlink' | 'socket' | 'other' }
  /** Something is mounted there that has stopped itself after an error: an xfs answers nothing then. */
  | { readonly kind: 'unreadable' }
  /** `253:3`. */
  | { readonly kind: 'block'; readonly majorMinor: string };

export interface Usage {
  readonly bytes: { readonly total: bigint; readonly available: bigint; readonly used: bigint };
  readonly inodes: { readonly total: bigint; readonly available: bigint; readonly used: bigint };
}

/** What the kernel says of a device-mapper device. */
export interface Mapped {
  readonly uuid: string;
  readonly bytes: bigint;
}

export interface Files {
  readonly mounts: () => Promise<readonly MountEntry[]>;
  /** Of the path itself, not of what a link points to; undefined when nothing is there. */
  readonly kindOf: (path: string) => Promise<FileKind | undefined>;
  /** Of a loop device: the path under it. */
  readonly backingOf: (majorMinor: string) => Promise<string | undefined>;
  /** Undefined for a device that is none of device-mapper's. */
  readonly mapped: (majorMinor: string) => Promise<Mapped | undefined>;
  /** The number of device-mapper's device whose UUID is the one that is looked for. */
  readonly numberOf: (isIt: (uuid: string) => boolean) => Promise<string | undefined>;
  /** As the kernel writes the path in mountinfo: links in the folders above are followed, the last part is kept. */
  readonly canonical: (path: string) => Promise<string>;
  /** The same text for two paths of one place: a folder may be seen twice, by a bind mount of it. */
  readonly placeOf: (path: string) => Promise<string>;
  readonly makeDirectory: (path: string) => Promise<void>;
  /** An empty file to mount a device node on. */
  readonly makeFile: (path: string) => Promise<void>;
  /** False: it is not empty, and stays. */
  readonly removeDirectory: (path: string) => Promise<boolean>;
  readonly removeFile: (path: string) => Promise<void>;
  readonly isEmptyFile: (path: string) => Promise<boolean>;
  readonly usage: (path: string) => Promise<Usage>;
  /** Fewer bytes at the end of the device. */
  readonly read: (path: string, offset: bigint, length: number) => Promise<Uint8Array>;
  /** Durable when it returns. */
  readonly write: (path: string, offset: bigint, data: Uint8Array) => Promise<void>;
}

const DIRECTORY_MODE = 0o750;
const FILE_MODE = 0o640;

export const localFiles: Files = {
  mounts: async () => parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8')),
  kindOf: async (path) => {
    try {
      const found = await orUndefined(lstat(path));
      return found === undefined ? undefined : kindOfStats(found);
    } catch (error) {
      if (hasCode(error, 'EIO')) return { kind: 'unreadable' };
      throw error;
    }
  },
  backingOf: async (majorMinor) =>
    (await orUndefined(readFile(`/sys/dev/block/${majorMinor}/loop/backing_file`, 'utf8')))?.trimEnd(),
  mapped: async (majorMinor) => {
    const read = (file: string): Promise<string> => readFile(`/sys/dev/block/${majorMinor}/${file}`, 'utf8');
    const found = await orUndefined(Promise.all([read('dm/uuid'), read('size')]));
    if (found === undefined) return undefined;
    const [uuid, size] = found;
    // Whatever the device, the kernel counts this size in sectors of 512 bytes.
    return { uuid: uuid.trimEnd(), bytes: toBytes(sectors(BigInt(size.trim()))) };
  },
  numberOf: async (isIt) => {
    for (const name of await readdir('/sys/block')) {
      if (!/^dm-\d+$/.test(name)) continue;
      // Others come and go meanwhile, and of one that is going the kernel gives any error.
      const uuid = await readFile(`/sys/block/${name}/dm/uuid`, 'utf8').catch(() => undefined);
      if (uuid !== undefined && isIt(uuid.trimEnd()))
        return (await readFile(`/sys/block/${name}/dev`, 'utf8')).trimEnd();
    }
    return undefined;
  },
  canonical: async (path) => {
    const parent = await orUndefined(realpath(dirname(path)));
    return parent === undefined ? path : join(parent, basename(path));
  },
  placeOf: async (path) => {
    // What is mounted at the place itself is the same in any case.
    const folder = await orUndefined(stat(dirname(path), { bigint: true }));
    return folder === undefined ? path : `${folder.dev}:${folder.ino}/${basename(path)}`;
  },
  makeDirectory: async (path) => {
    await mkdir(path, { recursive: true, mode: DIRECTORY_MODE });
  },
  makeFile: async (path) => {
    await mkdir(dirname(path), { recursive: true, mode: DIRECTORY_MODE });
    const file = await open(path, 'a', FILE_MODE);
    await file.close();
  },
  removeDirectory: async (path) => {
    try {
      await rmdir(path);
      return true;
    } catch (error) {
      if (hasCode(error, 'ENOTEMPTY')) return false;
      throw error;
    }
  },
  removeFile: async (path) => unlink(path),
  isEmptyFile: async (path) => (await stat(path)).size === 0,
  usage: async (path) => {
    const { bsize, blocks, bfree, bavail, files, ffree } = await statfs(path, { bigint: true });
    return {
      bytes: { total: blocks * bsize, available: bavail * bsize, used: (blocks - bfree) * bsize },
      inodes: { total: files, available: ffree, used: files - ffree },
    };
  },
  read: async (path, offset, length) => {
    const file = await open(path, 'r');
    try {
      const buffer = new Uint8Array(length);
      const { bytesRead } = await file.read(buffer, 0, length, offset);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  },
  write: async (path, offset, data) => {
    const file = await open(path, 'r+');
    try {
      await file.write(data, 0, data.length, Number(offset));
      await file.sync();
    } finally {
      await file.close();
    }
  },
};

function kindOfStats(stats: Stats): FileKind {
  if (stats.isBlockDevice()) return { kind: 'block', majorMinor: majorMinor(stats.rdev) };
  if (stats.isDirectory()) return { kind: 'directory' };
  if (stats.isFile()) return { kind: 'file' };
  if (stats.isSymbolicLink()) return { kind: 'symlink' };
  return { kind: stats.isSocket() ? 'socket' : 'other' };
}

/** Linux splits a device number in two halves each: major 12 + 20 bits, minor 8 + 12 bits as glibc lays them out. */
export function majorMinor(rdev: number): string {
  const number = BigInt(rdev);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn);
  const minor = (number & 0xffn) | ((number >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

async function orUndefined<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    if (hasCode(error, 'ENOENT') || hasCode(error, 'ENOTDIR')) return undefined;
    throw error;
  }
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
