// The time of a snapshot is that of its freeze. It is written when the snapshot is decided, a moment before; where the freeze
// failed then and came about later, the time is written anew, or the contents would be later than it says.

import type { Family } from '../dm/family.ts';
import type { Context } from './context.ts';
import { commitRecord } from './stores.ts';

/** Of a family that has converged just now. */
export function noteShown({ unshown, clock }: Context, family: Family): void {
  for (const [id, { shownMs }] of unshown) {
    if (family.nodes.has(id)) unshown.set(id, { family: family.id, shownMs: shownMs ?? clock.nowMs() });
  }
}

/** Under the family's lock. True when records have changed. */
export async function redate(ctx: Context, family: Family): Promise<boolean> {
  let isChanged = false;
  for (const [id, { family: of, shownMs }] of ctx.unshown) {
    if (of !== family.id) continue;
    const record = family.nodes.get(id)?.record;
    // Deleted meanwhile, or not shown yet.
    if (record !== undefined && shownMs === undefined) continue;
    if (record !== undefined && shownMs !== undefined) {
      await commitRecord(ctx, record, { ...record, entity: { ...record.entity, createdMs: shownMs } });
      isChanged = true;
    }
    ctx.unshown.delete(id);
  }
  return isChanged;
}
