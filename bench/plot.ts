// A plot as SVG, pure: lines over named ticks, the median as a point, the rounds' spread as a bar through it. Made to be
// read on paper and on a dark page alike: the ground is white, the colours differ in brightness too.

import type { Plot } from './record.ts';

const WIDTH = 700;
const HEIGHT = 360;
const FRAME = { left: 64, right: 200, top: 40, bottom: 48 } as const;
/** Series stand beside each other at a tick, or equal ones would hide each other. */
const ASIDE = 7;
const COLOURS = ['#0b62a4', '#d1495b', '#7a9e33', '#5f4b8b', '#444444'] as const;

type Axis = (value: number) => number;

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const at = (value: number): string => value.toFixed(1);

/** Round values between the least and the most: powers of ten and their doubles and fives, or five even steps. */
export function gridOf(low: number, high: number, logarithmic: boolean): readonly number[] {
  if (logarithmic) {
    const from = Math.floor(Math.log10(low));
    const to = Math.ceil(Math.log10(high));
    const decades = Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index));
    return decades
      .flatMap((decade) => [decade, 2 * decade, 5 * decade])
      .filter((value) => value >= low && value <= high);
  }
  const step = 10 ** Math.floor(Math.log10(high)) / 2;
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, index) => index * step);
}

export function svgOf({ title, x, y, ticks, logarithmic, series }: Plot): string {
  const spreads = series.flatMap(({ values }) => values.flatMap((value) => value ?? []));
  const lows = spreads.map(({ low }) => low).filter((low) => low > 0);
  const low = logarithmic ? Math.min(...lows) / 1.2 : 0;
  const high = Math.max(...spreads.map(({ high }) => high)) * 1.1;
  const bottom = HEIGHT - FRAME.bottom;
  const right = WIDTH - FRAME.right;
  const share: Axis = logarithmic
    ? (value) => (Math.log(Math.max(value, low)) - Math.log(low)) / (Math.log(high) - Math.log(low))
    : (value) => value / high;
  const yOf: Axis = (value) => bottom - share(value) * (bottom - FRAME.top);
  const xOf: Axis = (index) => FRAME.left + ((index + 0.5) / ticks.length) * (right - FRAME.left);

  const grid = gridOf(low, high, logarithmic).map(
    (value) =>
      `<line x1="${FRAME.left}" x2="${right}" y1="${at(yOf(value))}" y2="${at(yOf(value))}" stroke="#ddd"/>` +
      `<text x="${FRAME.left - 6}" y="${at(yOf(value) + 4)}" text-anchor="end">${Number(value.toPrecision(2))}</text>`,
  );
  const names = ticks.map(
    (tick, index) => `<text x="${at(xOf(index))}" y="${bottom + 18}" text-anchor="middle">${escape(tick)}</text>`,
  );
  const lines = series.map(({ name, values }, which) => {
    const colour = COLOURS[which % COLOURS.length] ?? 'black';
    const points = values.flatMap((value, index) =>
      value === null ? [] : [{ value, left: at(xOf(index) + (which - (series.length - 1) / 2) * ASIDE) }],
    );
    const path = points.map(({ value, left }) => `${left},${at(yOf(value.median))}`).join(' ');
    const bars = points.map(
      ({ value, left }) =>
        `<line x1="${left}" x2="${left}" y1="${at(yOf(value.low))}" y2="${at(yOf(value.high))}" stroke="${colour}"/>` +
        `<circle cx="${left}" cy="${at(yOf(value.median))}" r="3.5" fill="${colour}"/>`,
    );
    const legend = FRAME.top + 16 + which * 20;
    return [
      `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      ...bars,
      `<line x1="${right + 12}" x2="${right + 30}" y1="${legend}" y2="${legend}" stroke="${colour}" stroke-width="2"/>`,
      `<text x="${right + 36}" y="${legend + 4}">${escape(name)}</text>`,
    ].join('\n');
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="white"/>`,
    `<text x="${FRAME.left}" y="22" font-size="15">${escape(title)}</text>`,
    ...grid,
    ...names,
    ...lines,
    `<text x="${at((FRAME.left + right) / 2)}" y="${HEIGHT - 10}" text-anchor="middle">${escape(x)}</text>`,
    `<text transform="translate(16 ${at((FRAME.top + bottom) / 2)}) rotate(-90)" text-anchor="middle">${escape(y)}</text>`,
    '</svg>',
    '',
  ].join('\n');
}
