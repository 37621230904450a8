// docs/use.md, line by line, as its reader would copy it.

import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('use');

interface Line {
  readonly command: string;
  /** What it must print, among other things. */
  readonly prints: string;
}

/** What the page has its reader type, without the `cd` at its top. */
const linesOf = (page: string): readonly Line[] =>
  page
    .split('\n')
    .filter((line) => line.startsWith('    kubectl '))
    .map((line) => {
      const [command = '', prints = ''] = line.split(/ +# /);
      return { command: command.trim(), prints };
    });

test(
  'from a claim to a restored volume, and nothing left',
  async () => {
    const lines = linesOf(await readFile(new URL('../../../docs/use.md', import.meta.url), 'utf8'));
    expect(lines.filter(({ prints }) => prints !== '').length).toBe(5);
    for (const { command, prints } of lines) {
      expect(await room.shell(command)).toContain(prints);
      await room.remember();
    }
  },
  3 * TEST_LIMIT_MS,
);
