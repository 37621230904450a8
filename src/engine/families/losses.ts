// Which stores have lost their contents: what of the kernel's word to believe, and when.

import type { Family } from '../../records/family.ts';
import type { SnapshotStatus } from '../../dm/status.ts';
import type { Table } from '../../dm/table.ts';
import { heldStores } from '../../dm/table.ts';
import type { StoreName } from '../../vocabulary/ids.ts';
import type { Context } from '../state/context.ts';

/**
 * Under the family's lock, when nothing is being handed over: what is in use and invalid now is lost. True when something
 * is that was not known to be.
 */
export async function confirmLosses(ctx: Context, family: Family): Promise<boolean> {
  const { records } = family;
  const suspects = [...ctx.suspects].filter((store) => records.has(store));
  if (suspects.length === 0) return false;
  const { devices } = await ctx.kernel.observe();
  const before = ctx.lost.size;
  for (const store of suspects) {
    ctx.suspects.delete(store);
    const holders = [...devices.values()].filter(({ live }) => heldStores(live).includes(store));
    const invalid = holders.find(({ live, suspended, status }) => !suspended && isLoss(live, status));
    // A table whose exceptions have been handed over is called invalid too.
    if (holders.some(({ live, status }) => status !== undefined && !isLoss(live, status))) continue;
    if (invalid === undefined) continue;
    noteLost(ctx, family, store, invalid.status?.state);
  }
  return ctx.lost.size > before;
}

export function noteLost(ctx: Context, { id }: Family, store: StoreName, state: string | undefined): void {
  if (ctx.lost.has(store)) return;
  ctx.lost.add(store);
  ctx.log.error({ family: id, store, state }, 'store has lost its contents');
}

/** Not so a merge that the kernel has given up, what it has not moved is in its store, and not so a fork whose store is full. */
function isLoss(live: Table | undefined, status: SnapshotStatus | undefined): boolean {
  return live?.[0]?.type === 'snapshot' && status?.state === 'invalid';
}
