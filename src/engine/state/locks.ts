// One operation at a time for each key (a family, a name). First come, first served, within this process: one driver
// per node owns a pool.

export interface Locks {
  readonly run: <T>(key: string, work: () => Promise<T>) => Promise<T>;
  readonly isHeld: (key: string) => boolean;
  /** Resolves when nothing is held or waited for. */
  readonly idle: () => Promise<void>;
}

export function createLocks(): Locks {
  const tails = new Map<string, Promise<unknown>>();
  return {
    run: (key, work) => {
      const result = (tails.get(key) ?? Promise.resolve()).then(work);
      const tail = result.catch(() => undefined);
      tails.set(key, tail);
      void tail.finally(() => {
        if (tails.get(key) === tail) tails.delete(key);
      });
      return result;
    },
    isHeld: (key) => tails.has(key),
    idle: async () => {
      while (tails.size > 0) await Promise.all(tails.values());
    },
  };
}
