// The generated part of docs/benchmarks.md, pure: what was run where, what the words mean, the rows, and which are missing.

import type { RowRecord } from './record.ts';
import { section } from './table.ts';

const BEGIN = '<!-- made by ./dev bench: begin -->';
const END = '<!-- made by ./dev bench: end -->';

const listed = (values: readonly string[]): string => [...new Set(values)].join('; ');

/** `all` are the numbers and titles of the rows that there are. */
export function generated(
  records: readonly RowRecord[],
  all: readonly { readonly row: number; readonly title: string }[],
): string {
  const missing = all
    .filter(({ row }) => !records.some((record) => record.row === row))
    .toSorted((a, b) => a.row - b.row);
  const abouts = records.map(({ about }) => about);
  const emulated = abouts.some((about) => about.emulated);
  return [
    '## Against LVM and thin',
    '',
    `Made by \`./dev bench --write\`, and with \`--quick\` where it says *short form*, on ${listed(records.map(({ day }) => day))}: ${listed(abouts.map(({ where, kernel }) => `${where}, Linux ${kernel}`))}; ${listed(abouts.flatMap(({ versions }) => versions))}. Disks are in memory.` +
      (emulated
        ? ' **The processor was emulated**, one core of it: code costs many times more, compared with data that is moved, than on any real machine. Only ratios of code with code mean something.'
        : ''),
    '',
    'A cell is the median of at least five rounds and, in brackets, the lowest and the highest. All sides were measured in turn in each round, and ratios were taken round by round. Where something is wanted, rounds went on until all of the first five, or the median of more with 99 % certainty, lay on one side of it, or up to a limit. **yes**: it is reached; **no**: it is missed; **unclear**: it may lie on either side. *wide*: the median is not known better than to half of itself, so believe the order of magnitude only.',
    '',
    ...records.toSorted((a, b) => a.row - b.row).flatMap((record) => [section(record), '']),
    missing.length === 0
      ? ''
      : `Not measured here: ${missing.map(({ row, title }) => `${row} (${title.toLowerCase()})`).join(', ')}.`,
  ].join('\n');
}

/** The page with this part in the place of the one before, or after all the rest. */
export function withGenerated(page: string, part: string): string {
  const whole = `${BEGIN}\n\n${part.trim()}\n\n${END}`;
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin === -1 && end === -1) return `${page.trimEnd()}\n\n${whole}\n`;
  if (begin === -1 || end < begin) throw new Error(`Cannot put the figures in: '${BEGIN}' and '${END}' do not match`);
  return page.slice(0, begin) + whole + page.slice(end + END.length);
}
