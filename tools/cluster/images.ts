// Container images for a cluster without a registry: OCI archives of a folder or of a single static program, packed here.
// They have the names under which the same things are to be had elsewhere, so that manifests need no change.

import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cached, hashOf } from '../cache.ts';
import { ociArchive } from '../image/oci.ts';
import { rootImage } from '../image/root.ts';
import { run } from '../run.ts';
import type { ClusterBinaries, Sidecar } from './binaries.ts';

export interface ClusterImage {
  readonly reference: string;
  /** An OCI archive. */
  readonly path: string;
  /** Differs when the content does. */
  readonly key: string;
}

export interface ImageRecipe {
  readonly reference: string;
  readonly entrypoint: readonly string[];
  readonly env?: readonly string[];
  /** Everything that decides the content. */
  readonly key: string;
  /** Fills an empty folder with the image's root. */
  readonly fill: (root: string) => Promise<void>;
}

/** Changes with the steps below. */
const RECIPE_VERSION = '1';
const PATH = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** One layer of everything that `fill` makes; from the cache where the same recipe has been followed before. */
export const clusterImage = async ({
  reference,
  entrypoint,
  env = [],
  key,
  fill,
}: ImageRecipe): Promise<ClusterImage> => {
  const full = hashOf(RECIPE_VERSION, reference, JSON.stringify([entrypoint, env]), key);
  const dir = await cached('oci', full, `packing the image ${reference}`, async (path) => {
    const root = join(path, 'root');
    await mkdir(root);
    await fill(root);
    const layer = join(path, 'layer.tar');
    const exact = ['--format=gnu', '--sort=name', '--mtime=@0', '--numeric-owner'] as const;
    await run(['tar', '--create', '--file', layer, ...exact, '--directory', root, '.']);
    const content = await readFile(layer);
    const diffId = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    // Nobody sends this anywhere: quick is better than small.
    const layers = [{ content: gzipSync(content, { level: 1 }), diffId, createdBy: 'snapmerge tests' }];
    const archive = ociArchive(layers, { reference, entrypoint, env: [PATH, ...env], labels: {} });
    await writeFile(join(path, 'image.tar'), archive.content);
    await rm(root, { recursive: true });
    await rm(layer);
  });
  return { reference, path: join(dir, 'image.tar'), key: full };
};

const sidecar = (binaries: ClusterBinaries, name: Sidecar): Promise<ClusterImage> =>
  clusterImage({
    reference: `registry.k8s.io/sig-storage/${name}:${binaries.sidecarVersion(name)}`,
    entrypoint: [`/${name}`],
    key: binaries.dir,
    fill: (root) => copyFile(binaries.path(name), join(root, name)),
  });

const busyboxRoot =
  (busyboxPath: string) =>
  async (root: string): Promise<void> => {
    for (const folder of ['bin', 'etc', 'root', 'tmp', 'var']) await mkdir(join(root, folder));
    await chmod(join(root, 'tmp'), 0o1777);
    const own = join(root, 'bin/busybox');
    await copyFile(busyboxPath, own);
    for (const applet of (await run([own, '--list'])).trim().split('\n')) {
      if (applet !== 'busybox') await symlink('busybox', join(root, 'bin', applet));
    }
    const files = { passwd: 'root:x:0:0:root:/root:/bin/sh\n', group: 'root:x:0:\n' };
    for (const [name, content] of Object.entries(files)) await writeFile(join(root, 'etc', name), content);
  };

/** What holds a pod's namespaces; containerd is told this name. */
export const PAUSE = 'registry.k8s.io/pause:3.10';
/** What the pods of tests and examples run. */
export const BUSYBOX = 'docker.io/library/busybox:1.37';

/** The sidecars, and what every pod needs. */
export const basicImages = async (binaries: ClusterBinaries): Promise<readonly ClusterImage[]> => {
  const { busyboxPath } = await rootImage();
  const key = hashOf(dirname(busyboxPath));
  return Promise.all([
    sidecar(binaries, 'csi-provisioner'),
    sidecar(binaries, 'csi-snapshotter'),
    sidecar(binaries, 'csi-resizer'),
    clusterImage({ reference: BUSYBOX, entrypoint: [], key, fill: busyboxRoot(busyboxPath) }),
    clusterImage({
      reference: PAUSE,
      entrypoint: ['/busybox', 'sleep', '2147483647'],
      key,
      fill: (root) => copyFile(busyboxPath, join(root, 'busybox')),
    }),
  ]);
};
