// What of a machine's means to run guests works, found out by booting a kernel that says so and powers off. A KVM device may
// exist and hang; User Mode Linux needs memory that programs can be run from, a way to trace processes, and a
// network of its own.

import { existsSync } from 'node:fs';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf } from '../src/vocabulary/errors.ts';
import { cacheDir } from '../tools/cache-dir.ts';
import { ensureDebianPackages } from '../tools/debian-packages.ts';
import { QEMU_KEY, qemu } from '../tools/image/qemu.ts';
import { UML_KEY, uml } from '../tools/image/uml.ts';
import type { Uml } from '../tools/image/uml.ts';
import { step } from '../tools/progress.ts';
import { attempt } from '../tools/run.ts';
import { startMachine, tailOf, LOG_TAIL_BYTES } from './machine.ts';
import { CONSOLE, MACHINE_LOG } from './placement.ts';
import { freePort } from './ports.ts';
import { bareArgv } from './qemu-argv.ts';
import { remembered } from './remembered.ts';
import { TAP, bareUmlArgv, canBeInCommandLine, umlStart } from './uml-argv.ts';
import type { Tracing } from './uml-argv.ts';

/** Where it works the probe takes one or two seconds. */
const KVM_LIMIT_MS = 15_000;
const UML_LIMIT_MS = 20_000;
const TCG_LIMIT_MS = 60_000;
/** How uml-start.pl says what it cannot do. */
const START_FAILED = 'Cannot ';
const PASSED = 'snapmerge-guest: probe passed';
const STARTED = /snapmerge-guest: (\d+) processes from ([\d.]+) s to ([\d.]+) s/g;
/** Of a kernel that comes up and does not get through them. */
const TOO_SLOW_MS = 1000;
const PROBE = 'snapmerge.probe=1';
const PROBE_MEMORY_MIB = 128;
const PROBE_ADDRESS = '10.0.2.15';
/** Guests' memory is a file: a small file system would kill them when they use it. Containers have 64 MiB unless told. */
const MEMORY_ROOM_BYTES = 3 * 1024 ** 3;

export const kvmWorks = async (kernel: string, initramfs: string): Promise<boolean> => {
  if (!existsSync('/dev/kvm')) return false;
  const found = await remembered('kvm', [QEMU_KEY, initramfs], z.literal(true), async () => {
    const emulator = await qemu();
    const argv = [...emulator.argv, ...bareArgv('kvm', kernel, initramfs, PROBE), '-m', '256M', '-serial', 'stdio'];
    const [file = '', ...rest] = argv;
    const { code, stdout } = await step('trying KVM', () =>
      attempt([file, ...rest], { env: emulator.env, timeoutMs: KVM_LIMIT_MS }),
    );
    return code === 0 && stdout.includes(PASSED) ? true : 'a kernel does not come up';
  });
  return found === true;
};

/** What the kernel printed, in milliseconds for one process, the better of its two goes; undefined while it has not. */
const processMsIn = (shown: string): number | undefined => {
  const goes = [...shown.matchAll(STARTED)].map((words) => words.slice(1).map(Number));
  const found = goes.map(([count = NaN, from = NaN, to = NaN]) => ((to - from) * 1000) / count);
  return found.length === 2 && found.every(Number.isFinite) ? Math.min(...found) : undefined;
};

/** How long an emulated kernel takes to start a process, in milliseconds, or why that is not known. */
export const emulatedProcessMs = (kernel: string, initramfs: string): Promise<number | string> =>
  remembered('emulation', [QEMU_KEY, initramfs], z.number(), async () => {
    try {
      const emulator = await qemu();
      const argv = [...emulator.argv, ...bareArgv('tcg', kernel, initramfs, PROBE), '-m', '256M', '-serial', 'stdio'];
      const [file = '', ...rest] = argv;
      const boot = (): ReturnType<typeof attempt> =>
        attempt([file, ...rest], { env: emulator.env, timeoutMs: TCG_LIMIT_MS });
      // One boot in forty hangs.
      const once = await step('trying emulation', boot);
      return processMsIn(once.stdout) ?? processMsIn((await boot()).stdout) ?? 'an emulated kernel does not come up';
    } catch (error) {
      return messageOf(error);
    }
  });

