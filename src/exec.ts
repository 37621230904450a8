// The only room that starts processes. argv only, never a shell. What a command said on failure becomes one error with
// its argv, exit code and standard error.

import { execa } from 'execa';
import { SnapmergeError } from './errors.ts';

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

const MAX_OUTPUT_BYTES = 256 * 1024 * 1024;

/** Commands of this machine. Each is in a process group of its own, so that a signal to the driver does not reach it. */
export const localExec: Exec = async (argv, options = {}) => {
  const [file, ...args] = argv;
  const result = await execa(file, args, {
    reject: false,
    stripFinalNewline: false,
    maxBuffer: MAX_OUTPUT_BYTES,
    env: { LC_ALL: 'C' },
    detached: true,
    cleanup: false,
    ...(options.stdin === undefined ? { stdin: 'ignore' as const } : { input: options.stdin }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
  });
  if (result.isCanceled)
    throw new SnapmergeError('cancelled', `Cannot finish '${argv.join(' ')}': the caller went away`);
  if (result.exitCode === undefined && result.signal === undefined) {
    throw new SnapmergeError('unavailable', `Cannot run '${file}': ${result.shortMessage}`, { cause: result.cause });
  }
  return { code: result.exitCode, stdout: result.stdout, stderr: result.stderr };
};

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
