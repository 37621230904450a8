// What goes on by itself: families that have something to do, side by side, because one may wait for room that only another
// can give back; and the monitor's looks, because a store that fills waits for nobody.

import { messageOf } from '../../vocabulary/errors.ts';
import type { VolumeId } from '../../vocabulary/ids.ts';
import type { Clock, Log } from '../../vocabulary/ports.ts';

export interface BackgroundPorts {
  readonly clock: Clock;
  readonly log: Log;
  /** Brings a family to where it should be; false when that could not be done. */
  readonly advance: (family: VolumeId) => Promise<boolean>;
  /** Families that would not go on, or wait for something: they are tried again from time to time. */
  readonly retried: () => Iterable<VolumeId>;
  /** One look of the monitor: milliseconds until the next. */
  readonly look: () => Promise<number>;
  /** Hears of every look. */
  readonly looked: ((ok: boolean, seconds: number) => void) | undefined;
}

export interface Background {
  /** This family may have something to do. */
  readonly goOn: (family: VolumeId) => void;
  readonly lookNow: () => void;
  /** All that is due now, by the caller. */
  readonly advanceDue: () => Promise<void>;
  readonly start: () => void;
  /** False at once when nothing goes on by itself; otherwise true when nothing does any more, or after so many milliseconds. */
  readonly quiet: (limitMs: number) => Promise<boolean>;
  readonly stop: () => Promise<void>;
}

/** How often a family that would not go on is tried again. */
const RETRY_MS = 30_000;
/** Families that go on at once: most of what they do, LVM does for one after the other. */
const AT_ONCE = 8;
/** After a look that failed. */
const LOOK_AGAIN_MS = 5_000;
/**
 * A look that takes longer is not waited for: it may be held up by one store, which the next one goes past. So there are no
 * more of them than stores that hang, and as many as fit into the time that a status may take.
 */
const LOOK_PATIENCE_MS = 2_000;
/** A family that takes longer than this takes no place of others: it may hang in the kernel. */
const HUNG_MS = 60_000;

export function createBackground(ports: BackgroundPorts): Background {
  const { clock, log } = ports;
  const due = new Set<VolumeId>();
  const ending = new AbortController();
  let nudge = new AbortController();
  let lookNow = new AbortController();
  let ended: Promise<unknown> | undefined;
  const running = new Map<VolumeId, { readonly done: Promise<void>; readonly sinceMs: number }>();
  let waiters: AbortController[] = [];

  const advanceOne = async (family: VolumeId): Promise<void> => {
    due.delete(family);
    // What failed is tried again after a while, whoever has asked for it meanwhile.
    if (!(await ports.advance(family))) due.delete(family);
  };
  const advanceDue = async (): Promise<void> => {
    for (const family of due) await advanceOne(family);
  };
  const isQuiet = (): boolean => due.size === 0 && running.size === 0;
  const tellQuiet = (): void => {
    for (const waiter of waiters) waiter.abort();
    waiters = [];
  };
  const begin = (family: VolumeId): void => {
    const done = advanceOne(family).finally(() => {
      running.delete(family);
      if (isQuiet()) tellQuiet();
      nudge.abort();
    });
    running.set(family, { done, sinceMs: clock.monotonicMs() });
  };
  const isFull = (): boolean => {
    const nowMs = clock.monotonicMs();
    return [...running.values()].filter(({ sinceMs }) => nowMs - sinceMs < HUNG_MS).length >= AT_ONCE;
  };
  const advancing = async (): Promise<void> => {
    let retriedMs = clock.monotonicMs();
    while (!ending.signal.aborted) {
      nudge = new AbortController();
      for (const family of due) if (!running.has(family) && !isFull()) begin(family);
      await clock.sleep(RETRY_MS, nudge.signal);
      if (clock.monotonicMs() - retriedMs >= RETRY_MS) {
        retriedMs = clock.monotonicMs();
        for (const family of ports.retried()) due.add(family);
      }
    }
    await Promise.all([...running.values()].map(({ done }) => done));
    tellQuiet();
  };
  const look = async (): Promise<number> => {
    const begunMs = clock.monotonicMs();
    const tell = (ok: boolean): void => ports.looked?.(ok, (clock.monotonicMs() - begunMs) / 1000);
    try {
      const delayMs = await ports.look();
      tell(true);
      return delayMs;
    } catch (error) {
      log.error({ error: messageOf(error) }, 'monitor failed');
      tell(false);
      return LOOK_AGAIN_MS;
    }
  };
  const lookForAWhile = async (): Promise<number> => {
    const inTime = new AbortController();
    const late = clock.sleep(LOOK_PATIENCE_MS, AbortSignal.any([inTime.signal, ending.signal])).then(() => {
      if (!inTime.signal.aborted && !ending.signal.aborted)
        log.warn({ waitedMs: LOOK_PATIENCE_MS }, 'monitor is held up');
      return 0;
    });
    const delayMs = await Promise.race([look(), late]);
    inTime.abort();
    return delayMs;
  };
  const watching = async (): Promise<void> => {
    while (!ending.signal.aborted) {
      lookNow = new AbortController();
      const delayMs = await lookForAWhile();
      if (!ending.signal.aborted) await clock.sleep(delayMs, lookNow.signal);
    }
  };

  return {
    goOn: (family) => {
      due.add(family);
      nudge.abort();
    },
    lookNow: () => lookNow.abort(),
    advanceDue,
    start: () => {
      ended = Promise.all([advancing(), watching()]);
    },
    quiet: async (limitMs) => {
      if (ended === undefined || ending.signal.aborted || isQuiet()) return false;
      const waiter = new AbortController();
      waiters.push(waiter);
      await clock.sleep(limitMs, waiter.signal);
      waiters = waiters.filter((other) => other !== waiter);
      return true;
    },
    stop: async () => {
      ending.abort();
      nudge.abort();
      lookNow.abort();
      await ended;
    },
  };
}
