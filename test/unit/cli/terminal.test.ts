import { expect, test } from 'vitest';
import { cell, columns, columnsOf, paint, styleOf } from '../../../src/cli/terminal.ts';
import { countOf, durationOf, percentOf, roughBytes } from '../../../src/cli/words.ts';

test.each([
  [{}, true, true],
  [{}, false, false],
  [{ NO_COLOR: '1' }, true, false],
  [{ NO_COLOR: '' }, true, true],
  [{ TERM: 'dumb' }, true, false],
  [{ FORCE_COLOR: '1' }, false, true],
  [{ FORCE_COLOR: '1', NO_COLOR: '1' }, false, false],
])('colours: %j on a terminal %s', (env, isTTY, colour) => {
  expect(styleOf(env, { isTTY }).colour).toBe(colour);
});

test.each([
  [{}, true],
  [{ LANG: 'C' }, false],
  [{ LANG: 'en_GB.UTF-8' }, true],
  [{ LANG: 'en_GB.UTF-8', LC_ALL: 'POSIX' }, false],
  [{ LC_ALL: '', LC_CTYPE: 'C.utf8', LANG: 'C' }, true],
])('box characters: %j', (env, unicode) => {
  expect(styleOf(env, {}).unicode).toBe(unicode);
});

test('columns are as wide as their widest cell, whatever the colours', () => {
  const rows = [
    [cell('a', 'red'), cell('b'), cell('long, and last')],
    [cell('wide'), cell(''), cell('c')],
  ];
  expect(columns(rows, { colour: false, unicode: true })).toEqual(['a     b  long, and last', 'wide     c']);
  expect(columns(rows, { colour: true, unicode: true })[0]).toBe('\u001B[31ma\u001B[39m     b  long, and last');
  expect(paint({ colour: true, unicode: true }, 'red', '')).toBe('');
});

test('a pipe has room for any line', () => {
  expect([{}, { isTTY: true, columns: 100 }, { isTTY: true, columns: 0 }].map(columnsOf)).toEqual([Infinity, 100, 80]);
});

test('percents are 0 and 100 only when nothing and all is done', () => {
  expect([0n, 1n, 500n, 995n, 999n, 1000n].map((part) => percentOf(part, 1000n))).toEqual([0, 1, 50, 99, 99, 100]);
  expect(percentOf(0n, 0n)).toBe(100);
});

test('times, sizes and counts', () => {
  expect([0.4, 59, 61, 7200, 90_000].map(durationOf)).toEqual(['0 s', '59 s', '1 min 1 s', '2 h 0 min', '1 d 1 h']);
  expect([1024n, 1600n, 123456789n].map(roughBytes)).toEqual(['1 KiB', '1.5 KiB', '117.7 MiB']);
  expect([countOf(1, 'family', 'families'), countOf(2, 'family', 'families'), countOf(0, 'fork')]).toEqual([
    '1 family',
    '2 families',
    '0 forks',
  ]);
});
