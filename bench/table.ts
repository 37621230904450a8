// Records as Markdown, pure: a section for each row, a line for each case, a column for each that it is compared with.

import type { Figure, RowRecord } from './record.ts';
import type { Spread, Wanted } from './spread.ts';
import { isWide, verdictOf } from './spread.ts';

/** Three digits that count, whatever the size. */
export function digits(value: number): string {
  if (value === 0) return '0';
  const whole = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return Number(value.toPrecision(Math.abs(value) >= 1000 ? 4 : 3)).toFixed(Math.min(whole, 4));
}

const spreadText = ({ median, low, high }: Spread): string => {
  const all = [low, high].map(digits);
  return low === high ? digits(median) : `${digits(median)} (${all.join(' to ')})`;
};

const wantedText = ({ atLeast, atMost }: Wanted): string =>
  [...(atLeast === undefined ? [] : [`≥ ${atLeast}`]), ...(atMost === undefined ? [] : [`≤ ${atMost}`])].join(', ');

function cell({ ratio, unit, wanted }: Figure): string {
  const parts = [`${spreadText(ratio)}${unit === undefined ? '' : ` ${unit}`}`];
  if (isWide(ratio)) parts.push('wide');
  if (wanted !== undefined) parts.push(`${wantedText(wanted)}: **${verdictOf(ratio, wanted)}**`);
  return parts.join(', ');
}

const columnOf = ({ ours, against, unit }: Figure): string => (unit === undefined ? `${ours} / ${against}` : ours);

function table(figures: readonly Figure[]): readonly string[] {
  const columns = [...new Set(figures.map(columnOf))];
  const cases = [...new Set(figures.map(({ what }) => what))];
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const at = (what: string, column: string): string => {
    const found = figures.find((figure) => figure.what === what && columnOf(figure) === column);
    return found === undefined ? '' : cell(found);
  };
  return [
    line(['', ...columns]),
    line(['---', ...columns.map(() => '---')]),
    ...cases.map((what) => line([what, ...columns.map((column) => at(what, column))])),
  ];
}

export function section(record: RowRecord): string {
  const { row, title, wanted, notes, plots, figures, seconds, load, cores, quick } = record;
  // Figures of one kind belong together: ratios first, then values with a unit, each with the columns that it has.
  const ratios = figures.filter(({ unit }) => unit === undefined);
  const values = figures.filter(({ unit }) => unit !== undefined);
  const how = `${quick ? '*Short form.* ' : ''}${Math.round(seconds / 60)} min; load of the machine ${load.map((value) => value.toFixed(1)).join(' to ')} on ${cores} cores.`;
  return [
    `### ${row}. ${title}`,
    '',
    `Wanted: ${wanted}.`,
    '',
    ...(ratios.length === 0 ? [] : [...table(ratios), '']),
    ...(values.length === 0 ? [] : [...table(values), '']),
    ...notes.map((note) => `${note} `),
    how,
    ...(plots.length === 0 ? [] : ['', ...plots.map(({ name, title }) => `![${title}](benchmarks/${name}.svg)`)]),
  ].join('\n');
}
