import { expect, test } from 'vitest';
import { generated, withGenerated } from '../../../bench/page.ts';
import { gridOf, svgOf } from '../../../bench/plot.ts';
import type { RowRecord } from '../../../bench/record.ts';
import { digits } from '../../../bench/table.ts';

const spread = (median: number, low: number, high: number) => ({ median, low, high, rounds: 5 });

const space: RowRecord = {
  row: 7,
  title: 'Space',
  wanted: 'once',
  quick: false,
  day: '2026-01-02',
  seconds: 119,
  load: [1, 2.25],
  cores: 4,
  about: { where: 'guest', emulated: true, kernel: '6.12', versions: ['LVM 2.03'] },
  figures: [
    {
      what: '1 snapshot',
      ours: 'snapmerge',
      against: 'LVM thick',
      ratio: spread(1, 0.9, 1.1),
      wanted: { atMost: 1.1 },
    },
    { what: '1 snapshot', ours: 'snapmerge', against: 'LVM thin', ratio: spread(2, 1, 3) },
    { what: '4 snapshots', ours: 'snapmerge', against: 'LVM thick', ratio: spread(0.25, 0.25, 0.25) },
    { what: '1 snapshot', ours: 'snapmerge', against: 'by itself', ratio: spread(12, 11, 13), unit: 'MiB' },
  ],
  notes: ['A note.'],
  plots: [
    {
      name: 'space',
      title: 'Space & more',
      x: 'snapshots',
      y: 'bytes',
      ticks: ['1', '4'],
      logarithmic: true,
      series: [{ name: 'LVM thick', values: [spread(1, 0.9, 1.1), null] }],
    },
  ],
};

test('a line for each figure, verdict and doubt in words', () => {
  const text = generated([space], [space, { row: 9, title: 'A store that fills' }]);
  expect(text).toContain('| 1 snapshot | snapmerge / LVM thick | 1.00 (0.900 to 1.10) | ≤ 1.1: **yes** |');
  expect(text).toContain('| 1 snapshot | snapmerge / LVM thin | 2.00 (1.00 to 3.00), *wide* |  |');
  expect(text).toContain('| 4 snapshots | snapmerge / LVM thick | 0.250 |  |');
  expect(text).toContain('| 1 snapshot | snapmerge | 12.0 (11.0 to 13.0) MiB |  |');
  expect(text).toContain('![Space & more](benchmarks/space.svg)');
  expect(text).toContain('emulated');
  expect(text).toContain('Not measured here: 9 (a store that fills).');
});

const quiet = (low: number, high: number) => ({
  nulls: [{ what: 'dm-zero', ratio: spread(1, low, high) }],
  gapMs: 2.5,
});

test('how quiet the machine was is said beside a row', () => {
  const text = generated([{ ...space, quiet: quiet(0.9, 1.1) }], []);
  expect(text).toContain(
    'The same job against itself: dm-zero 1.00 (0.900 to 1.10); an idle process came 2.50 ms late at worst.',
  );
  expect(text).toContain('**yes**');
});

test('where the same differs from itself nothing else is said', () => {
  const text = generated([{ ...space, quiet: quiet(0.7, 1.3) }], []);
  expect(text).toContain('**The machine was too noisy to say anything:**');
  expect(text).not.toContain('| 1 snapshot |');
  expect(text).not.toContain('![');
});

test('digits that count', () => {
  expect([0, 0.0123, 0.98, 1.5, 12.34, 123.4, 12345].map(digits)).toEqual([
    '0',
    '0.0123',
    '0.980',
    '1.50',
    '12.3',
    '123',
    '12350',
  ]);
});

test('the generated part takes the place of the one before, and leaves the rest', () => {
  const once = withGenerated('# Measured\n\nBy hand.\n', 'first');
  expect(once).toContain('# Measured\n\nBy hand.\n\n<!--');
  const more = `${once}\n## More\n`;
  const twice = withGenerated(more, 'second');
  expect(twice).toBe(more.replace('first', 'second'));
  expect(() => withGenerated(once.replace('begin', ''), 'third')).toThrow('do not match');
});

test('a plot is one SVG, with a point for each value and none for what was not measured', () => {
  const [plot] = space.plots;
  const svg = plot === undefined ? '' : svgOf(plot);
  expect(svg).toContain('Space &amp; more');
  expect(svg.match(/<circle/g)).toHaveLength(1);
  expect(svg).not.toContain('NaN');
});

test('a grid of round values', () => {
  expect(gridOf(0.9, 12, true)).toEqual([1, 2, 5, 10]);
  expect(gridOf(0, 12, false)).toEqual([0, 5, 10]);
});
