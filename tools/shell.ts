// `./dev shell`: a login shell on a terminal of its own in the guest.

import { openGuest } from '../vm/guest.ts';
import { exitCodeOf } from './exec.ts';
import { nameOption, readOptions } from './options.ts';

const USAGE = 'usage: ./dev shell [--name NAME]';

export const shell = async (args: readonly string[]): Promise<number> => {
  const { name } = readOptions(USAGE, args, nameOption);
  const guest = await openGuest(name);
  const { columns, rows } = process.stdout;
  const term = process.env['TERM'] ?? 'vt100';
  process.stdin.setRawMode?.(true);
  try {
    const result = await guest.exec(['script', '-qec', '/run/guest/shell.sh', '/dev/null'], {
      env: { TERM: term, COLUMNS: String(columns || 80), ROWS: String(rows || 24) },
      stdin: process.stdin,
      onStdout: (bytes) => process.stdout.write(bytes),
      onStderr: (bytes) => process.stderr.write(bytes),
    });
    return exitCodeOf(result.code, result.signal);
  } finally {
    process.stdin.setRawMode?.(false);
    process.stdin.destroy();
  }
};
