// The CSI socket of a guest that outlives the command that started it: a small process of its own leads a unix socket of
// this machine into the guest, through power cuts, until `./dev down`.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { guestDir } from '../vm/state.ts';
import { waitFor } from '../vm/wait.ts';
import { ToolError } from './fault.ts';

const PROGRAM = join(import.meta.dirname, 'forwarder.ts');
const START_LIMIT_MS = 30_000;
export const CSI_SOCKET = '/run/snapmerge/csi.sock';

export const csiSocketOf = (name: string): string => join(guestDir(name), 'csi.sock');

const pidPath = (name: string): string => join(guestDir(name), 'forwarder.pid');

const isForwarder = (pid: number): boolean => {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(PROGRAM);
  } catch {
    return false;
  }
};

export const stopForwarding = async (name: string): Promise<void> => {
  if (!existsSync(pidPath(name))) return;
  const pid = Number(await readFile(pidPath(name), 'utf8'));
  if (isForwarder(pid)) process.kill(pid, 'SIGTERM');
  await rm(pidPath(name), { force: true });
};

/** Resolves with the path of the socket on this machine. */
export const startForwarding = async (name: string): Promise<string> => {
  await stopForwarding(name);
  const path = csiSocketOf(name);
  await rm(path, { force: true });
  const child = spawn(process.execPath, [PROGRAM, name, CSI_SOCKET, path], { detached: true, stdio: 'ignore' });
  child.unref();
  if (child.pid === undefined) throw new ToolError('Cannot start the forwarding of the CSI socket');
  await writeFile(pidPath(name), String(child.pid));
  const listens = await waitFor(START_LIMIT_MS, () => (existsSync(path) ? true : undefined));
  if (listens === undefined) throw new ToolError(`Cannot forward the CSI socket: nothing listens at '${path}'`);
  return path;
};
