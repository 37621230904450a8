// Delta debugging: from a list that fails to a short one that fails in the same way. What fails, and how, is for the caller
// to say; here is only what to try next, and when to stop.

export interface ShrinkOptions<T> {
  /** What of it was really used, if it still fails in the same way; undefined if it does not. */
  readonly failing: (items: readonly T[]) => Promise<readonly T[] | undefined>;
  /** Simpler forms of one item, the simplest first; each is smaller than what it is made from, so that this ends. */
  readonly simpler: (item: T) => readonly T[];
  readonly maxTries: number;
  /** Asked before each try. */
  readonly isLate: () => boolean;
}

export interface Shrunk<T> {
  readonly items: readonly T[];
  readonly tries: number;
  /** Nothing more can be left out alone; false when time or tries ran out. */
  readonly finished: boolean;
}

/** Leaves out halves, quarters, and so on down to single items, then makes those that are left simpler, until nothing helps. */
export async function shrink<T>(all: readonly T[], options: ShrinkOptions<T>): Promise<Shrunk<T>> {
  const { failing, simpler, maxTries, isLate } = options;
  let items = all;
  let tries = 0;
  const isOver = (): boolean => tries >= maxTries || isLate();
  const adopt = async (candidate: readonly T[]): Promise<boolean> => {
    if (isOver()) return false;
    tries += 1;
    const used = await failing(candidate);
    if (used === undefined) return false;
    items = used;
    return true;
  };
  const dropPieces = async (length: number): Promise<boolean> => {
    let dropped = false;
    // From the end: what comes later hangs on what came before.
    for (let end = items.length; end > 0; end = Math.min(end - length, items.length)) {
      const start = Math.max(0, end - length);
      if (await adopt([...items.slice(0, start), ...items.slice(end)])) dropped = true;
    }
    return dropped;
  };
  const simplify = async (): Promise<boolean> => {
    let simplified = false;
    for (let index = items.length - 1; index >= 0; index -= 1) {
      for (let again = true; again;) {
        again = false;
        const item = items[index];
        for (const form of item === undefined ? [] : simpler(item)) {
          if (!(await adopt(items.with(index, form)))) continue;
          [simplified, again] = [true, true];
          break;
        }
      }
    }
    return simplified;
  };
  for (let length = Math.ceil(items.length / 2); length > 1; length = Math.ceil(length / 2)) await dropPieces(length);
  for (let helped = true; helped;) {
    helped = await dropPieces(1);
    if (await simplify()) helped = true;
  }
  return { items, tries, finished: !isOver() };
}
