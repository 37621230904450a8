// Reads and flushes, which cost as much for one as for many who ask: who asks while one is under way waits for the next,
// with all others who do. What they get was begun after they asked, so every change that they know of is in it.

export function shareNext<T>(work: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  let next: Promise<T> | undefined;

  const once = async (): Promise<T> => {
    try {
      return await work();
    } finally {
      running = undefined;
    }
  };
  const begin = (): Promise<T> => {
    next = undefined;
    running = once();
    return running;
  };

  return () => {
    if (next !== undefined) return next;
    if (running === undefined) return begin();
    next = running.then(begin, begin);
    return next;
  };
}
