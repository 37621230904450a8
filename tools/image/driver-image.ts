// The driver's image: a layer of Debian's programs and Node, which changes with their versions, and a small one of the
// driver, which changes with each build. Made without a container engine, of the same bytes whenever it is made of the same.

import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip, gzipSync } from 'node:zlib';
import packageJson from '../../package.json' with { type: 'json' };
import { buildBundle } from '../bundle.ts';
import { cached, hashOf } from '../cache.ts';
import { run } from '../run.ts';
import { tar } from '../tar.ts';
import type { TarFile } from '../tar.ts';
import { SUITE } from './debian.ts';
import { DRIVER_PROGRAMS, OPERATOR_PROGRAMS, driverDebs, driverRoot } from './driver-root.ts';
import { ociArchive, sha256 } from './oci.ts';
import type { Layer, OciArchive } from './oci.ts';

/** Nobody can take it for an image of some registry, and none is asked for it. */
export const DEFAULT_REFERENCE = `localhost/snapmerge:${packageJson.version}`;

/** Changes with the steps below that the other parts of the key do not show. */
const RECIPE_VERSION = '3';

const COMMAND = `#!/bin/sh
exec node /opt/snapmerge/snapmerge.mjs "$@"
`;

/** Node's own programs; its text of licences goes with it. */
const NODE_PATH = 'usr/local/bin/node';
const NODE_LICENCE = 'usr/share/doc/node/LICENSE';

export interface BaseLayer {
  readonly layer: Layer;
  /** `name version` of each Debian package in it, one a line. */
  readonly packages: string;
}

/** Debian's part and Node, from the cache where the same recipe has been followed on the same packages. */
export const baseLayer = async (): Promise<BaseLayer> => {
  const debsDir = await driverDebs();
  const key = hashOf(RECIPE_VERSION, process.version, debsDir, JSON.stringify([DRIVER_PROGRAMS, OPERATOR_PROGRAMS]));
  const dir = await cached('oci-base', key, "building the image's base layer (once)", (path) =>
    buildBaseLayer(path, debsDir),
  );
  return readBaseLayer(dir);
};

export const readBaseLayer = async (dir: string): Promise<BaseLayer> => ({
  layer: {
    content: await readFile(join(dir, 'layer.tar.gz')),
    diffId: await readFile(join(dir, 'diff-id'), 'utf8'),
    createdBy: `Debian ${SUITE} and Node ${process.version}`,
  },
  packages: await readFile(join(dir, 'packages.txt'), 'utf8'),
});

/** Fills `dir` with `layer.tar.gz`, `diff-id` and `packages.txt`. */
export const buildBaseLayer = async (dir: string, debsDir: string): Promise<void> => {
  const work = join(dir, 'work');
  await mkdir(work, { recursive: true });
  const root = await driverRoot(work, debsDir, process.execPath);
  await mkdir(join(root.madeDir, 'usr/share/doc/node'), { recursive: true });
  await copyFile(process.execPath, join(root.madeDir, NODE_PATH));
  await copyFile(join(process.execPath, '../../LICENSE'), join(root.madeDir, NODE_LICENCE));
  const list = join(work, 'paths');
  await writeFile(list, root.paths.map((path) => `${path}\n`).join(''));
  const layer = join(work, 'layer.tar');
  const how = ['--format=gnu', '--sort=name', '--mtime=@0', '--owner=0', '--group=0', '--numeric-owner'];
  const modes = ['--hard-dereference', '--mode=u+rwX,go+rX,go-w,a-s'];
  const unpacked = ['--directory', root.unpackedDir, '--no-recursion', '--files-from', list];
  const made = ['--directory', root.madeDir, '--recursion', '.'];
  await run(['tar', '--create', '--file', layer, ...how, ...modes, ...unpacked, ...made]);
  const hash = createHash('sha256');
  await pipeline(createReadStream(layer), hash);
  await pipeline(createReadStream(layer), createGzip({ level: 9 }), createWriteStream(join(dir, 'layer.tar.gz')));
  await writeFile(join(dir, 'diff-id'), `sha256:${hash.digest('hex')}`);
  await writeFile(join(dir, 'packages.txt'), root.packages.map(({ name, version }) => `${name} ${version}\n`).join(''));
  await rm(work, { recursive: true });
};

const LVM_CONF = join(import.meta.dirname, '../../deploy/image/lvm.conf');

/** What is ours in the image. */
export const driverFiles = async (): Promise<readonly TarFile[]> => [
  ...(await buildBundle()).files.map((file) => ({ ...file, path: `opt/snapmerge/${file.path}` })),
  { path: 'usr/local/bin/snapmerge', content: COMMAND, executable: true },
  { path: 'etc/lvm/lvm.conf', content: await readFile(LVM_CONF) },
];

const driverLayer = async (): Promise<Layer> => {
  const content = tar(await driverFiles());
  return {
    content: gzipSync(content, { level: 9 }),
    diffId: sha256(content),
    createdBy: `snapmerge ${packageJson.version}`,
  };
};

export const driverImage = async (reference: string): Promise<OciArchive> => {
  const { layer } = await baseLayer();
  return ociArchive([layer, await driverLayer()], {
    reference,
    entrypoint: ['/usr/local/bin/node', '/opt/snapmerge/snapmerge.mjs'],
    env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'NODE_ENV=production'],
    labels: {
      'org.opencontainers.image.title': packageJson.name,
      'org.opencontainers.image.description': packageJson.description,
      'org.opencontainers.image.version': packageJson.version,
      'org.opencontainers.image.licenses': packageJson.license,
    },
  });
};
