// The process that a guest is, from its start until the agent in it can be asked; QEMU's, or a kernel of User Mode Linux.
// Which guest it is comes later, in attach.sh. It leads a process group, so that what it has started ends with it.

import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readdirSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CONSOLE, MACHINE_LOG } from './placement.ts';
import { waitFor } from './wait.ts';

/** Or why not. */
export type Outcome = true | string;

export interface Machine {
  readonly pid: number | undefined;
  /** Waits for what `look` finds; resolves with why it never will when it hangs or ends. */
  readonly until: (
    look: (shown: string) => Promise<Outcome | undefined> | Outcome | undefined,
    limitMs?: number,
  ) => Promise<Outcome>;
  /** Waits until its kernel, which is starting, has brought up the agent; resolves with why not, otherwise. */
  readonly booted: () => Promise<Outcome>;
  readonly hasEnded: () => boolean;
  readonly kill: () => Promise<void>;
}

export interface Command {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Is what it prints the guest's console? */
  readonly printsConsole: boolean;
}

export interface MachineOptions {
  /** Its console and its own messages are there. */
  readonly dir: string;
  /** Outlives this process; otherwise it ends with it, however that ends. */
  readonly detached: boolean;
}

const BOOT_LIMIT_MS = 300_000;
const KILL_LIMIT_MS = 30_000;
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

/** Its process group; undefined of one that has ended, although its parent has not noticed: it holds nothing any more. */
const groupOf = (pid: number): number | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name, in brackets, may hold anything.
    const [state = '', , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return 'ZX'.includes(state) ? undefined : Number(group);
  } catch {
    return undefined;
  }
};

export const lives = (pid: number): boolean => groupOf(pid) !== undefined;

const groupLives = (group: number): boolean =>
  readdirSync('/proc').some((name) => /^\d+$/.test(name) && groupOf(Number(name)) === group);

const killed = (pid: number): void => {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
};

/**
 * Ends a machine at once, with all that it has started; false when something of it does not go. Processes of a User Mode
 * Linux guest outlive its kernel by a second, with its disks open.
 */
export const endGroup = async (leader: number): Promise<boolean> => {
  for (const pid of [leader, -leader]) killed(pid);
  return (await waitFor(KILL_LIMIT_MS, () => (groupLives(leader) ? undefined : true))) ?? false;
};

export const startMachine = async (command: Command, { dir, detached }: MachineOptions): Promise<Machine> => {
  const consolePath = join(dir, CONSOLE);
  const logPath = join(dir, MACHINE_LOG);
  await rm(consolePath, { force: true });
  // With a parent that can be killed at any time, this machine's kernel itself has to see to it that the guest ends too.
  const bound = detached ? [] : ['setpriv', '--pdeathsig', 'KILL'];
  const [file = '', ...args] = [...bound, ...command.argv];
  const log = openSync(logPath, 'w');
  const screen = command.printsConsole ? openSync(consolePath, 'w') : log;
  const child = spawn(file, args, {
    detached: true,
    stdio: ['ignore', screen, log],
    env: { ...process.env, ...command.env },
  });
  closeSync(log);
  if (screen !== log) closeSync(screen);
  const { pid } = child;
  let ended = false;
  child.on('error', () => (ended = true)).on('exit', () => (ended = true));
  child.unref();

  const until: Machine['until'] = async (look, limitMs = BOOT_LIMIT_MS) => {
    const outcome = await waitFor(limitMs, async () => {
      // In this order: what it showed before it ended counts.
      const hasEnded = ended;
      const shown = await tailOf(consolePath, CONSOLE_BYTES);
      // The emulator lost a timer interrupt of the guest (seen once in some sixty boots): it never comes back from that.
      if (shown.includes("timer wakeup didn't happen")) return 'the emulated timer stopped';
      const found = await look(shown);
      return found ?? (hasEnded ? `it ended: ${(await tailOf(logPath, LOG_TAIL_BYTES)).trim()}` : undefined);
    });
    return outcome ?? `not ready in ${limitMs / 1000} s`;
  };
  return {
    pid,
    until,
    booted: () => {
      const startMs = performance.now();
      return until((shown) => {
        if (shown.includes('snapmerge-guest: ready')) return true;
        const silent = shown === '' && performance.now() - startMs > FIRST_LINE_LIMIT_MS;
        return silent ? `no word from the kernel in ${FIRST_LINE_LIMIT_MS / 1000} s` : undefined;
      });
    },
    hasEnded: () => ended,
    kill: async () => {
      if (pid === undefined) return;
      await endGroup(pid);
      await waitFor(KILL_LIMIT_MS, () => (ended ? true : undefined));
    },
  };
};
