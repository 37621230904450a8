// Options that the verbs share, and how they are read: unknown ones and bad values are answered with the usage.

import { parseArgs } from 'node:util';
import type { ParseArgsOptionsConfig } from 'node:util';
import { ToolError } from './fault.ts';

export const DEFAULT_NAME = 'default';

const UNITS: Readonly<Record<string, number>> = { M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

export const sizeBytes = (option: string, text: string): number => {
  const match = /^([1-9][0-9]{0,5})([MGT])i?$/.exec(text);
  const unit = UNITS[match?.[2] ?? ''];
  if (match === null || unit === undefined) {
    throw new ToolError(`Cannot use --${option} '${text}': a size such as 512M or 4G is wanted`);
  }
  return Number(match[1]) * unit;
};

export const count = (option: string, text: string): number => {
  if (!/^[1-9][0-9]?$/.test(text))
    throw new ToolError(`Cannot use --${option} '${text}': a number from 1 to 99 is wanted`);
  return Number(text);
};

export const nameOption = { name: { type: 'string', default: DEFAULT_NAME } } as const;

/** Throws with the usage when the arguments are wrong. */
export const readOptions = <T extends ParseArgsOptionsConfig>(usage: string, args: readonly string[], options: T) => {
  try {
    return parseArgs({ args: [...args], options, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    throw new ToolError(`${cause instanceof Error ? cause.message : String(cause)}\n${usage}`, { cause });
  }
};

interface Split {
  readonly name: string;
  readonly command: readonly string[];
}

const namedAndRest = (args: readonly string[]): Split => {
  const [first, second] = args;
  if (first === '--name' && second !== undefined) return { name: second, command: args.slice(2) };
  if (first?.startsWith('--name=') === true) return { name: first.slice('--name='.length), command: args.slice(1) };
  return { name: DEFAULT_NAME, command: args };
};

/** `--name NAME` in front of a command whose own options are not ours; `--` may stand between them, and is no part of either. */
export const splitCommand = (args: readonly string[]): Split => {
  const { name, command } = namedAndRest(args);
  return { name, command: command[0] === '--' ? command.slice(1) : command };
};
