import { expect, test } from 'vitest';
import { isWide, ratiosOf, spreadOf, verdictOf } from '../../../bench/spread.ts';

test('the median of odd and even counts, the lowest and the highest', () => {
  expect(spreadOf([5, 1, 9])).toEqual({ median: 5, low: 1, high: 9, rounds: 3 });
  expect(spreadOf([4, 1, 2, 9])).toEqual({ median: 3, low: 1, high: 9, rounds: 4 });
  expect(spreadOf([7])).toEqual({ median: 7, low: 7, high: 7, rounds: 1 });
  expect(() => spreadOf([])).toThrow('no rounds');
});

test('ratios are taken round by round: what slows a whole round does not show', () => {
  expect(ratiosOf([10, 100, 20], [5, 50, 10])).toEqual({ median: 2, low: 2, high: 2, rounds: 3 });
  expect(() => ratiosOf([1, 2], [1])).toThrow('Cannot compare 2 rounds with 1');
  expect(() => ratiosOf([1], [0])).toThrow('nothing was measured');
});

test('a spread of more than half of the median is too wide', () => {
  expect(isWide(spreadOf([10, 12, 14.9]))).toBe(false);
  expect(isWide(spreadOf([10, 12, 17]))).toBe(true);
});

test.each([
  [[1, 1.1], { atLeast: 1 }, 'yes'],
  [[0.9, 1.1], { atLeast: 1 }, 'unclear'],
  [[0.8, 0.9], { atLeast: 1 }, 'no'],
  [[1.2, 1.3], { atMost: 1.3 }, 'yes'],
  [[1.4, 1.5], { atMost: 1.3 }, 'no'],
  [[0, 0], { atMost: 0 }, 'yes'],
] as const)('rounds of %j where %j is wanted: %s', (values, wanted, verdict) => {
  expect(verdictOf(spreadOf(values), wanted)).toBe(verdict);
});
