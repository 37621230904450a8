// etcd from the guest's Debian, run with its own loader as QEMU is: this machine's may be too old for it.

import { join } from 'node:path';
import { cached, hashOf } from '../cache.ts';
import { SUITE, unpackDebian } from '../image/debian.ts';

const PACKAGES = ['etcd-server'];

/** The command without its options. */
export const etcdCommand = async (): Promise<readonly [string, ...string[]]> => {
  const dir = await cached('etcd', hashOf(SUITE, ...PACKAGES), 'unpacking etcd', (path) =>
    unpackDebian(path, 'extract', PACKAGES),
  );
  const libraries = join(dir, 'usr/lib/x86_64-linux-gnu');
  return [join(libraries, 'ld-linux-x86-64.so.2'), '--library-path', libraries, join(dir, 'usr/bin/etcd')];
};
