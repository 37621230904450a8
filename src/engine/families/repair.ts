// What an operation that failed has left in a family, put right before the next one builds on it. The background would do so
// a moment later; whoever comes before it must not find half of a change.

import type { Family } from '../../records/family.ts';
import { assert } from '../../vocabulary/errors.ts';
import type { EntityId } from '../../vocabulary/ids.ts';
import type { Context, FamilyState, PoolState } from '../state/context.ts';
import { readFamily, withFamilyOf } from '../state/context.ts';
import { beginFailedAnew } from './failed-merges.ts';
import { redate } from './redate.ts';
import { convergeFamily } from './converge-family.ts';
import { settle } from './commit.ts';
import { sweepFamily } from './sweep.ts';

/**
 * Under the family's lock, before anything is committed. What was deleted, and could not be removed yet, may hang on what is
 * about to be merged away: it would hang on nothing then, and the family could not be trusted any more. What has grown in the
 * records and not in the kernel is too small for a snapshot of its new size, which could not be shown from then on. Throws
 * what stands in the way, with nothing committed of what was asked for.
 */
export async function putRight(ctx: Context, state: FamilyState): Promise<FamilyState> {
  const { family } = state;
  const isUndated = ctx.unshown.values().some((one) => one.family === family.id);
  const isAsItShouldBe =
    family.rubbish.length === 0 && !ctx.stuck.has(family.id) && !ctx.unsettled.has(family.id) && !isUndated;
  if (isAsItShouldBe) return state;
  await tidy(ctx, family);
  // What else was to be done there, and failed, is not to be forgotten with that.
  ctx.goOn(family.id);
  return readAgain(ctx, state);
}

/** What was decided under a name, and could not be shown then, is shown before it is given to who asks again. */
export async function putRightFor(ctx: Context, { forest }: PoolState, id: EntityId): Promise<void> {
  const family = [...forest.families.values()].find(({ nodes }) => nodes.has(id));
  if (family === undefined) return;
  const isDated = !ctx.unshown.keys().some((one) => one === id);
  if (isDated && !ctx.stuck.has(family.id) && !ctx.unsettled.has(family.id)) return;
  await withFamilyOf(ctx, id, (state) => putRight(ctx, state));
}

/**
 * Under the family's lock: nothing is left of what was begun and not ended. What counts because of another is settled before
 * that other may be swept away. True when records have changed.
 */
export async function tidy(ctx: Context, family: Family): Promise<boolean> {
  await settle(ctx, family);
  await convergeFamily(ctx, family);
  const isRedated = await redate(ctx, family);
  await beginFailedAnew(ctx, family);
  const isSwept = await sweepFamily(ctx, family);
  ctx.unsettled.delete(family.id);
  return isSwept || isRedated || family.settled.length > 0;
}

/** The family and the node as they are now. */
export async function readAgain(ctx: Context, { family, node: { id } }: FamilyState): Promise<FamilyState> {
  const after = await readFamily(ctx, family.id);
  const node = after.family.nodes.get(id);
  assert(node !== undefined, `'${id}' has gone from its family in the middle of an operation`);
  return { ...after, node };
}
