// The guest's initramfs: busybox, the disk driver, and the scripts of vm/guest, which thereby need no new root
// image when they change.

import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, hashOf } from '../cache.ts';
import { cpio } from './cpio.ts';
import type { CpioEntry } from './cpio.ts';
import type { RootImage } from './root.ts';

const SCRIPTS_DIR = join(import.meta.dirname, '../../vm/guest');
const FIRST = 'initramfs-init.sh';

export const initramfs = async (image: RootImage): Promise<string> => {
  const names = (await readdir(SCRIPTS_DIR)).toSorted();
  const scripts = await Promise.all(
    names.map(async (name) => ({ name, content: await readFile(join(SCRIPTS_DIR, name)) })),
  );
  const directories = ['bin', 'dev', 'proc', 'root', 'guest'];
  const entries: readonly CpioEntry[] = [
    ...directories.map((path) => ({ path, kind: 'directory' as const })),
    { path: 'bin/busybox', kind: 'file', executable: true, content: await readFile(image.busyboxPath) },
    { path: 'virtio_blk.ko', kind: 'file', content: await readFile(image.virtioBlkPath) },
    ...scripts.map(({ name, content }) => ({
      path: name === FIRST ? 'init' : `guest/${name}`,
      kind: 'file' as const,
      executable: true,
      content,
    })),
  ];
  const archive = cpio(entries);
  const dir = await cached('initramfs', hashOf(archive), 'writing the initramfs', (path) =>
    writeFile(join(path, 'initramfs.cpio'), archive),
  );
  return join(dir, 'initramfs.cpio');
};
