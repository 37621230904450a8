// Reads and flushes, which cost as much for one as for many who ask: who asks while one is under way waits for the next,
// with all others who do. What they get was begun after they asked, so every change that they know of is in it.
//
// A disk may hang, or LVM's lock be held by somebody: then no more than two are under way, however often it is asked, and
// who asks is told so in place of waiting for ever.

import { SnapmergeError } from '../vocabulary/errors.ts';

export interface Sharing {
  /** What cannot be done then, as the beginning of an error: 'Cannot list devices'. */
  readonly what: string;
  /** One that takes longer is waited for by those who asked for it, and by nobody else. */
  readonly patienceMs?: number;
  /** Who has waited so long gets `unavailable`. Infinity: waits on, for what must come to its end. */
  readonly limitMs?: number;
  /** What keeps it, in words, asked for when somebody has waited in vain; undefined where that cannot be told. */
  readonly why?: () => Promise<string | undefined>;
}

const PATIENCE_MS = 10_000;
const LIMIT_MS = 60_000;
const MOST_UNDER_WAY = 2;

interface UnderWay {
  readonly sinceMs: number;
  /** Resolves when it has ended, however. */
  readonly end: Promise<void>;
}

export function shareNext<T>(work: () => Promise<T>, sharing: Sharing): () => Promise<T> {
  const { patienceMs = PATIENCE_MS, limitMs = LIMIT_MS } = sharing;
  /** Until the last one that was begun has ended, or has had its time. */
  let last: Promise<void> | undefined;
  let next: Promise<T> | undefined;
  const underWay = new Set<UnderWay>();

  const begin = (): Promise<T> => {
    next = undefined;
    const result = work();
    const one = { sinceMs: performance.now(), end: result.then(nothing, nothing) };
    underWay.add(one);
    void one.end.finally(() => underWay.delete(one));
    const mine = inTime(one.end, patienceMs).then(nothing);
    last = mine;
    void mine.finally(() => {
      if (last === mine) last = undefined;
    });
    return limited(result, sharing);
  };

  /** Resolves when another may begin. */
  const turn = async (): Promise<void> => {
    await last;
    while (underWay.size >= MOST_UNDER_WAY) {
      const hungMs = performance.now() - Math.min(...[...underWay].map(({ sinceMs }) => sinceMs));
      const end = Promise.race([...underWay].map((one) => one.end));
      if (!(await inTime(end, Math.max(0, limitMs - hungMs)))) {
        next = undefined;
        throw await noAnswer(sharing, hungMs);
      }
    }
  };

  return () => {
    if (next !== undefined) return next;
    if (last === undefined && underWay.size < MOST_UNDER_WAY) return begin();
    next = turn().then(begin);
    return next;
  };
}

/** `unavailable` for who has waited so long; the work itself goes on. */
export async function limited<T>(result: Promise<T>, sharing: Omit<Sharing, 'patienceMs'>): Promise<T> {
  const { limitMs = LIMIT_MS } = sharing;
  if (!(await inTime(result.then(nothing, nothing), limitMs))) throw await noAnswer(sharing, limitMs);
  return result;
}

async function noAnswer({ what, why }: Sharing, sinceMs: number): Promise<SnapmergeError> {
  const reason = (await why?.().catch(() => undefined)) ?? 'a disk hangs';
  return new SnapmergeError('unavailable', `${what}: no answer for ${Math.round(sinceMs / 1000)} s: ${reason}`);
}

const nothing = (): void => undefined;

/** Whether it ends within so many milliseconds. */
async function inTime(end: Promise<void>, limitMs: number): Promise<boolean> {
  if (limitMs === Number.POSITIVE_INFINITY) return end.then(() => true);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), limitMs);
    timer.unref();
    void end.finally(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
