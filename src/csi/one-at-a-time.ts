// Calls on the same volume or name wait for each other, and a line that grows too long is refused: sidecars ask again.

import { createLocks } from '../system/locks.ts';
import type { Locks } from '../system/locks.ts';

const MOST_WAITING = 16;

export type OneAtATime = Locks['run'];

/** `what` names the key in the refusal: `volume`, `volume name`. */
export function oneAtATime(what: string): OneAtATime {
  return createLocks({ what, most: MOST_WAITING }).run;
}
