// Records as Markdown, pure: a section for each row, a line for each figure; ratios first, then what has a unit.

import type { Figure, Quiet, RowRecord } from './record.ts';
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

const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
const head = (...cells: readonly string[]): readonly string[] => [line(cells), line(cells.map(() => '---'))];

const valueOf = ({ ratio, unit }: Figure): string =>
  `${spreadText(ratio)}${unit === undefined ? '' : ` ${unit}`}${isWide(ratio) ? ', *wide*' : ''}`;
const judged = ({ ratio, wanted }: Figure): string =>
  wanted === undefined ? '' : `${wantedText(wanted)}: **${verdictOf(ratio, wanted)}**`;

const ratioTable = (figures: readonly Figure[]): readonly string[] => [
  ...head('', 'compared', 'ratio', 'wanted'),
  ...figures.map((figure) =>
    line([figure.what, `${figure.ours} / ${figure.against}`, valueOf(figure), judged(figure)]),
  ),
];

const valueTable = (figures: readonly Figure[]): readonly string[] => [
  ...head('', 'whose', 'value', 'wanted'),
  ...figures.map((figure) => line([figure.what, figure.ours, valueOf(figure), judged(figure)])),
];

/** Where the same differs from itself as much, no difference of anything else can be believed. */
const isNoisy = ({ nulls }: Quiet): boolean => nulls.some(({ ratio }) => isWide(ratio));

const quietText = ({ nulls, gapMs }: Quiet): string => {
  const each = nulls.map(({ what, ratio }) => `${what} ${spreadText(ratio)}`);
  return `The same job against itself: ${each.join(', ')}; an idle process came ${digits(gapMs)} ms late at worst.`;
};

export function section(record: RowRecord): string {
  const { row, title, wanted, notes, plots, seconds, load, cores, quick, quiet } = record;
  const noisy = quiet !== undefined && isNoisy(quiet);
  const figures = noisy ? [] : record.figures;
  const ratios = figures.filter(({ unit }) => unit === undefined);
  const values = figures.filter(({ unit }) => unit !== undefined);
  const how = `${quick ? '*Short form.* ' : ''}${Math.round(seconds / 60)} min; load of the machine ${load.map((value) => value.toFixed(1)).join(' to ')} on ${cores} cores.`;
  return [
    `### ${row}. ${title}`,
    '',
    `Wanted: ${wanted}.`,
    '',
    ...(noisy ? ['**The machine was too noisy to say anything:** see the same job against itself.', ''] : []),
    ...(ratios.length === 0 ? [] : [...ratioTable(ratios), '']),
    ...(values.length === 0 ? [] : [...valueTable(values), '']),
    [...notes, ...(quiet === undefined ? [] : [quietText(quiet)]), how].join(' '),
    ...(noisy || plots.length === 0
      ? []
      : ['', ...plots.map(({ name, title }) => `![${title}](benchmarks/${name}.svg)`)]),
  ].join('\n');
}
