// What rounds say together, pure: a median, how far apart the rounds were, and whether that can be believed.

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly rounds: number;
  /** Where the median lies that endless rounds would have, as far as these tell; missing in what older runs wrote down. */
  readonly sure?: { readonly from: number; readonly to: number } | undefined;
}

/** What a ratio should be: at least, or at most. */
export interface Wanted {
  readonly atLeast?: number | undefined;
  readonly atMost?: number | undefined;
  /** Of every round, and not of the median: for what must never happen. */
  readonly always?: boolean | undefined;
}

/** `unclear`: the median may lie on either side. */
export type Verdict = 'yes' | 'no' | 'unclear';

/**
 * How likely the true median may lie outside of what is said of it. A run looks after each round, so that it is less than what
 * one look would be allowed.
 */
const ERROR = 0.01;

/** A median that is not known better than to half of itself tells an order of magnitude and no more. */
const WIDEST = 0.5;

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const [low] = sorted;
  const high = sorted.at(-1);
  if (low === undefined || high === undefined) throw new RangeError('Cannot tell the spread of no rounds');
  const left = leftOut(sorted.length);
  const sure = { from: sorted[left] ?? low, to: sorted[sorted.length - 1 - left] ?? high };
  return { median: medianOf(sorted), low, high, rounds: sorted.length, sure };
}

/** Round by round, because what disturbs a machine disturbs neighbours in time alike. */
export function ratiosOf(ours: readonly number[], theirs: readonly number[]): Spread {
  if (ours.length !== theirs.length) {
    throw new RangeError(`Cannot compare ${ours.length} rounds with ${theirs.length}`);
  }
  return spreadOf(ours.map((value, round) => quotient(value, theirs[round])));
}

export function isWide({ median, low, high, sure }: Spread): boolean {
  const { from, to } = sure ?? { from: low, to: high };
  return to - from > WIDEST * Math.abs(median);
}

export function verdictOf(spread: Spread, wanted: Wanted): Verdict {
  const { low, high, sure } = spread;
  const { atLeast = -Infinity, atMost = Infinity, always = false } = wanted;
  const { from, to } = sure === undefined || always ? { from: low, to: high } : sure;
  if (from >= atLeast && to <= atMost) return 'yes';
  return always || to < atLeast || from > atMost ? 'no' : 'unclear';
}

/**
 * How many of the lowest and of the highest rounds lie outside of what is sure: each falls below the true median with one half,
 * whatever it is that is measured, so that it is the binomial distribution that tells. None of fewer than eight.
 */
function leftOut(rounds: number): number {
  let left = 0;
  let chance = 0.5 ** rounds;
  let below = chance;
  for (;;) {
    chance *= (rounds - left) / (left + 1);
    below += chance;
    if (2 * below > ERROR) return left;
    left += 1;
  }
}

function medianOf(sorted: readonly number[]): number {
  const middle = sorted.length / 2;
  const [a = NaN, b = a] = sorted.slice(Math.ceil(middle) - 1, Math.floor(middle) + 1);
  return (a + b) / 2;
}

function quotient(value: number, by: number | undefined): number {
  if (by === undefined || by <= 0) throw new RangeError(`Cannot compare with ${String(by)}: nothing was measured`);
  return value / by;
}
