// The disk that makes a guest a node: kubelet, containerd, network plugins and images, already unpacked. Each node gets
// a copy and keeps on it what a node remembers across a power cut: containers, mounts of pods, logs.

import { chmod, copyFile, mkdir, open, rename, rm, truncate } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { cached, hashOf } from '../cache.ts';
import { ensureDebianPackages } from '../debian-packages.ts';
import { run } from '../run.ts';
import type { ClusterBinaries } from './binaries.ts';
import { containerd, importImages } from './containerd.ts';
import type { ClusterImage } from './images.ts';

/** Sparse: images, and room for what pods write outside of volumes. */
const SIZE_BYTES = 8 * 1024 ** 3;
const RECIPE_VERSION = '2';

/** The path of the ext4 image: `bin`, `lib`, `cni` and containerd's own folder. */
export const nodeDisk = async (binaries: ClusterBinaries, images: readonly ClusterImage[]): Promise<string> => {
  const runtime = await containerd();
  const keys = images.map(({ key }) => key);
  const key = hashOf(RECIPE_VERSION, String(SIZE_BYTES), basename(binaries.dir), runtime.key, ...keys);
  const dir = await cached('node-disk', key, 'building the disk of the nodes', async (path) => {
    await ensureDebianPackages(['e2fsprogs']);
    const root = join(path, 'root');
    const put = async (folder: string, programs: readonly string[]): Promise<void> => {
      await mkdir(join(root, folder), { recursive: true });
      for (const program of programs) {
        await copyFile(program, join(root, folder, basename(program)));
        await chmod(join(root, folder, basename(program)), 0o755);
      }
    };
    await put('bin', [...runtime.programs, binaries.path('kubelet')]);
    await put('lib', runtime.libraries);
    await put('cni', runtime.networkPlugins);
    const archives = images.map((image) => image.path);
    await importImages(join(root, 'containerd'), archives);
    const disk = join(path, 'node.ext4.tmp');
    await (await open(disk, 'w')).close();
    await truncate(disk, SIZE_BYTES);
    await run(['mkfs.ext4', '-q', '-F', '-L', 'node', '-m', '0', '-d', root, disk]);
    await rename(disk, join(path, 'node.ext4'));
    await rm(root, { recursive: true });
  });
  return join(dir, 'node.ext4');
};
