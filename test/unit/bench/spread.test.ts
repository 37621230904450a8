import { expect, test } from 'vitest';
import { isWide, ratiosOf, spreadOf, verdictOf } from '../../../bench/spread.ts';

test('the median of odd and even counts, the lowest and the highest', () => {
  expect(spreadOf([5, 1, 9])).toMatchObject({ median: 5, low: 1, high: 9, rounds: 3 });
  expect(spreadOf([4, 1, 2, 9])).toMatchObject({ median: 3, low: 1, high: 9, rounds: 4 });
  expect(spreadOf([7])).toMatchObject({ median: 7, low: 7, high: 7, rounds: 1 });
  expect(() => spreadOf([])).toThrow('no rounds');
});

test('ratios are taken round by round: what slows a whole round does not show', () => {
  expect(ratiosOf([10, 100, 20], [5, 50, 10])).toMatchObject({ median: 2, low: 2, high: 2, rounds: 3 });
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

// Of the binomial distribution: 2 P(X <= k) for so many rounds and one half is at most 0.01, and for k + 1 it is not.
test.each([
  [1, 0],
  [7, 0],
  [8, 0],
  [10, 0],
  [11, 0],
  [12, 1],
  [15, 2],
  [20, 3],
])('of %i rounds %i at each end are left out of what is sure', (rounds, left) => {
  const values = Array.from({ length: rounds }, (_, index) => index + 1);
  expect(spreadOf(values).sure).toEqual({ from: 1 + left, to: rounds - left });
});

test('one round that was disturbed does not keep many others from saying something', () => {
  const values = [...Array.from({ length: 19 }, (_, index) => 1 + index / 100), 9];
  expect(verdictOf(spreadOf(values), { atMost: 1.3 })).toBe('yes');
  expect(verdictOf(spreadOf(values.slice(15)), { atMost: 1.3 })).toBe('unclear');
});

test('what an older run wrote down is judged by its extremes', () => {
  const old = { median: 1, low: 0.9, high: 1.4, rounds: 20 };
  expect(verdictOf(old, { atMost: 1.3 })).toBe('unclear');
  expect(verdictOf(old, { atMost: 1.5 })).toBe('yes');
});

test('what must never happen is judged by every round', () => {
  const lost = [...Array.from({ length: 19 }, () => 0), 1];
  expect(verdictOf(spreadOf(lost), { atMost: 0 })).toBe('yes');
  expect(verdictOf(spreadOf(lost), { atMost: 0, always: true })).toBe('no');
  expect(verdictOf(spreadOf(lost.slice(0, 19)), { atMost: 0, always: true })).toBe('yes');
});
