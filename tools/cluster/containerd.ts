// containerd, crun and network plugins of the guest's Debian. On this machine containerd runs with its own loader, only
// to unpack images where a node will find them: inside of an emulated guest that takes twenty times as long.

import { mkdir, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { cached, hashOf } from '../cache.ts';
import { SUITE, unpackDebian } from '../image/debian.ts';
import { run } from '../run.ts';
import { daemonReady, startDaemon, stopDaemon } from './daemon.ts';

/**
 * crun in the place of runc: on an emulated processor a command in a pod costs 0.5 s with it and 1.2 with runc, and a new pod
 * 3.5 and 5.5 (measured).
 */
const PACKAGES = ['containerd', 'crun', 'containernetworking-plugins'];
/** What crun needs that a guest does not have. */
const LIBRARIES = ['libyajl.so.2'];
const START_LIMIT_MS = 60_000;

export interface Containerd {
  readonly dir: string;
  /** Programs that a node runs, here. */
  readonly programs: readonly string[];
  readonly libraries: readonly string[];
  readonly networkPlugins: readonly string[];
  readonly key: string;
}

export const containerd = async (): Promise<Containerd> => {
  const key = hashOf(SUITE, ...PACKAGES);
  const dir = await cached('containerd', key, 'unpacking containerd', (path) =>
    unpackDebian(path, 'extract', PACKAGES),
  );
  const programs = ['usr/bin/containerd', 'usr/bin/containerd-shim-runc-v2', 'usr/bin/ctr', 'usr/bin/crun'];
  const plugins = ['loopback', 'ptp', 'host-local'].map((name) => `usr/lib/cni/${name}`);
  return {
    dir,
    programs: programs.map((path) => join(dir, path)),
    libraries: LIBRARIES.map((name) => join(librariesIn(dir), name)),
    networkPlugins: plugins.map((path) => join(dir, path)),
    key,
  };
};

const librariesIn = (dir: string): string => join(dir, 'usr/lib/x86_64-linux-gnu');

/** The namespace that the kubelet's images are in. */
const NAMESPACE = 'k8s.io';
const NAME = 'containerd-import';

/** Fills `root`, which becomes the root folder of a node's containerd, with the images of these archives, unpacked. */
export const importImages = async (root: string, archives: readonly string[]): Promise<void> => {
  const { dir } = await containerd();
  const libraries = librariesIn(dir);
  const program = (name: string): readonly [string, ...string[]] => [
    join(libraries, 'ld-linux-x86-64.so.2'),
    '--library-path',
    libraries,
    join(dir, 'usr/bin', name),
  ];
  const work = `${root}.work`;
  const socket = join(work, 'containerd.sock');
  await mkdir(work, { recursive: true });
  const config = join(work, 'config.toml');
  const settings = [
    'version = 2',
    `root = ${JSON.stringify(root)}`,
    `state = ${JSON.stringify(join(work, 'state'))}`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri"]',
    `[grpc]\naddress = ${JSON.stringify(socket)}`,
    `[ttrpc]\naddress = ${JSON.stringify(`${socket}.ttrpc`)}`,
  ];
  await writeFile(config, `${settings.join('\n')}\n`);
  const spec = {
    name: NAME,
    dir: work,
    detached: false,
    argv: [...program('containerd'), '--config', config],
  } as const;
  await startDaemon({ ...spec, argv: [...program('containerd'), '--config', config] });
  try {
    const ctr = [...program('ctr'), '--address', socket, '--namespace', NAMESPACE] as const;
    await daemonReady(spec, START_LIMIT_MS, async () => existsSync(socket) || undefined);
    for (const archive of archives) await run([...ctr, 'images', 'import', archive]);
  } finally {
    await stopDaemon(work, NAME);
  }
  await rm(work, { recursive: true });
};
