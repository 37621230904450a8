// Work by key: each key is worked on by one at a time, not before it is due, and again after a growing pause when that fails.
// What is asked for while it is worked on is done once more afterwards.

import type { Clock } from '../../vocabulary/ports.ts';

export interface Queue {
  /** No later than in `delayMs`; earlier if somebody has asked for that. */
  readonly add: (key: string, delayMs: number) => void;
  /** Works until the signal fires, then until what is under way has ended. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

export interface QueueOptions {
  readonly clock: Pick<Clock, 'monotonicMs' | 'sleep'>;
  /** When the key is due again, in milliseconds; undefined: when it is added again. */
  readonly work: (key: string) => Promise<number | undefined>;
  readonly failed: (key: string, error: unknown, againMs: number) => void;
  readonly workers: number;
  readonly firstRetryMs: number;
  readonly mostRetryMs: number;
}

/** A pause without work is no longer than this, whatever the clock says. */
const LONGEST_MS = 60_000;

export function createQueue({ clock, work, failed, workers, firstRetryMs, mostRetryMs }: QueueOptions): Queue {
  const due = new Map<string, number>();
  const busy = new Map<string, Promise<void>>();
  const failures = new Map<string, number>();
  let wake = new AbortController();

  const add = (key: string, delayMs: number): void => {
    const at = clock.monotonicMs() + delayMs;
    due.set(key, Math.min(at, due.get(key) ?? Infinity));
    wake.abort();
  };
  const one = async (key: string): Promise<void> => {
    try {
      const againMs = await work(key);
      failures.delete(key);
      if (againMs !== undefined) add(key, againMs);
    } catch (error) {
      const count = failures.get(key) ?? 0;
      failures.set(key, count + 1);
      const againMs = Math.min(firstRetryMs * 2 ** count, mostRetryMs);
      failed(key, error, againMs);
      add(key, againMs);
    } finally {
      busy.delete(key);
      wake.abort();
    }
  };
  /** How long until the next one could begin. */
  const begin = (): number => {
    const now = clock.monotonicMs();
    let pauseMs = LONGEST_MS;
    for (const [key, at] of [...due].toSorted(([, a], [, b]) => a - b)) {
      if (busy.size >= workers) return LONGEST_MS;
      if (busy.has(key)) continue;
      if (at > now) {
        pauseMs = Math.min(pauseMs, at - now);
        continue;
      }
      due.delete(key);
      busy.set(key, one(key));
    }
    return pauseMs;
  };
  return {
    add,
    run: async (signal) => {
      const end = (): void => wake.abort();
      signal.addEventListener('abort', end, { once: true });
      while (!signal.aborted) {
        wake = new AbortController();
        const pauseMs = begin();
        await clock.sleep(pauseMs, wake.signal);
      }
      await Promise.all(busy.values());
    },
  };
}
