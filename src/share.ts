// Reads and flushes, which cost as much for one as for many who ask: who asks while one is under way waits for the next,
// with all others who do. What they get was begun after they asked, so every change that they know of is in it.

/** One that takes longer is waited for by those who asked for it, and by nobody else: a disk may hang. */
const PATIENCE_MS = 10_000;

export function shareNext<T>(work: () => Promise<T>, patienceMs = PATIENCE_MS): () => Promise<T> {
  /** Until the last one that was begun has ended, or has had its time. */
  let underWay: Promise<void> | undefined;
  let next: Promise<T> | undefined;

  const begin = (): Promise<T> => {
    next = undefined;
    const result = work();
    const mine = endOrLimit(result, patienceMs);
    underWay = mine;
    void mine.finally(() => {
      if (underWay === mine) underWay = undefined;
    });
    return result;
  };

  return () => {
    if (next !== undefined) return next;
    if (underWay === undefined) return begin();
    next = underWay.then(begin);
    return next;
  };
}

function endOrLimit(result: Promise<unknown>, limitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, limitMs);
    timer.unref();
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    result.then(end, end);
  });
}
