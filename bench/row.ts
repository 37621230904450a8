// What a row of the bench is, and what it is given.

import type { Place } from './place.ts';
import type { Figure, Plot } from './record.ts';

export interface Bench {
  readonly place: Place;
  /** A smaller matrix, the same measurements. */
  readonly quick: boolean;
  readonly rounds: number;
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
