// Runs programs of this machine: argv only. What one says goes into a log file or comes back as text, and a failure is
// an error with the last lines of what it said.

import { spawn } from 'node:child_process';
import { ToolError } from './fault.ts';

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
}

export interface RunResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end, whatever that is; rejects only when it cannot be started. */
export const attempt = (argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunResult> =>
  new Promise((resolve, reject) => {
    const [file, ...args] = argv;
    const child = spawn(file, args, {
      cwd: options.cwd,
      env: { ...process.env, LC_ALL: 'C', ...options.env },
      ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs, killSignal: 'SIGKILL' as const }),
    });
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout.on('data', (bytes: Buffer) => stdout.push(bytes));
    child.stderr.on('data', (bytes: Buffer) => stderr.push(bytes));
    child.on('error', (cause) => reject(new ToolError(`Cannot run '${file}': ${cause.message}`, { cause })));
    child.on('close', (code) =>
      resolve({ code, stdout: Buffer.concat(stdout).toString(), stderr: Buffer.concat(stderr).toString() }),
    );
    // A program that ends without reading its input is judged by its exit code.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });

/** Standard output of a program that must succeed. */
export const run = async (argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<string> => {
  const result = await attempt(argv, options);
  if (result.code === 0) return result.stdout;
  const said = `${result.stdout}${result.stderr}`.trim().split('\n').slice(-12).join('\n');
  throw new ToolError(`Cannot finish '${argv.join(' ')}': exit code ${String(result.code)}\n${said}`);
};
