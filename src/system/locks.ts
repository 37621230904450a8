// One operation at a time for each key (a family, a name, a volume). First come, first served, within this process: one driver
// per node owns a pool.

import { fail } from '../vocabulary/errors.ts';

export interface Locks {
  readonly run: <T>(key: string, work: () => Promise<T>) => Promise<T>;
  readonly isHeld: (key: string) => boolean;
  /** Resolves when nothing is held or waited for. */
  readonly idle: () => Promise<void>;
}

export interface LineLimit {
  /** What a key is, in the refusal: `volume`, `volume name`. */
  readonly what: string;
  /** Whoever finds more than so many in the line is refused with `busy`. */
  readonly most: number;
}

export function createLocks(limit?: LineLimit): Locks {
  const lines = new Map<string, { tail: Promise<unknown>; length: number }>();
  return {
    run: async (key, work) => {
      const line = lines.get(key) ?? { tail: Promise.resolve(), length: 0 };
      if (limit !== undefined && line.length > limit.most)
        fail('busy', `Cannot begin on ${limit.what} '${key}': ${line.length} calls are under way`);
      lines.set(key, line);
      line.length += 1;
      const turn = line.tail.then(work);
      line.tail = turn.catch(() => undefined);
      try {
        return await turn;
      } finally {
        line.length -= 1;
        if (line.length === 0) lines.delete(key);
      }
    },
    isHeld: (key) => lines.has(key),
    idle: async () => {
      while (lines.size > 0) await Promise.all([...lines.values()].map(({ tail }) => tail));
    },
  };
}
