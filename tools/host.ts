// `--host`: the driver on this machine itself, for machines with device-mapper and root. It makes a volume group of its
// own on loop files and names only that one to LVM, so no other volume group of the machine is ever read or changed.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { mkdir, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { waitFor } from '../vm/wait.ts';
import { buildBundle } from './bundle.ts';
import { cacheDir } from './cache-dir.ts';
import { locked } from './cache.ts';
import { ensureDebianPackages } from './debian-packages.ts';
import { ToolError } from './fault.ts';
import { say } from './progress.ts';
import { attempt, run } from './run.ts';

export interface HostOptions {
  readonly name: string;
  readonly disks: number;
  readonly diskSizeBytes: number;
}

const NAME = /^[a-z0-9][a-z0-9-]{0,40}$/;
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 60_000;

/** Disks, driver's log and socket of this name; bench lays memory under it. */
export const hostDir = (name: string): string => {
  if (!NAME.test(name)) throw new ToolError(`Cannot use the name '${name}': lower-case letters, digits and '-'`);
  return join(cacheDir(), 'host', name);
};
export const volumeGroupOf = (name: string): string => `snapmerge-dev-${name}`;
const imagesOf = (dir: string, disks: number): readonly string[] =>
  Array.from({ length: disks }, (_, index) => join(dir, `pool${index}.raw`));

const requireDeviceMapper = async (): Promise<void> => {
  if (process.getuid?.() !== 0) throw new ToolError('Cannot use --host: it needs root');
  await ensureDebianPackages(['lvm2', 'dmsetup', 'e2fsprogs', 'xfsprogs', 'util-linux']);
  // Where the modules are built in, or cannot be loaded, the list of targets tells what counts.
  await attempt(['modprobe', '-a', 'dm_mod', 'dm_snapshot', 'dm_mirror', 'dm_zero', 'loop']).catch(() => undefined);
  const targets = await attempt(['dmsetup', 'targets']);
  const missing =
    targets.code !== 0 ? 'device-mapper' : /^snapshot\s/m.test(targets.stdout) ? undefined : 'dm-snapshot';
  if (missing === undefined) return;
  const kernel = (await readFile('/proc/sys/kernel/osrelease', 'utf8')).trim();
  throw new ToolError(
    `Cannot use --host: kernel ${kernel} has no ${missing}. Without --host a guest is booted instead`,
  );
};

/** The loop devices over these files, as LVM is to see them and nothing else. */
const attach = async (images: readonly string[]): Promise<readonly string[]> =>
  Promise.all(
    images.map(async (image) => {
      const attached = (await run(['losetup', '--noheadings', '--output', 'NAME', '--associated', image])).trim();
      return attached === '' ? (await run(['losetup', '--find', '--show', '--direct-io=on', image])).trim() : attached;
    }),
  );

const isDriver = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('snapmerge.mjs');
  } catch {
    return false;
  }
};

const stopDriver = async (dir: string): Promise<void> => {
  const path = join(dir, 'driver.pid');
  if (!existsSync(path)) return;
  const pid = Number(await readFile(path, 'utf8'));
  if (isDriver(pid)) {
    process.kill(pid, 'SIGTERM');
    const gone = await waitFor(STOP_LIMIT_MS, () => (isDriver(pid) ? undefined : true));
    if (gone === undefined) throw new ToolError(`Cannot stop the driver (${pid}): see ${join(dir, 'driver.log')}`);
  }
  await rm(path);
};

const startDriver = async (name: string): Promise<string> => {
  const dir = hostDir(name);
  const bundle = await buildBundle();
  const socket = join(dir, 'csi.sock');
  const config = join(dir, 'config.yaml');
  const volumeGroup = volumeGroupOf(name);
  await writeFile(
    config,
    `node: ${hostname()}\nsocket: ${socket}\npools:\n  - name: pool\n    volumeGroup: ${volumeGroup}\n`,
  );
  const log = openSync(join(dir, 'driver.log'), 'a');
  const child = spawn(process.execPath, [bundle.path, '--config', config], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  child.unref();
  if (child.pid === undefined) throw new ToolError('Cannot start the driver');
  await writeFile(join(dir, 'driver.pid'), String(child.pid));
  const listens = await waitFor(START_LIMIT_MS, () => (existsSync(socket) ? true : undefined));
  if (listens === undefined) throw new ToolError(`Cannot start the driver: see ${join(dir, 'driver.log')}`);
  return socket;
};

export interface HostDriver {
  readonly socket: string;
  /** The pool's disks, as LVM is to be told of them. */
  readonly devices: readonly string[];
}

/** A pool on loop files and the driver over it; what runs already is started again. */
export const startHost = async ({ name, disks, diskSizeBytes }: HostOptions): Promise<HostDriver> => {
  const dir = hostDir(name);
  await requireDeviceMapper();
  return locked(`host-${name}`, async () => {
    await mkdir(dir, { recursive: true });
    await stopDriver(dir);
    const images = imagesOf(dir, disks);
    for (const image of images) {
      await (await open(image, 'a')).close();
      await truncate(image, diskSizeBytes);
    }
    const devices = await attach(images);
    const own = ['--devices', devices.join(',')];
    const volumeGroup = volumeGroupOf(name);
    if ((await attempt(['vgs', ...own, volumeGroup])).code !== 0) {
      await run(['vgcreate', '-qq', ...own, '--metadatasize', '64m', volumeGroup, ...devices]);
    }
    return { socket: await startDriver(name), devices };
  });
};

export const hostUp = async (options: HostOptions): Promise<number> => {
  process.stdout.write(`${(await startHost(options)).socket}\n`);
  return 0;
};

/** The driver and the loop devices go; the files stay. */
export const stopHost = async (name: string): Promise<void> => {
  const dir = hostDir(name);
  await stopDriver(dir);
  const listed = await run(['losetup', '--noheadings', '--output', 'NAME,BACK-FILE']);
  const devices = listed.split('\n').flatMap((line) => {
    const [device = '', file = ''] = line.trim().split(/\s+/);
    return file.startsWith(`${dir}/`) ? [device] : [];
  });
  if (devices.length === 0) return;
  // LVM refuses while a store is in use, and then nothing is taken away.
  await run(['vgchange', '-qq', '--devices', devices.join(','), '-an', volumeGroupOf(name)]);
  for (const device of devices) await run(['losetup', '--detach', device]);
};

export const hostDown = async (name: string): Promise<number> => {
  const dir = hostDir(name);
  if (!existsSync(dir)) {
    say(`nothing of the name '${name}' on this machine`);
    return 0;
  }
  await locked(`host-${name}`, async () => {
    await stopHost(name);
    await rm(dir, { recursive: true });
  });
  return 0;
};
