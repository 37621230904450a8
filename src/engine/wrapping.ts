// What every call that changes something is wrapped in: room that is about to come, changes on the disks, and no final error
// after a commit.

import type { ErrorKind } from '../vocabulary/errors.ts';
import { SnapmergeError } from '../vocabulary/errors.ts';
import type { Context, PoolState } from './state/context.ts';
import { readPool } from './state/context.ts';

/** A request may take so long to find that there is no room. */
const ROOM_LIMIT_MS = 20_000;

/** What may go wrong after a commit; other kinds of error are found before it. */
const FAILS_LATE: ReadonlySet<ErrorKind> = new Set(['internal', 'precondition', 'contradiction', 'exhausted']);

type Wrap = <T>(work: () => Promise<T>) => Promise<T>;

export interface Wrapping {
  readonly ctx: Context;
  /** Resolves when the background has done all that it can, or the time is over. */
  readonly quiet: (limitMs: number) => Promise<unknown>;
  /** Has the next report read anew. */
  readonly forget: () => void;
  readonly flushOwed: () => Promise<void>;
}

export interface Wrapped {
  /** For what takes no room. */
  readonly durable: Wrap;
  readonly withRoom: Wrap;
  /** For what makes something under a name; `isThere` tells whether it has been decided. */
  readonly making: <T>(work: () => Promise<T>, isThere: (state: PoolState) => boolean) => Promise<T>;
}

export function wrapping({ ctx, quiet, forget, flushOwed }: Wrapping): Wrapped {
  /**
   * What has been deleted or merged gives its room back a moment later: who lacks room asks again when that has been done. And
   * others give theirs back without a word, so nobody is refused by what was read before.
   */
  const afterRoom = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof SnapmergeError && error.kind === 'exhausted')) throw error;
      await quiet(ROOM_LIMIT_MS);
      forget();
      return work();
    }
  };

  // What is answered is on the disks, also where it was committed by a call whose flush failed, or a driver that died.
  const durable = async <T>(work: () => Promise<T>): Promise<T> => {
    const result = await work();
    await flushOwed();
    return result;
  };

  /**
   * Once a thing is decided, its making fails for good no more: whoever asked would believe that there is nothing, and nobody
   * would ever delete it. Asked again, it is there.
   */
  const decided = async <T>(work: () => Promise<T>, isThere: (state: PoolState) => boolean): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof SnapmergeError) || !FAILS_LATE.has(error.kind)) throw error;
      const found = await readPool(ctx)
        .then(isThere)
        // Also where its records contradict each other: it is there, and a final answer would leave it to nobody.
        .catch(() => true);
      if (!found) throw error;
      throw new SnapmergeError('unavailable', error.message, { cause: error });
    }
  };

  const withRoom: Wrap = (work) => durable(() => afterRoom(work));
  return { durable, withRoom, making: (work, isThere) => decided(() => withRoom(work), isThere) };
}
