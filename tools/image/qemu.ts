// QEMU itself, the same one everywhere: Debian trixie's, unpacked in the cache and run with its own loader. QEMU 7.2 of
// older distributions crashes guests under emulation (seen: random oopses in 7 of 40 boots; with 10.0 in none of 24).

import { join } from 'node:path';
import { cached, hashOf } from '../cache.ts';
import { SUITE, unpackDebian } from './debian.ts';

export interface Qemu {
  /** The command without its options. */
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
}

const PACKAGES = ['qemu-system-x86'];

export const QEMU_KEY = hashOf(SUITE, ...PACKAGES, 'qemu 1');

export const qemu = async (): Promise<Qemu> => {
  const dir = await cached('qemu', QEMU_KEY, 'unpacking QEMU', (path) => unpackDebian(path, 'extract', PACKAGES));
  const libraries = join(dir, 'usr/lib/x86_64-linux-gnu');
  return {
    argv: [
      join(libraries, 'ld-linux-x86-64.so.2'),
      '--library-path',
      libraries,
      join(dir, 'usr/bin/qemu-system-x86_64'),
      '-L',
      join(dir, 'usr/share/qemu'),
      '-L',
      join(dir, 'usr/share/seabios'),
    ],
    env: { QEMU_MODULE_DIR: join(libraries, 'qemu') },
  };
};
