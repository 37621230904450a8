// Lists in pages. A token is the place after which the next page begins, in an order that later deletions and creations
// do not change: by creation time, then id.

import { fail } from '../vocabulary/errors.ts';

export interface Listed {
  readonly createdMs: number;
  readonly handle: string;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Empty on the last page. */
  readonly nextToken: string;
}

const TOKEN = /^(\d{1,16})@([A-Za-z0-9.-]{1,100})$/;

/** `busy` (ABORTED) for a token that was never given out, as the standard asks. 0 entries: all. */
export function page<T extends Listed>(items: readonly T[], startingToken: string, maxEntries: number): Page<T> {
  const sorted = [...items].sort(order);
  const after = startingToken === '' ? undefined : placeOf(startingToken);
  const rest = after === undefined ? sorted : sorted.filter((item) => order(item, after) > 0);
  const taken = maxEntries === 0 ? rest : rest.slice(0, maxEntries);
  const last = taken.at(-1);
  const more = last !== undefined && taken.length < rest.length;
  return { items: taken, nextToken: more ? `${last.createdMs}@${last.handle}` : '' };
}

function order(a: Listed, b: Listed): number {
  if (a.createdMs !== b.createdMs) return a.createdMs - b.createdMs;
  if (a.handle === b.handle) return 0;
  return a.handle < b.handle ? -1 : 1;
}

function placeOf(token: string): Listed {
  const [, createdMs, handle] = TOKEN.exec(token) ?? [];
  if (createdMs !== undefined && handle !== undefined) return { createdMs: Number(createdMs), handle };
  return fail('busy', 'Cannot list from this starting_token: it is none of ours; begin again without');
}
