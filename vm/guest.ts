// A guest: a machine with its own kernel, pool disks and the agent. Everything that tests and verbs do with one is
// here; how it is built is in tools/image, what runs inside it first is in guest/.

import { mkdir, open, rename, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../src/vocabulary/errors.ts';
import { hashOf, locked } from '../tools/cache.ts';
import { ensureDebianPackages } from '../tools/debian-packages.ts';
import { say, step } from '../tools/progress.ts';
import { run } from '../tools/run.ts';
import { tar } from '../tools/tar.ts';
import { chooseBed, diskNames, openBed } from './bed.ts';
import type { Bed } from './bed.ts';
import type { Decision } from './decide-bed.ts';
import { openChannel } from './channel.ts';
import type { Channel, ExecOptions, ExecResult } from './channel.ts';
import { connector } from './connect.ts';
import { GuestError } from './fault.ts';
import { forwardSocket } from './forward.ts';
import type { Forward } from './forward.ts';
import { LOG_TAIL_BYTES, endGroup, lives, tailOf } from './machine.ts';
import type { Machine, Outcome } from './machine.ts';
import { CONSOLE, dataDisk, diskFiles, poolDisk, stateDisk } from './placement.ts';
import { freePort } from './ports.ts';
import { guestDir, isRunning, readState, writeState } from './state.ts';
import type { BedKind, GuestShape } from './state.ts';
import { waitFor } from './wait.ts';

export interface GuestOptions {
  /** Lower-case letters, digits and `-`; guests that run side by side have different names. */
  readonly name: string;
  /** For what only one of the machines has; otherwise what this machine's guests run on. */
  readonly bed?: BedKind;
  readonly disks?: number;
  readonly diskSizeBytes?: number;
  /** Its pool disks are in its own memory, of which they take what is written: no disk of this machine speaks, and a power cut empties them. */
  readonly inMemory?: boolean;
  /** NBD servers' unix sockets that are its pool disks, in place of `disks` files of `diskSizeBytes`. */
  readonly sockets?: readonly string[];
  readonly memoryMiB?: number;
  /** Of QEMU; User Mode Linux has one. */
  readonly cpus?: number;
  /** Does systemd-udevd run in it? */
  readonly udev?: boolean;
  /** Does its init make the pool and start the driver, which one of `tars` holds? */
  readonly driver?: boolean;
  /** Archives of this machine, unpacked over the root folder at every boot. */
  readonly tars?: readonly string[];
  /** Outlives this process; otherwise it ends with it, however that ends. */
  readonly detached?: boolean;
  /** In 10.0.2.0/24, which every guest has for itself. */
  readonly address?: string;
  /** Of QEMU: more rules of its user network, such as `hostfwd=...` and `guestfwd=...`. */
  readonly forwards?: readonly string[];
  /** Of User Mode Linux: a network that it shares with others. */
  readonly network?: SharedNetwork;
  /** An ext4 image: the guest has a copy of its own at /data, which outlives power cuts. */
  readonly data?: string;
  /** Goes on with the disks that an earlier guest of this name left. */
  readonly keepDisks?: boolean;
}

/** In place of one that a guest has for itself. */
export interface SharedNetwork {
  /** Where this machine shows it, such as `/proc/PID/ns/net`. */
  readonly namespace: string;
  /** The name of the guest's end in it. */
  readonly tap: string;
  /** Addresses that are reached through the guest. */
  readonly behind: readonly string[];
}

/** Files by their path below the folder they are put into, or an archive. */
export type Pushable = Readonly<Record<string, Uint8Array | string>> | { readonly tar: AsyncIterable<Uint8Array> };

export interface Guest {
  readonly shape: GuestShape;
  /** Its pool disks, as it calls them: `/dev/...`. */
  readonly disks: readonly string[];
  readonly exec: (argv: readonly string[], options?: ExecOptions) => Promise<ExecResult>;
  /** Standard output as text of a command that must succeed. */
  readonly output: (argv: readonly string[], options?: ExecOptions) => Promise<string>;
  readonly push: (files: Pushable, dir: string) => Promise<void>;
  readonly pull: (path: string) => Promise<Uint8Array>;
  /** The end of the serial console of this boot, for a diagnosis. */
  readonly log: (lastBytes?: number) => Promise<string>;
  readonly isRunning: () => boolean;
  /** Power off at once: no sync, no shutdown. Disks stay as they are. */
  readonly cut: () => Promise<void>;
  /** Starts it again on the same disks, with other archives if told. */
  readonly boot: (change?: { readonly tars?: readonly string[] }) => Promise<void>;
  /** An orderly end: the driver, sync, power off. */
  readonly stop: () => Promise<void>;
  /** Takes a pool disk away while it is used, and puts it back under another name; of those that `sockets` serve. */
  readonly unplug: (disk: number) => Promise<void>;
  readonly plug: (disk: number) => Promise<void>;
  /** A unix socket on this machine for one in the guest; it stays through cut and boot, until closed. */
  readonly forward: (guestSocket: string, hostPath?: string) => Promise<Forward>;
}

const DEFAULTS = { disks: 2, diskSizeBytes: 4 * 1024 ** 3, memoryMiB: 1024, cpus: 1, address: '10.0.2.15' } as const;
const STATE_DISK_BYTES = 256 * 1024 ** 2;

const BOOT_TRIES = 3;
const STOP_LIMIT_MS = 60_000;
/** What the kernel allows for the path of a unix socket. */
const SOCKET_PATH_MAX_BYTES = 107;

const shapeOf = (options: GuestOptions, bed: BedKind): GuestShape => ({
  name: options.name,
  bed,
  disks: options.sockets === undefined ? (options.disks ?? DEFAULTS.disks) : 0,
  diskSizeBytes: options.diskSizeBytes ?? DEFAULTS.diskSizeBytes,
  inMemory: options.inMemory ?? false,
  sockets: [...(options.sockets ?? [])],
  memoryMiB: options.memoryMiB ?? DEFAULTS.memoryMiB,
  cpus: options.cpus ?? Number(process.env['SNAPMERGE_CPUS'] ?? DEFAULTS.cpus),
  udev: options.udev ?? true,
  driver: options.driver ?? false,
  tars: [...(options.tars ?? [])],
  detached: options.detached ?? false,
  address: options.address ?? DEFAULTS.address,
  forwards: [...(options.forwards ?? [])],
  network: options.network === undefined ? null : { ...options.network, behind: [...options.network.behind] },
  data: options.data ?? null,
});

const sparseFile = async (path: string, sizeBytes: number): Promise<void> => {
  await (await open(path, 'a')).close();
  await truncate(path, sizeBytes);
};

const makeDisks = async (shape: GuestShape): Promise<void> => {
  const dir = guestDir(shape.name);
  for (let index = 0; index < diskFiles(shape); index += 1) await sparseFile(poolDisk(dir, index), shape.diskSizeBytes);
  const state = stateDisk(dir);
  await sparseFile(`${state}.tmp`, STATE_DISK_BYTES);
  await ensureDebianPackages(['e2fsprogs']);
  await run(['mkfs.ext4', '-q', '-F', '-L', 'state', `${state}.tmp`]);
  await rename(`${state}.tmp`, state);
  if (shape.data !== null) await run(['cp', '--sparse=always', '--reflink=auto', shape.data, dataDisk(dir)]);
};

/** Also of a machine that has ended: what it has started may not have yet. */
const kill = async (name: string, pid: number | null): Promise<void> => {
  if (pid === null) return;
  const isAnothers = lives(pid) && !isRunning(name, pid);
  if (isAnothers) return;
  if (!(await endGroup(pid))) {
    throw new GuestError('state', `Cannot end guest '${name}': its machine (${pid}) does not go away`);
  }
};

interface Running {
  readonly pid: number;
  readonly port: number;
}

/** Gets and builds all that guests of this machine need, so that a first boot need not wait for it; what they run on. */
export const prepareGuests = async (asked?: BedKind): Promise<Decision> => {
  const decision = await chooseBed(asked);
  await openBed(decision.kind);
  return decision;
};

/** The second part of init, over the agent. */
const attach = async (bed: Bed, shape: GuestShape, port: number, machine: Machine): Promise<Outcome> => {
  const always = [`name=${shape.name}`, `udev=${shape.udev ? 1 : 0}`, `driver=${shape.driver ? 1 : 0}`];
  const memory = shape.inMemory ? [`ram=${shape.disks}`, `ram-kib=${shape.diskSizeBytes / 1024}`] : [];
  const settings = [...always, ...memory, ...bed.settings(shape)];
  const channel = openChannel(connector(), port);
  let outcome: Outcome | undefined;
  channel.exec(['/run/guest/attach.sh', ...settings]).then(
    ({ code }) => (outcome = code === 0 ? true : `its init ended with code ${String(code)}`),
    (error: unknown) => (outcome = messageOf(error)),
  );
  const result = await machine.until(() => outcome);
  channel.close();
  return result;
};

/** One attempt; resolves with why it failed or with what runs. */
const bootOnce = async (bed: Bed, shape: GuestShape): Promise<Running | string> => {
  const dir = guestDir(shape.name);
  const port = await freePort();
  const machine = await bed.start(shape, { dir, port });
  const { pid } = machine;
  if (pid === undefined) return 'its machine cannot be started';
  await writeState({ shape, pid, port });
  const booted = await machine.booted();
  const outcome = booted === true ? await attach(bed, shape, port, machine) : booted;
  if (outcome === true) return { pid, port };
  await machine.kill();
  return `${outcome}\n${await tailOf(join(dir, CONSOLE), LOG_TAIL_BYTES)}`;
};

const bootShape = (shape: GuestShape): Promise<Running> =>
  step(`booting guest '${shape.name}'`, async () => {
    const bed = await openBed(shape.bed);
    let why = '';
    for (let count = 1; count <= BOOT_TRIES; count += 1) {
      const outcome = await bootOnce(bed, shape);
      if (typeof outcome !== 'string') return outcome;
      why = outcome;
      say(`boot ${count} of guest '${shape.name}' failed: ${why.split('\n', 1)[0]}`);
    }
    await writeState({ shape, pid: null, port: null });
    throw new GuestError('boot', `Cannot boot guest '${shape.name}' in ${BOOT_TRIES} tries: ${why}`);
  });

const guestOf = (initialShape: GuestShape, initial: Running | undefined): Guest => {
  const { name } = initialShape;
  const dir = guestDir(name);
  let shape = initialShape;
  let running = initial;
  let channel: Channel | undefined;
  const connect = connector();

  const live = (): Channel => {
    if (running === undefined) throw new GuestError('state', `Cannot reach guest '${name}': it is not running`);
    channel ??= openChannel(connect, running.port);
    return channel;
  };
  const exec: Guest['exec'] = async (argv, options) => live().exec(argv, options);
  const output: Guest['output'] = async (argv, options) => {
    const result = await exec(argv, options);
    if (result.code === 0) return Buffer.from(result.stdout).toString();
    const said = Buffer.from(result.stderr).toString().trim();
    const how = result.code === null ? `ended by ${result.signal ?? 'a signal'}` : `exit code ${result.code}`;
    throw new GuestError('failed', `Cannot run '${argv.join(' ')}' in guest '${name}': ${how}: ${said}`);
  };
  const forget = async (): Promise<void> => {
    channel?.close();
    channel = undefined;
    running = undefined;
    await writeState({ shape, pid: null, port: null });
  };
  const cut = async (): Promise<void> => {
    // The machine first: a channel that closes kills the commands under way, and a power cut does not.
    await kill(name, running?.pid ?? null);
    await forget();
  };

  return {
    get shape() {
      return shape;
    },
    get disks() {
      return diskNames(shape);
    },
    exec,
    output,
    push: async (files, to) => {
      const stdin =
        'tar' in files && typeof files.tar !== 'string' && !(files.tar instanceof Uint8Array)
          ? files.tar
          : tar(Object.entries(files).map(([path, content]) => ({ path, content })));
      await output(['mkdir', '-p', to]);
      await output(['tar', '-x', '-C', to], { stdin });
    },
    pull: async (path) => {
      const result = await exec(['cat', path]);
      if (result.code === 0) return result.stdout;
      throw new GuestError(
        'failed',
        `Cannot read '${path}' in guest '${name}': ${Buffer.from(result.stderr).toString()}`,
      );
    },
    log: (lastBytes = LOG_TAIL_BYTES) => tailOf(join(dir, CONSOLE), lastBytes),
    isRunning: () => running !== undefined && isRunning(name, running.pid),
    cut,
    boot: async (change = {}) => {
      if (running !== undefined && isRunning(name, running.pid)) {
        throw new GuestError('state', `Cannot boot guest '${name}': it is running`);
      }
      await cut();
      shape = { ...shape, ...(change.tars === undefined ? {} : { tars: [...change.tars] }) };
      running = await bootShape(shape);
    },
    stop: async () => {
      if (running === undefined) return;
      const { pid } = running;
      // The answer is lost when the machine goes; what counts is that it goes.
      await Promise.race([
        exec(['/run/guest/stop.sh']).catch(() => undefined),
        waitFor(STOP_LIMIT_MS, () => (isRunning(name, pid) ? undefined : true)),
      ]);
      await waitFor(STOP_LIMIT_MS, () => (isRunning(name, pid) ? undefined : true));
      await cut();
    },
    unplug: async (disk) => void (await output(['/run/guest/plug.sh', 'out', String(disk)])),
    plug: async (disk) => void (await output(['/run/guest/plug.sh', 'in', String(disk)])),
    forward: async (guestSocket, hostPath) => {
      const chosen = hostPath ?? join(dir, `${hashOf(guestSocket).slice(0, 8)}.sock`);
      const fits = Buffer.byteLength(chosen) <= SOCKET_PATH_MAX_BYTES;
      const path = fits ? chosen : join(tmpdir(), `snapmerge-${hashOf(chosen)}.sock`);
      return forwardSocket(connect, path, guestSocket, () => Promise.resolve(running?.port));
    },
  };
};

/** Makes a guest and boots it. Disks of an earlier guest of this name go, unless they are to be kept. */
export const startGuest = async (options: GuestOptions): Promise<Guest> => {
  const shape = shapeOf(options, options.bed ?? (await chooseBed()).kind);
  const dir = guestDir(shape.name);
  return locked(`guest-${shape.name}`, async () => {
    const before = await readState(shape.name);
    if (isRunning(shape.name, before?.pid ?? null)) {
      throw new GuestError('state', `Cannot start guest '${shape.name}': it is running`);
    }
    const same = before?.shape.disks === shape.disks && before.shape.diskSizeBytes === shape.diskSizeBytes;
    if (!(options.keepDisks === true && same)) {
      await rm(dir, { recursive: true, force: true });
      await mkdir(dir, { recursive: true });
      await makeDisks(shape);
    }
    return guestOf(shape, await bootShape(shape));
  });
};

/** A guest that another process started, by its name. */
export const openGuest = async (name: string): Promise<Guest> => {
  const state = await readState(name);
  if (state === undefined || !isRunning(name, state.pid) || state.port === null) {
    throw new GuestError('state', `Cannot reach guest '${name}': it is not running (start it with ./dev up)`);
  }
  return guestOf(state.shape, { pid: state.pid, port: state.port });
};

/** Removes the disks of a guest that does not run. */
export const removeGuest = async (name: string): Promise<void> => {
  const state = await readState(name);
  if (isRunning(name, state?.pid ?? null))
    throw new GuestError('state', `Cannot remove guest '${name}': it is running`);
  await rm(guestDir(name), { recursive: true, force: true });
};
