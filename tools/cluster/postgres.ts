// PostgreSQL as a container image, of Debian's packages: the programs of the server and of those who look after it, what they
// load, and a shell. Without the compiler for queries, which is larger than all the rest.

import { copyFile, cp, mkdir, readdir, rm, symlink, writeFile, chmod } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { unpackDebian } from '../image/debian.ts';
import { rootImage } from '../image/root.ts';
import { run } from '../run.ts';
import { clusterImage } from './images.ts';
import type { ClusterImage } from './images.ts';

/** The name that others know it by; what they have in it is not the same, but enough for the manifests of the tests. */
export const POSTGRES = 'docker.io/library/postgres:17';

const PACKAGES = ['postgresql-17', 'postgresql-client-17', 'tzdata'];
const HOME = 'usr/lib/postgresql/17';
const SHARE = 'usr/share/postgresql/17';
const ZONES = 'usr/share/zoneinfo';
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
const LOADER = `${LIBRARIES}/ld-linux-x86-64.so.2`;
const PROGRAMS = [
  ['postgres', 'initdb', 'pg_ctl', 'pg_isready', 'pg_controldata'],
  ['psql', 'pg_dump', 'pg_amcheck', 'pgbench'],
].flat();
/** The user of the server in the image. */
const UID = 999;

const FILES: Readonly<Record<string, string>> = {
  'etc/passwd': `root:x:0:0:root:/root:/bin/sh\npostgres:x:${UID}:${UID}:postgres:/var/lib/postgresql:/bin/sh\n`,
  'etc/group': `root:x:0:\npostgres:x:${UID}:\n`,
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
};

const fill =
  (busyboxPath: string) =>
  async (root: string): Promise<void> => {
    const unpacked = `${root}.unpacked`;
    await unpackDebian(unpacked, 'extract', PACKAGES);
    const copy = async (path: string): Promise<void> => {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await cp(join(unpacked, path), join(root, path), { recursive: true, dereference: true });
    };
    const modules = (await readdir(join(unpacked, HOME, 'lib'))).filter(
      (name) => name.endsWith('.so') && !name.startsWith('llvm'),
    );
    const programs = PROGRAMS.map((name) => `${HOME}/bin/${name}`);
    const parts = [...programs, ...modules.map((name) => `${HOME}/lib/${name}`)];
    for (const path of [...parts, SHARE, ZONES, LOADER]) await copy(path);
    for (const library of await librariesOf(unpacked, parts)) await copy(`${LIBRARIES}/${library}`);
    for (const link of ['bin', 'lib', 'lib64']) await symlink(`usr/${link}`, join(root, link));
    await mkdir(join(root, 'usr/bin'), { recursive: true });
    await mkdir(join(root, 'usr/lib64'));
    await symlink(`/${LOADER}`, join(root, 'usr/lib64', basename(LOADER)));
    await copyFile(busyboxPath, join(root, 'usr/bin/busybox'));
    for (const applet of (await run([busyboxPath, '--list'])).trim().split('\n')) {
      if (applet !== 'busybox') await symlink('busybox', join(root, 'usr/bin', applet));
    }
    for (const folder of ['etc', 'root', 'tmp', 'run', 'var/lib/postgresql']) {
      await mkdir(join(root, folder), { recursive: true });
    }
    for (const folder of ['tmp', 'run', 'var/lib/postgresql']) await chmod(join(root, folder), 0o1777);
    for (const [path, content] of Object.entries(FILES)) await writeFile(join(root, path), content);
    await rm(unpacked, { recursive: true });
  };

/** Names of the libraries that these are linked with, asked of the tree's own loader. */
const librariesOf = async (root: string, paths: readonly string[]): Promise<readonly string[]> => {
  const found = new Set<string>();
  const folder = join(root, LIBRARIES);
  for (const path of paths) {
    const listed = await run([join(root, LOADER), '--library-path', folder, '--list', join(root, path)]);
    for (const [, library = ''] of listed.matchAll(/=> \S+\/([^/ ]+) \(/g)) found.add(library);
  }
  return [...found];
};

export const postgresImage = async (): Promise<ClusterImage> => {
  const { busyboxPath } = await rootImage();
  return clusterImage({
    reference: POSTGRES,
    entrypoint: [],
    env: [`PATH=/${HOME}/bin:/usr/bin`, 'LANG=C'],
    key: [busyboxPath, ...PACKAGES, ...PROGRAMS, '1'].join(' '),
    fill: fill(busyboxPath),
  });
};
