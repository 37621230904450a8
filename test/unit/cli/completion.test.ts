import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { SHELLS, completionScript, shapeOf } from '../../../src/cli/completion.ts';
import { createProgram } from '../../../src/cli/program.ts';
import { actionsOf } from './actions.ts';

const shape = shapeOf(createProgram('1.2.3', {}, actionsOf()));
const folder = mkdtempSync(join(tmpdir(), 'snapmerge-'));
const script = join(folder, 'completion.bash');
writeFileSync(script, completionScript('bash', shape));
// In the place of the driver: says which names were asked for.
writeFileSync(join(folder, 'snapmerge'), '#!/bin/sh\necho "$2-one $2-two"\n', { mode: 0o755 });
afterAll(() => rmSync(folder, { recursive: true }));

/** What bash would offer for a line; the last word is the one that is completed. */
function offered(...words: readonly string[]): readonly string[] {
  const program = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _snapmerge; printf '%s\\n' "\${COMPREPLY[@]}"`;
  // With a socket as its input bash takes itself for a remote shell, and would read the machine's bashrc.
  const result = spawnSync('bash', ['--norc', '-euc', program, 'bash', script, join(folder, 'snapmerge'), ...words], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  expect(result.stderr).toBe('');
  return result.stdout.split('\n').filter((word) => word !== '');
}

test('every command is known, hidden ones are not', () => {
  const names = shape.map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['serve', 'pool create', 'tree', 'restore', 'promote', 'tables']));
  expect(names).not.toContain('names');
});

test.each([
  [['t'], ['tree', 'tables']],
  [['pool', ''], ['create']],
  [
    ['restore', ''],
    ['volumes-one', 'volumes-two'],
  ],
  [
    ['restore', 'shop', ''],
    ['snapshots-one', 'snapshots-two'],
  ],
  [
    ['restore', '--safety', 'x', 'shop', ''],
    ['snapshots-one', 'snapshots-two'],
  ],
  [
    ['restore', '--mode', ''],
    ['origin', 'onactivate'],
  ],
  [['restore', '--watch', 'shop', '--m'], ['--mode']],
  [
    ['promote', ''],
    ['forks-one', 'forks-two'],
  ],
  [
    ['cancel', ''],
    ['restores-one', 'restores-two'],
  ],
  [['tables', 'a', 'b', 'images-t'], ['images-two']],
  [
    ['completion', ''],
    ['bash', 'zsh', 'fish'],
  ],
  [['tree', '--socket', ''], []],
  [['tree', ''], []],
] as const)('bash: %j', (words, expected) => {
  expect(offered(...words)).toEqual(expected);
});

test.each(SHELLS)('%s: commands, options and names are in it', (shell) => {
  const names = shell === 'fish' ? 'snapmerge names ' : '_snapmerge_names ';
  const text = completionScript(shell, shape);
  for (const word of ['restores', 'drop-snapshot', 'onactivate', 'create', `${names}volumes`, `${names}snapshots`]) {
    expect(text).toContain(word);
  }
});
