// The only room that starts processes. argv only, never a shell. What a command said on failure becomes one error with
// its argv, exit code and standard error.

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { SnapmergeError, fail, messageOf } from '../vocabulary/errors.ts';

export type Argv = readonly [string, ...string[]];

export interface ExecOptions {
  readonly stdin?: string | Uint8Array;
  /** Reads may be cancelled; a command that changes something gets no signal and runs to its end. */
  readonly signal?: AbortSignal;
}

export interface ExecResult {
  /** Undefined when a signal ended it. */
  readonly code: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command and resolves with what it said whatever its exit code; rejects (`unavailable`) when it cannot be started. */
export type Exec = (argv: Argv, options?: ExecOptions) => Promise<ExecResult>;

/** More than LVM's report of a pool with all the stores that its metadata has room for. */
const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/** What would change the output or the doing of commands whose words are read; others may be somebody's need. */
const NOT_HANDED_ON = /^(LVM_(?!SYSTEM_DIR$)|DM_|LIBBLKID_|BLKID_|E2FSCK_|MKE2FS_)/;

/** Taken once: each command would read the whole environment again. */
const ENVIRONMENT = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !NOT_HANDED_ON.test(name))),
  LC_ALL: 'C',
};

/**
 * Commands of this machine. Each is in a process group of its own, so that a signal to the driver does not reach it; the end
 * of a container does, whose first process the driver is. Node's own spawn and nothing around it: commands are most of what
 * the driver does, and a library for them was half of its processor time (measured).
 */
export const localExec: Exec = async (argv, { stdin, signal } = {}) => {
  const shown = argv.join(' ');
  const cancelled = (): SnapmergeError =>
    new SnapmergeError('cancelled', `Cannot finish '${shown}': the caller went away`);
  const isGone = (): boolean => signal?.aborted === true;
  if (isGone()) throw cancelled();

  const child = start(argv, stdin);
  const cancel = (): void => void child.kill('SIGTERM');
  signal?.addEventListener('abort', cancel);
  let tooMuch = false;
  const stop = (): void => {
    tooMuch = true;
    child.kill('SIGKILL');
  };
  const [stdout, stderr] = [collect(child.stdout, stop), collect(child.stderr, stop)];
  try {
    const code = await endOf(child, argv);
    if (isGone()) throw cancelled();
    if (tooMuch) fail('internal', `Cannot run '${shown}': it says more than ${MAX_OUTPUT_BYTES} bytes`);
    return { code, stdout: stdout(), stderr: stderr() };
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
};

function start([file, ...args]: Argv, stdin: ExecOptions['stdin']): ChildProcess {
  try {
    const input = stdin === undefined ? 'ignore' : 'pipe';
    const child = spawn(file, args, { env: ENVIRONMENT, detached: true, stdio: [input, 'pipe', 'pipe'] });
    // A command that ends without reading all of it says by its exit code what that means.
    child.stdin?.on('error', () => undefined).end(stdin);
    return child;
  } catch (cause) {
    return fail('unavailable', `Cannot run '${file}': ${messageOf(cause)}`, cause);
  }
}

/** Its exit code, undefined when a signal ended it, once its output has ended too. */
async function endOf(child: ChildProcess, [file]: Argv): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    child.on('error', (cause) => {
      // A signal that could not be sent is an error too; the command goes on, and ends.
      if (child.pid !== undefined) return;
      reject(new SnapmergeError('unavailable', `Cannot run '${file}': ${cause.message}`, { cause }));
    });
    child.on('close', (code) => resolve(code ?? undefined));
  });
}

/** Takes what comes; returns how to read it as text. */
function collect(stream: Readable | null, tooMuch: () => void): () => string {
  const pieces: Buffer[] = [];
  let size = 0;
  stream?.on('data', (piece: Buffer) => {
    size += piece.length;
    if (size > MAX_OUTPUT_BYTES) tooMuch();
    else pieces.push(piece);
  });
  return () => Buffer.concat(pieces).toString();
}

/** The standard output of a command that must succeed. */
export async function output(exec: Exec, argv: Argv, options?: ExecOptions): Promise<string> {
  const result = await exec(argv, options);
  if (result.code === 0) return result.stdout;
  throw new SnapmergeError('internal', `Cannot run '${argv.join(' ')}': ${failureOf(result)}`);
}

export function failureOf(result: ExecResult): string {
  const how = result.code === undefined ? 'ended by a signal' : `exit code ${result.code}`;
  const words = result.stderr.trim().split('\n').slice(-3).join(' | ');
  return words === '' ? how : `${how}: ${words}`;
}
