// Clocks for tests, in which nobody sleeps.

import type { Clock } from '../src/vocabulary/ports.ts';

const HOUR_MS = 3_600_000;
/** So many looks at the wall clock pass between two steps of it. */
const STEP_EVERY = 7;

/** Both times come from one function. */
export function clockOf(ms: () => number): Clock {
  return { nowMs: ms, monotonicMs: ms, sleep: () => Promise.resolve() };
}

/** On a node whose administrators and time servers set the wall clock: forward by an hour, back by two, and so on. */
export function steppingClock(ms: () => number): Clock {
  let looks = 0;
  const step = (): number => [0, HOUR_MS, -HOUR_MS][Math.floor(looks++ / STEP_EVERY) % 3] ?? 0;
  return { ...clockOf(ms), nowMs: () => 24 * HOUR_MS + ms() + step() };
}
