// What of `./dev exec ...` is ours, and what is the command.

import { expect, test } from 'vitest';
import { splitCommand } from '../../../tools/options.ts';

test.each([
  ['ls -l', 'default', ['ls', '-l']],
  ['-- ls -l', 'default', ['ls', '-l']],
  ['--name a ls -l', 'a', ['ls', '-l']],
  ['--name a -- ls -l', 'a', ['ls', '-l']],
  ['--name=a -- ls -l', 'a', ['ls', '-l']],
  ['--name=a ls', 'a', ['ls']],
  // Only the first is ours; a command has its own.
  ['-- git log -- file', 'default', ['git', 'log', '--', 'file']],
  ['-- --name', 'default', ['--name']],
  ['--name a', 'a', []],
  ['--name a --', 'a', []],
])('%s', (typed, name, command) => {
  expect(splitCommand(typed.split(' '))).toEqual({ name, command });
});
