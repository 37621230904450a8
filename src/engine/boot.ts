// What a pool's engine does before it serves: which volumes are staged, what has lost its record, and which families have
// something to do.

import { MOST_NESTED } from '../converge/depth.ts';
import { desired } from '../converge/desired.ts';
import type { Family } from '../records/family.ts';
import type { Observed } from '../dm/kernel.ts';
import { ofFamily } from '../converge/converge.ts';
import { plan } from '../converge/plan.ts';
import { nested } from '../converge/tails.ts';
import { messageOf } from '../vocabulary/errors.ts';
import { entityOf, isTop, isVolumeId } from '../vocabulary/ids.ts';
import type { Context } from './state/context.ts';
import { inUseOf } from './families/in-use.ts';
import { readPool } from './state/context.ts';
import { removeOrphans } from './families/orphans.ts';
import { noteUntaken } from './families/redate.ts';
import { stagedDepth } from './families/depth.ts';

/** What is staged is what has a top device: the kernel remembers it for as long as it must be remembered. */
export async function begin(ctx: Context): Promise<void> {
  const { report, forest } = await readPool(ctx);
  for (const { family, reason, stores } of forest.troubles)
    ctx.log.error({ family, stores, reason }, 'family is left alone');
  const observed = await ctx.kernel.observe('without-statuses');
  for (const key of observed.devices.keys()) {
    const id = entityOf(key);
    if (isTop(key) && id !== undefined && isVolumeId(id)) ctx.active.add(id);
  }
  await removeOrphans(ctx, forest, observed);
  ctx.log.info(
    {
      families: forest.families.size,
      active: ctx.active.size,
      stores: report.stores.length,
      strangers: report.strangers,
    },
    'pool read',
  );
  for (const family of forest.families.values()) beginFamily(ctx, family, observed);
}

/** Whoever comes before the background puts right what a driver that died has left. */
function beginFamily(ctx: Context, family: Family, observed: Observed): void {
  try {
    if (nested(ofFamily(observed, family)).length > 0) ctx.nested.add(family.id);
    noteUntaken(ctx, family, ofFamily(observed, family));
    if (hasWork(ctx, family, observed)) {
      ctx.unsettled.add(family.id);
      ctx.goOn(family.id);
    }
    for (const id of inUseOf(ctx, family).volumes) {
      const depth = stagedDepth(ctx, family, id);
      if (depth > MOST_NESTED)
        ctx.log.warn({ volume: id, depth, most: MOST_NESTED }, 'volume lies too deep and is left so');
    }
  } catch (error) {
    ctx.stuck.set(family.id, messageOf(error));
    ctx.log.error({ family: family.id, error: messageOf(error) }, 'family cannot be begun');
  }
}

/** Not exactly as it should be, or on its way somewhere. */
function hasWork(ctx: Context, family: Family, observed: Observed): boolean {
  const leftovers = family.rubbish.length + family.undecided.length + family.settled.length;
  const unfinished = [...family.nodes.values()].some(
    ({ record, readers }) =>
      record.wish !== undefined ||
      record.restore !== undefined ||
      record.merging !== undefined ||
      (record.deleted && readers.length === 1),
  );
  const steps = plan(ofFamily(observed, family), desired(family, inUseOf(ctx, family)));
  return leftovers > 0 || unfinished || steps.length > 0 || ofFamily(observed, family).devices.size > 0;
}
