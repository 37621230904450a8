// One at a time per key: calls on the same volume or name wait for each other, and a line that grows too long is refused.

import { fail } from '../vocabulary/errors.ts';

export type Keyed = <T>(key: string, run: () => Promise<T>) => Promise<T>;

const MAX_WAITING = 16;

/** `what` names the key in the refusal: `volume`, `name`. */
export function createKeyed(what: string, maxWaiting: number = MAX_WAITING): Keyed {
  const lines = new Map<string, { tail: Promise<unknown>; length: number }>();
  return async (key, run) => {
    const line = lines.get(key) ?? { tail: Promise.resolve(), length: 0 };
    if (line.length > maxWaiting) fail('busy', `Cannot begin on ${what} '${key}': ${line.length} calls are under way`);
    lines.set(key, line);
    line.length += 1;
    const turn = line.tail.then(run, run);
    line.tail = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      line.length -= 1;
      if (line.length === 0) lines.delete(key);
    }
  };
}
