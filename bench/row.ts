// What a row of the bench is, and what it is given.

import type { Place } from './place.ts';
import type { Figure, Plot } from './record.ts';
import type { Rounds } from './rounds.ts';
import { verdictOf } from './spread.ts';

/** Every figure that should reach something does, or does not: more rounds would say the same. */
export const isSettled = (figures: readonly Figure[]): boolean =>
  figures.every(({ ratio, wanted }) => wanted === undefined || verdictOf(ratio, wanted) !== 'unclear');

export interface Bench {
  readonly place: Place;
  /** A smaller matrix, the same measurements. */
  readonly quick: boolean;
  readonly rounds: Rounds;
  /** A line for who is watching. */
  readonly say: (line: string) => void;
}

export interface Findings {
  readonly figures: readonly Figure[];
  readonly notes: readonly string[];
  readonly plots?: readonly Plot[];
}

export interface Row {
  readonly row: number;
  readonly title: string;
  /** In words, as it stands over the table. */
  readonly wanted: string;
  readonly run: (bench: Bench) => Promise<Findings>;
}
