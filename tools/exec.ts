// `./dev exec`: a command in the guest, with its input, output and exit code.

import { constants } from 'node:os';
import { fstatSync } from 'node:fs';
import { openGuest } from '../vm/guest.ts';
import { splitCommand } from './options.ts';

const USAGE = 'usage: ./dev exec [--name NAME] [--] COMMAND [ARGUMENT...]';

/** As shells count it. */
export const exitCodeOf = (code: number | null, signal: string | null): number =>
  code ?? 128 + (Object.entries(constants.signals).find(([name]) => name === signal)?.[1] ?? 0);

/** A pipe or a file is passed on; a terminal is not, and neither is what a job runner leaves open. */
const hasInput = (): boolean => {
  const status = fstatSync(0);
  return status.isFIFO() || status.isFile();
};

export const exec = async (args: readonly string[]): Promise<number> => {
  const { name, command } = splitCommand(args);
  if (command.length === 0 || command[0] === '--help') {
    process.stdout.write(`${USAGE}\n`);
    return command.length === 0 ? 2 : 0;
  }
  const guest = await openGuest(name);
  const result = await guest.exec(command, {
    ...(hasInput() ? { stdin: process.stdin } : {}),
    onStdout: (bytes) => process.stdout.write(bytes),
    onStderr: (bytes) => process.stderr.write(bytes),
  });
  process.stdin.destroy();
  return exitCodeOf(result.code, result.signal);
};
