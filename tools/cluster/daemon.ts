// Programs of a cluster that run on this machine, each with a log and a file that says which process it is. They end with
// the process that started them, or outlive it when the cluster is to stay.

import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { waitFor } from '../../vm/wait.ts';
import { ToolError } from '../fault.ts';

export interface DaemonSpec {
  /** Of its files `NAME.log` and `NAME.pid`. */
  readonly name: string;
  readonly argv: readonly [string, ...string[]];
  readonly dir: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Outlives this process. */
  readonly detached: boolean;
}

const STOP_LIMIT_MS = 30_000;
const SHOWN_LINES = 15;

const pidPath = (dir: string, name: string): string => join(dir, `${name}.pid`);

/** When the process began, in ticks since boot: a number of a process alone may belong to another by now. */
const startOf = (pid: number): string | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
};

/** Undefined when it does not run. */
export const daemonPid = async (dir: string, name: string): Promise<number | undefined> => {
  const path = pidPath(dir, name);
  if (!existsSync(path)) return undefined;
  const [pid, start] = (await readFile(path, 'utf8')).split(' ');
  return startOf(Number(pid)) === start ? Number(pid) : undefined;
};

export const startDaemon = async ({ name, argv, dir, env = {}, detached }: DaemonSpec): Promise<number> => {
  if ((await daemonPid(dir, name)) !== undefined) throw new ToolError(`Cannot start ${name}: it is running`);
  // With a parent that can be killed at any time, the kernel itself has to see to it that the child ends too.
  const [file, ...args] = detached ? argv : ['setpriv', '--pdeathsig', 'KILL', '--', ...argv];
  const log = openSync(join(dir, `${name}.log`), 'a');
  const child = spawn(file, args, { detached, stdio: ['ignore', log, log], env: { ...process.env, ...env } });
  closeSync(log);
  child.on('error', () => undefined);
  child.unref();
  const start = child.pid === undefined ? undefined : startOf(child.pid);
  if (child.pid === undefined || start === undefined)
    throw new ToolError(`Cannot start ${name}: '${file}' does not run`);
  await writeFile(pidPath(dir, name), `${child.pid} ${start}`);
  return child.pid;
};

/** Orderly, then by force; it may be gone already. */
export const stopDaemon = async (dir: string, name: string): Promise<void> => {
  const gone = async (): Promise<true | undefined> => ((await daemonPid(dir, name)) === undefined ? true : undefined);
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const pid = await daemonPid(dir, name);
    if (pid === undefined) break;
    try {
      process.kill(pid, signal);
    } catch {
      // It ended just now.
    }
    await waitFor(STOP_LIMIT_MS, gone);
  }
  if ((await gone()) === undefined) throw new ToolError(`Cannot stop ${name}: it does not go away`);
  await rm(pidPath(dir, name), { force: true });
};

/** Until `look` finds something; throws with the end of the log when the daemon ends or the limit passes. */
export const daemonReady = async <T>(
  { dir, name }: Pick<DaemonSpec, 'dir' | 'name'>,
  limitMs: number,
  look: () => Promise<T | undefined>,
): Promise<T> => {
  const found = await waitFor(limitMs, async () => {
    if ((await daemonPid(dir, name)) === undefined) return { ended: true } as const;
    const value = await look();
    return value === undefined ? undefined : ({ ended: false, value } as const);
  });
  if (found?.ended === false) return found.value;
  const log = await readFile(join(dir, `${name}.log`), 'utf8').catch(() => '');
  const why = found === undefined ? `not ready in ${limitMs / 1000} s` : 'it ended';
  throw new ToolError(`Cannot start ${name}: ${why}\n${log.trim().split('\n').slice(-SHOWN_LINES).join('\n')}`);
};
