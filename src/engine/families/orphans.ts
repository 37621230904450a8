// Devices for something that no record names any more. Those that show nothing are taken away; the others nobody touches.

import type { Forest } from '../../records/family.ts';
import type { Observed, ObservedDevice } from '../../dm/kernel.ts';
import { HeldOpen } from '../../dm/kernel.ts';
import { showsErrors } from '../../dm/table.ts';
import { isTail, isTop, ownerOf } from '../../vocabulary/ids.ts';
import type { Context } from '../state/context.ts';

/** True when none is left that somebody has open. */
export async function removeOrphans(ctx: Context, forest: Forest, observed: Observed): Promise<boolean> {
  const records = [...forest.families.values()].flatMap((family) => [...family.records.values()]);
  const known = new Set<string | undefined>([
    ...records.flatMap(({ entity, store }) => [entity.id, store]),
    ...forest.troubles.flatMap(({ entities, stores }) => [...entities, ...stores]),
  ]);
  let isDone = true;
  for (const device of observed.devices.values()) {
    if (known.has(ownerOf(device.key)) || !showsNothing(device)) continue;
    if (device.openCount === 0) isDone = (await isRemoved(ctx, device)) && isDone;
    else isDone = false;
  }
  return isDone;
}

/** It never got a table, is the tail of a store that is gone, or was left behind for whoever had it open. */
function showsNothing({ key, live, inactive }: ObservedDevice): boolean {
  if (isTail(key) || (live === undefined && inactive === undefined)) return true;
  return !isTop(key) && inactive === undefined && showsErrors(live);
}

async function isRemoved(ctx: Context, { key }: ObservedDevice): Promise<boolean> {
  try {
    await ctx.kernel.apply([{ do: 'remove', device: key }]);
    return true;
  } catch (error) {
    if (error instanceof HeldOpen) return false;
    throw error;
  }
}
