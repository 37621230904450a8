// A QEMU process from its start until the agent in it can be asked. Which guest it is comes later, in attach.sh.

import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Qemu } from '../tools/image/qemu.ts';
import { CONSOLE } from './qemu-argv.ts';
import { waitFor } from './wait.ts';

/** Or why not. */
export type Outcome = true | string;

export interface Machine {
  readonly pid: number | undefined;
  /** Waits for what `look` finds; resolves with why it never will when it hangs or ends. */
  readonly until: (look: () => Promise<Outcome | undefined> | Outcome | undefined) => Promise<Outcome>;
  /** Waits until its kernel, which is starting, has brought up the agent; resolves with why not, otherwise. */
  readonly booted: () => Promise<Outcome>;
  readonly kill: () => Promise<void>;
}

export interface MachineOptions {
  /** Its console and its own messages are there, and what it writes to the root disk. */
  readonly dir: string;
  /** Outlives this process; otherwise it ends with it, however that ends. */
  readonly detached: boolean;
}

const BOOT_LIMIT_MS = 300_000;
export const KILL_LIMIT_MS = 30_000;
/** The kernel's first line takes 3 to 5 s under emulation on a quiet machine. One in forty boots hangs before it. */
const FIRST_LINE_LIMIT_MS = 60_000;
export const LOG_TAIL_BYTES = 8192;
const CONSOLE_BYTES = 1024 ** 2;

export const tailOf = async (path: string, lastBytes: number): Promise<string> => {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return '';
  try {
    const { size } = await file.stat();
    const position = Math.max(0, size - lastBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - position), 0, size - position, position);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
};

export const startMachine = async (
  qemu: Qemu,
  options: readonly string[],
  { dir, detached }: MachineOptions,
): Promise<Machine> => {
  const consolePath = join(dir, CONSOLE);
  const logPath = join(dir, 'qemu.log');
  await rm(consolePath, { force: true });
  // With a parent that can be killed at any time, the kernel itself has to see to it that QEMU ends too.
  const bound = detached ? [] : ['setpriv', '--pdeathsig', 'KILL'];
  const [file = '', ...args] = [...bound, ...qemu.argv, ...options];
  const log = openSync(logPath, 'w');
  const child = spawn(file, args, {
    detached,
    stdio: ['ignore', log, log],
    // The overlay that takes the writes to the root disk is made there.
    env: { ...process.env, ...qemu.env, TMPDIR: dir },
  });
  closeSync(log);
  let ended = false;
  child.on('error', () => (ended = true)).on('exit', () => (ended = true));
  child.unref();

  /** The end of what QEMU itself said. */
  const said = async (): Promise<string> => (await tailOf(logPath, LOG_TAIL_BYTES)).trim();
  const until: Machine['until'] = async (look) => {
    const outcome = await waitFor(BOOT_LIMIT_MS, async () => {
      if (ended) return `QEMU ended: ${await said()}`;
      // The emulator lost a timer interrupt of the guest (seen once in some sixty boots): it never comes back from that.
      const stopped = (await tailOf(consolePath, CONSOLE_BYTES)).includes("timer wakeup didn't happen");
      return stopped ? 'the emulated timer stopped' : look();
    });
    return outcome ?? `not ready in ${BOOT_LIMIT_MS / 1000} s`;
  };
  return {
    pid: child.pid,
    until,
    booted: () => {
      const startMs = performance.now();
      return until(async () => {
        const shown = await tailOf(consolePath, CONSOLE_BYTES);
        if (shown.includes('snapmerge-guest: ready')) return true;
        const silent = shown === '' && performance.now() - startMs > FIRST_LINE_LIMIT_MS;
        return silent ? `no word from the kernel in ${FIRST_LINE_LIMIT_MS / 1000} s` : undefined;
      });
    },
    kill: async () => {
      if (ended) return;
      child.kill('SIGKILL');
      await waitFor(KILL_LIMIT_MS, () => (ended ? true : undefined));
    },
  };
};