/** How User Mode Linux has to be started here, and how long it takes to start a process. */
const Means = z.object({
  memoryDir: z.string(),
  tracing: z.enum(['seccomp', 'ptrace']),
  release: z.string(),
  processMs: z.number(),
});
export type UmlMeans = Readonly<z.infer<typeof Means>>;

interface Failed {
  readonly why: string;
  /** Would it be the same with other memory and other tracing? */
  readonly isFinal: boolean;
}

interface Booted {
  readonly processMs: number;
}

const boots = async (kit: Uml, initramfs: string, memoryDir: string, tracing: Tracing): Promise<Booted | Failed> => {
  const dir = await mkdtemp(join(cacheDir(), 'probe-'));
  try {
    const frame = { dir, memoryMiB: PROBE_MEMORY_MIB, tap: TAP };
    const kernel = bareUmlArgv({ kernel: kit.kernelPath, initramfs }, tracing, frame);
    const network = { address: PROBE_ADDRESS, port: await freePort(), tap: TAP, sockets: [], shared: null };
    const command = umlStart([...kernel, PROBE], network);
    const env = { TMPDIR: memoryDir, HOME: dir };
    const machine = await startMachine({ argv: command, env, printsConsole: true }, { dir, detached: false });
    let processMs: number | undefined;
    const outcome = await machine.until((shown) => {
      if (!shown.includes(PASSED)) return undefined;
      const found = processMsIn(shown);
      processMs = found ?? TOO_SLOW_MS;
      return found === undefined ? undefined : true;
    }, UML_LIMIT_MS);
    const hangs = !machine.hasEnded();
    await machine.kill();
    if (processMs !== undefined) return { processMs };
    // The kernel says why on its standard error, or at the end of what it shows, and warns of this and that before.
    const said = await Promise.all([MACHINE_LOG, CONSOLE].map((name) => tailOf(join(dir, name), LOG_TAIL_BYTES)));
    const last = said.map((text) => text.trim().split('\n').at(-1) ?? '');
    const why = last.find((line) => line !== '') ?? String(outcome);
    return { why, isFinal: hangs || why.startsWith(START_FAILED) };
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
};

const hasRoom = async (dir: string): Promise<boolean> => {
  if (!existsSync(dir)) return false;
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize >= MEMORY_ROOM_BYTES;
};

const findMeans = async (initramfs: string): Promise<UmlMeans | string> => {
  let kit: Uml;
  try {
    await ensureDebianPackages(['iproute2']);
    kit = await uml();
  } catch (error) {
    return messageOf(error);
  }
  if (!canBeInCommandLine(cacheDir())) return `its command line cannot hold the path '${cacheDir()}'`;
  const reasons = new Set<string>();
  // In memory first: what is written to a file elsewhere goes to a disk now and then.
  for (const memoryDir of ['/dev/shm', tmpdir(), cacheDir()]) {
    if (!(await hasRoom(memoryDir))) {
      reasons.add(`${memoryDir} has too little room for memory`);
      continue;
    }
    for (const tracing of ['seccomp', 'ptrace'] as const) {
      const outcome = await boots(kit, initramfs, memoryDir, tracing);
      if ('processMs' in outcome) return { memoryDir, tracing, release: kit.release, ...outcome };
      if (outcome.isFinal) return outcome.why;
      reasons.add(`${tracing}: ${outcome.why}`);
    }
  }
  return [...reasons].join('; ');
};

/** Or why it cannot be used. */
export const umlMeans = (initramfs: string): Promise<UmlMeans | string> =>
  remembered('uml', [UML_KEY, initramfs], Means, () => step('trying User Mode Linux', () => findMeans(initramfs)));
