// Lines about things that go on: drawn over each other on a terminal, one after the other elsewhere, and there only when
// they say something new.

import { eraseLines } from './progress.ts';
import type { Terminal } from './terminal.ts';

export interface BoardLine {
  /** What the line is about. */
  readonly key: string;
  readonly text: string;
  /** Elsewhere than on a terminal the line is printed when this is not what it was before. */
  readonly milestone: string;
}

export interface Board {
  readonly show: (lines: readonly BoardLine[]) => void;
}

export function createBoard({ write, live }: Pick<Terminal, 'write' | 'live'>): Board {
  const said = new Map<string, string>();
  let drawn = 0;
  return {
    show: (lines) => {
      if (live) {
        write(eraseLines(drawn) + lines.map(({ text }) => `${text}\n`).join(''));
        drawn = lines.length;
        return;
      }
      for (const { key, text, milestone } of lines) {
        if (said.get(key) === milestone) continue;
        said.set(key, milestone);
        write(`${text}\n`);
      }
    },
  };
}
