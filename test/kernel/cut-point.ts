// Where in an operation the power fails: between two effects of the driver, between two writes of the disks wherever those
// are in a command, or in the middle of a merge. Drawn only; nothing happens here.

import type { Operation } from '../contract/crash-operation.ts';
import type { Random } from '../contract/random.ts';

export type Point =
  /** Before the effect after so many of the driver's. */
  | { readonly at: 'step'; readonly effects: number }
  /** Before the change after so many of the disks. */
  | { readonly at: 'request'; readonly changes: number }
  /** The same, counted from the moment before a merge begins. */
  | { readonly at: 'merge'; readonly changes: number };

/** How many effects the last operations of each kind had. */
export type Lengths = Map<Operation['do'] | 'start', number>;

const FIRST_GUESS = 12;
/** An effect is some ten writes and flushes of the disks. */
const CHANGES_AN_EFFECT = 8;
const CHANGES_IN_MERGE = 40;

/** Mostly within what such an operation did the last time; some cuts fall just after its end. */
export function drawPoint(random: Random, lengths: Lengths, what: Operation['do'] | 'start', at: Point['at']): Point {
  const effects = (lengths.get(what) ?? FIRST_GUESS) + 1;
  switch (at) {
    case 'step':
      return { at, effects: random.below(effects) };
    case 'request':
      return { at, changes: random.below(effects * CHANGES_AN_EFFECT) };
    case 'merge':
      return { at, changes: random.below(CHANGES_IN_MERGE) };
  }
}

export function pointText(point: Point): string {
  switch (point.at) {
    case 'step':
      return `after ${point.effects} effects`;
    case 'request':
      return `after ${point.changes} changes of the disks`;
    case 'merge':
      return `after ${point.changes} changes of the disks since a merge began`;
  }
}
