// The root disk of the guest: a small trixie with LVM, file systems, test tools and Node. It holds nothing of this
// repository: init and agent come with the initramfs, the driver as a tar at boot, so this is built rarely.

import { copyFile, mkdir, readFile, readdir, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, hashOf } from '../cache.ts';
import { ensureDebianPackages } from '../debian-packages.ts';
import { ToolError } from '../fault.ts';
import { run } from '../run.ts';
import { SUITE, unpackDebian } from './debian.ts';
import { unpackedKernel } from './kernel.ts';

export interface RootImage {
  readonly diskPath: string;
  readonly kernelPath: string;
  /** Of that kernel. */
  readonly release: string;
  /** Files for the initramfs. */
  readonly busyboxPath: string;
  readonly virtioBlkPath: string;
  readonly key: string;
}

const PACKAGES = [
  'linux-image-cloud-amd64',
  'lvm2',
  'dmsetup',
  'udev',
  'kmod',
  'mount',
  'util-linux',
  'e2fsprogs',
  'xfsprogs',
  'fio',
  'sqlite3',
  'socat',
  'perl-base',
  'psmisc',
  'procps',
  'iproute2',
  'strace',
  'busybox-static',
  // They read every device of a node that they find.
  'mdadm',
  'parted',
];

/** Sparse: what the packages do not fill is room for a test's own files, gone after the next boot. */
const DISK_SIZE_BYTES = 4 * 1024 ** 3;

/** Changes with the steps below that the other parts of the key do not show. */
const RECIPE_VERSION = '4';

/** Mostly comments, 112 KiB of them, which every command of LVM reads: a quarter of its time under emulation (measured). */
const LVM_CONF = 'etc/lvm/lvm.conf';

/** What the driver's image has in its place, for the driver and the adapters. */
const DRIVERS_LVM = 'etc/snapmerge/lvm';
const DRIVERS_LVM_CONF = join(import.meta.dirname, '../../deploy/image/lvm.conf');

const withoutComments = (text: string): string =>
  text
    .split('\n')
    .filter((line) => !/^\s*(#|$)/.test(line))
    .map((line) => `${line}\n`)
    .join('');

const CONFIG: Readonly<Record<string, string>> = {
  'etc/hostname': 'snapmerge\n',
  'etc/fstab': '',
  'etc/hosts': '127.0.0.1 localhost\n',
  'root/.profile': 'PS1="guest:\\w# "\n',
};

const build = async (dir: string): Promise<void> => {
  await ensureDebianPackages(['e2fsprogs', 'xz-utils']);
  const root = join(dir, 'root');
  await unpackDebian(root, 'minbase', PACKAGES);

  const boot = await readdir(join(root, 'boot'));
  const kernel = boot.find((name) => name.startsWith('vmlinuz-'));
  if (kernel === undefined) throw new ToolError('Cannot build the guest image: no kernel in it');
  const packed = await readFile(join(root, 'boot', kernel));
  await writeFile(join(dir, 'kernel'), unpackedKernel(packed) ?? packed);
  const modules = join(root, 'usr/lib/modules', kernel.slice('vmlinuz-'.length), 'kernel');
  await copyFile(join(modules, 'drivers/block/virtio_blk.ko.xz'), join(dir, 'virtio_blk.ko.xz'));
  await run(['xz', '--decompress', join(dir, 'virtio_blk.ko.xz')]);
  await copyFile(join(root, 'usr/bin/busybox'), join(dir, 'busybox'));

  for (const [path, content] of Object.entries(CONFIG)) await writeFile(join(root, path), content);
  await mkdir(join(root, DRIVERS_LVM), { recursive: true });
  await copyFile(DRIVERS_LVM_CONF, join(root, DRIVERS_LVM, 'lvm.conf'));
  await writeFile(join(root, LVM_CONF), withoutComments(await readFile(join(root, LVM_CONF), 'utf8')));
  await mkdir(join(root, 'usr/local/bin'), { recursive: true });
  await copyFile(process.execPath, join(root, 'usr/local/bin/node'));
  await rm(join(root, 'boot'), { recursive: true });
  const versions = await run(['dpkg-query', `--admindir=${join(root, 'var/lib/dpkg')}`, '--show']);
  await writeFile(join(dir, 'packages.txt'), versions);

  const disk = join(dir, 'root.ext4.tmp');
  await writeFile(disk, '');
  await truncate(disk, DISK_SIZE_BYTES);
  // No journal: whatever a guest writes here is thrown away when it stops.
  await run(['mkfs.ext4', '-q', '-F', '-L', 'guest', '-O', '^has_journal', '-m', '0', '-d', root, disk]);
  await rename(disk, join(dir, 'root.ext4'));
  await rm(root, { recursive: true });
};

export const rootImage = async (): Promise<RootImage> => {
  const recipe = JSON.stringify([PACKAGES, CONFIG, DISK_SIZE_BYTES, await readFile(DRIVERS_LVM_CONF, 'utf8')]);
  const key = hashOf(RECIPE_VERSION, SUITE, process.version, recipe);
  const dir = await cached('image', key, 'building the guest image (once)', build);
  const packages = await readFile(join(dir, 'packages.txt'), 'utf8');
  const release = /^linux-image-(\d\S*)/m.exec(packages)?.[1];
  if (release === undefined) throw new ToolError('Cannot tell the kernel of the guest image: its packages name none');
  return {
    release,
    diskPath: join(dir, 'root.ext4'),
    kernelPath: join(dir, 'kernel'),
    busyboxPath: join(dir, 'busybox'),
    virtioBlkPath: join(dir, 'virtio_blk.ko'),
    key,
  };
};
