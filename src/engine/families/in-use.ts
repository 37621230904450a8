// What of a family is in use.

import type { InUse } from '../../converge/desired.ts';
import { inUseIn } from '../../converge/desired.ts';
import type { Family } from '../../records/family.ts';
import type { EntityId } from '../../vocabulary/ids.ts';
import type { Context } from '../state/context.ts';

export function inUseOf(ctx: Context, family: Family, pinned: readonly EntityId[] = []): InUse {
  return inUseIn(family, ctx.active, [...ctx.pinned, ...pinned]);
}

/**
 * Nobody uses anything of the family, nothing of it goes on in the kernel, and nothing is to be put right: what its records say
 * is all that there is, and its devices can follow later.
 */
export function isDormant(ctx: Context, family: Family): boolean {
  const { volumes, pinned } = inUseOf(ctx, family);
  const isShown = volumes.size > 0 || [...pinned].some((id) => family.nodes.has(id));
  const isWatched = (ctx.watched.get(family.id) ?? []).length > 0;
  return !isShown && !isWatched && !ctx.stuck.has(family.id) && !ctx.unsettled.has(family.id);
}
