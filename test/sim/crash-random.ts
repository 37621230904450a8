// Random stories for the crash test: operations one after the other, drawn from what is there.

import { drawHabits, drawOperation } from '../contract/crash-draw.ts';
import type { Habits } from '../contract/crash-draw.ts';
import type { CrashOptions } from './crash-run.ts';
import { tell } from './crash-story.ts';

const MEMBERS = 12;

/** So many operations, with a crash at every point of each, or of none. */
export function randomly(operations: number, crashes = true): CrashOptions['next'] {
  let habits: Habits | undefined;
  return ({ index, random, fresh, model, shown }) => {
    if (index >= operations) return undefined;
    habits ??= drawHabits(random, MEMBERS);
    return { told: tell(drawOperation(random, fresh, model, shown, habits)), crashes };
  };
}
