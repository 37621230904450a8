// Waits for a condition, never for a time: with a limit, and without keeping the machine busy.

import { setTimeout as pause } from 'node:timers/promises';

const LOOK_EVERY_MS = 25;
/** For looks that run something in a guest: they take its processor from what is waited for. */
export const LOOK_IN_GUEST_EVERY_MS = 400;

/** The first value of `look` that is not undefined, or undefined when the limit has passed. */
export const waitFor = async <T>(
  limitMs: number,
  look: () => T | undefined | Promise<T | undefined>,
  everyMs: number = LOOK_EVERY_MS,
): Promise<T | undefined> => {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined || performance.now() > endMs) return found;
    await pause(everyMs);
  }
};
