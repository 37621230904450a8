// An Exec for tests of the adapters: a function answers each command, and the commands are kept.

import type { Argv, Exec, ExecOptions, ExecResult } from '../../src/system/exec.ts';

export interface ScriptedExec {
  readonly exec: Exec;
  readonly calls: readonly Argv[];
  /** The commands as text, one line each, the long `--config` left out. */
  readonly lines: () => readonly string[];
}

/** A string is standard output with exit code 0, a number an exit code; undefined is exit code 0 without a word. */
export type Answer = string | number | Partial<ExecResult> | undefined;

export function scriptedExec(answer: (argv: Argv, options: ExecOptions) => Answer): ScriptedExec {
  const calls: Argv[] = [];
  return {
    calls,
    lines: () => calls.map((argv) => argv.filter((_, index) => !around(argv, index)).join(' ')),
    exec: (argv, options = {}) => {
      calls.push(argv);
      const said = answer(argv, options);
      const base = { code: 0, stdout: '', stderr: '' };
      if (typeof said === 'string') return Promise.resolve({ ...base, stdout: said });
      if (typeof said === 'number') return Promise.resolve({ ...base, code: said, stderr: 'it said no' });
      return Promise.resolve({ ...base, ...said });
    },
  };
}

function around(argv: Argv, index: number): boolean {
  return argv[index] === '--config' || argv[index - 1] === '--config';
}
