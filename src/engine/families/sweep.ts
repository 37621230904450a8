// Removing stores that show nothing: what a crashed operation had prepared, what was superseded, and ghosts that nothing
// reads. Never a store whose records are in doubt: those families are not even handed here.

import type { Family } from '../../records/family.ts';
import { messageOf } from '../../vocabulary/errors.ts';
import type { StoreName } from '../../vocabulary/ids.ts';
import { mergedTag } from '../../records/tags.ts';
import type { Context } from '../state/context.ts';
import { commit } from './commit.ts';

/**
 * After converge: nothing of ours lies on rubbish any more. Leaves first, so that a crash between two leaves a true tree.
 * A store that LVM does not remove, because somebody has it open, is nobody's failure: it is written down as nobody's home,
 * hangs on nothing from then on, and goes another time. True when anything has changed.
 */
export async function sweepFamily(ctx: Context, family: Family): Promise<boolean> {
  ctx.unswept.delete(family.id);
  const undecided = family.undecided.filter(({ token }) => !ctx.underWay.has(token)).map(({ store }) => store);
  const stores: readonly StoreName[] = [...undecided, ...family.rubbish];
  let removed = 0;
  let renounced = 0;
  for (const store of stores) {
    if (await removeStore(ctx, family, store)) {
      removed += 1;
      continue;
    }
    ctx.unswept.add(family.id);
    if (isNobodys(family, store)) continue;
    await commit(ctx, store, [mergedTag], []);
    renounced += 1;
  }
  // Their extents must not be given out again while a power cut could still bring the old metadata back.
  if (removed > 0) await ctx.lvm.flush();
  return removed + renounced > 0;
}

/** False when it cannot be removed. One that is held open is not tried: LVM would wait for it for seconds, with its lock held. */
async function removeStore(ctx: Context, family: Family, store: StoreName): Promise<boolean> {
  if (ctx.left.get(family.id)?.has(store) === true) {
    ctx.log.warn({ store, family: family.id }, 'somebody has open a store that is to go');
    return false;
  }
  try {
    await ctx.lvm.remove(store);
  } catch (error) {
    ctx.log.warn({ store, family: family.id, error: messageOf(error) }, 'cannot remove a store yet');
    return false;
  }
  ctx.measured.delete(store);
  ctx.log.info({ store, family: family.id }, 'sweep');
  return true;
}

/** Counts for nothing, whatever it hangs on. */
function isNobodys({ records, undecided }: Family, store: StoreName): boolean {
  return records.get(store)?.merged === true || undecided.some((one) => one.store === store);
}
