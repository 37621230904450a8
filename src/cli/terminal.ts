// Where the command line writes to, and what that place can show: colours, box characters, lines drawn again. Decided
// once from the environment. No effects in this file.

import { styleText } from 'node:util';

export interface Terminal {
  /** Results: standard output. */
  readonly write: (text: string) => void;
  /** Everything else: standard error. */
  readonly complain: (text: string) => void;
  readonly style: Style;
  /** A person looks at it: lines may be drawn again. */
  readonly live: boolean;
  readonly columns: () => number;
}

export interface Style {
  readonly colour: boolean;
  readonly unicode: boolean;
}

export interface Stream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
}

type Env = Readonly<Record<string, string | undefined>>;

/** https://no-color.org: any value but an empty one. FORCE_COLOR is for pipes that end on a terminal. */
export function styleOf(env: Env, { isTTY }: Stream): Style {
  const locale = [env['LC_ALL'], env['LC_CTYPE'], env['LANG']].find((value) => value !== undefined && value !== '');
  const refused = (env['NO_COLOR'] ?? '') !== '' || env['TERM'] === 'dumb';
  const forced = (env['FORCE_COLOR'] ?? '') !== '' && env['FORCE_COLOR'] !== '0';
  return { colour: !refused && (isTTY === true || forced), unicode: locale === undefined || /utf-?8/i.test(locale) };
}

/** A file or a pipe has room for any line. */
export function columnsOf({ isTTY, columns: width }: Stream): number {
  if (isTTY !== true) return Number.POSITIVE_INFINITY;
  return width === undefined || width <= 0 ? 80 : width;
}

export type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'cyan' | 'plain';

export function paint({ colour }: Style, as: Colour, text: string): string {
  if (!colour || as === 'plain' || text === '') return text;
  // Whether the stream takes colours is decided above, for all that is written.
  return styleText(as, text, { validateStream: false });
}

/** A piece of a line. */
export interface Cell {
  readonly text: string;
  readonly as: Colour;
}

export const cell = (text: string, as: Colour = 'plain'): Cell => ({ text, as });

/** Lines with their cells below each other; the last cell of a line is not padded. */
export function columns(rows: readonly (readonly Cell[])[], style: Style, gap = '  '): readonly string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.slice(0, -1).forEach(({ text }, index) => (widths[index] = Math.max(widths[index] ?? 0, text.length)));
  }
  return rows.map((row) =>
    row
      .map(({ text, as }, index) => {
        const isLast = index === row.length - 1;
        return paint(style, as, text) + (isLast ? '' : ' '.repeat((widths[index] ?? 0) - text.length));
      })
      .join(gap)
      .trimEnd(),
  );
}
