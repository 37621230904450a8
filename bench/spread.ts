// What rounds say together, pure: a median, how far apart the rounds were, and whether that can be believed.

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly rounds: number;
}

/** What a ratio should be: at least, or at most. */
export interface Wanted {
  readonly atLeast?: number | undefined;
  readonly atMost?: number | undefined;
}

/** `unclear`: some rounds reach it and some do not. */
export type Verdict = 'yes' | 'no' | 'unclear';

/** Rounds that differ by more than half of their median tell an order of magnitude and no more. */
const WIDEST = 0.5;

export function spreadOf(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b);
  const [low] = sorted;
  const high = sorted.at(-1);
  if (low === undefined || high === undefined) throw new RangeError('Cannot tell the spread of no rounds');
  return { median: medianOf(sorted), low, high, rounds: sorted.length };
}

/** Round by round, because what disturbs a machine disturbs neighbours in time alike. */
export function ratiosOf(ours: readonly number[], theirs: readonly number[]): Spread {
  if (ours.length !== theirs.length) {
    throw new RangeError(`Cannot compare ${ours.length} rounds with ${theirs.length}`);
  }
  return spreadOf(ours.map((value, round) => quotient(value, theirs[round])));
}

export function isWide({ median, low, high }: Spread): boolean {
  return high - low > WIDEST * Math.abs(median);
}

export function verdictOf({ low, high }: Spread, { atLeast = -Infinity, atMost = Infinity }: Wanted): Verdict {
  if (low >= atLeast && high <= atMost) return 'yes';
  return high < atLeast || low > atMost ? 'no' : 'unclear';
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
