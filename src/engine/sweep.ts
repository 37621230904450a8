// Removing stores that show nothing: what a crashed operation had prepared, what was superseded, and ghosts that nothing
// reads. Never a store whose records are in doubt: those families are not even handed here.

import type { Family } from '../dm/family.ts';
import type { StoreName } from '../ids.ts';
import type { Context } from './context.ts';

/** After converge: nothing of ours lies on rubbish any more. Leaves first, so that a crash between two leaves a true tree. */
export async function sweepFamily(ctx: Context, family: Family): Promise<void> {
  const undecided = family.undecided.filter(({ token }) => !ctx.underWay.has(token)).map(({ store }) => store);
  const stores: readonly StoreName[] = [...undecided, ...family.rubbish];
  if (stores.length === 0) return;
  for (const store of stores) {
    await ctx.lvm.remove(store);
    ctx.measured.delete(store);
    ctx.log.info({ store, family: family.id }, 'sweep');
  }
  // Their extents must not be given out again while a power cut could still bring the old metadata back.
  await ctx.lvm.flush();
}
