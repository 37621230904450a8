// Stores give back what they do not use, and cows that extensions have left nested become flat.

import { fittingSize } from '../../dm/cow.ts';
import { isFed, parentOf } from '../../records/family.ts';
import type { Family } from '../../records/family.ts';
import { ofFamily } from '../../converge/converge.ts';
import { nested } from '../../converge/tails.ts';
import type { PoolReport } from '../../lvm/lvm.ts';
import { bytes, minBytes, toBytes } from '../../vocabulary/units.ts';
import type { Context } from '../state/context.ts';
import { shrinkStore, storeReport } from '../families/stores.ts';
import { convergeFamily } from '../families/converge-family.ts';
import { shrinkMeasured } from '../operations/create-snapshot.ts';

/** Extensions leave one device more each below a store; where there is room again, nobody is about to reach its end. */
export async function layFlat(ctx: Context, family: Family): Promise<void> {
  if (!ctx.nested.has(family.id)) return;
  const watched = ctx.watched.get(family.id) ?? [];
  const observed = ofFamily(await ctx.kernel.observe('without-statuses'), family);
  const stores = nested(observed);
  if (stores.length === 0) {
    ctx.nested.delete(family.id);
    return;
  }
  const statuses = await ctx.kernel.statuses();
  const calm = stores.filter((store) => {
    const one = watched.find((candidate) => candidate.store === store);
    const status = one === undefined ? undefined : statuses.get(one.device);
    const size = ctx.sizes.get(store);
    if (status?.state !== 'counts' || size === undefined) return false;
    return size - toBytes(status.used) >= minBytes(ctx.headroom.size, bytes(size / 8n));
  });
  if (calm.length > 0) await convergeFamily(ctx, family, { flatten: new Set(calm) });
}

/** A snapshot that is no longer fed keeps only what it uses. */
export async function shrinkUnfed(ctx: Context, report: PoolReport, family: Family): Promise<void> {
  const idle = (ctx.watched.get(family.id) ?? []).filter(({ fed, kind }) => !fed && kind === 'snapshot');
  if (idle.length === 0) return;
  const statuses = await ctx.kernel.statuses();
  for (const { device, store } of idle) {
    const status = statuses.get(device);
    if (status?.state !== 'counts') continue;
    const size = fittingSize(toBytes(status.used), report.extent);
    if (size < storeReport(report, store).size) await shrinkStore(ctx, store, size);
  }
}

/** The same where it shows no more: by what was read when its device went. */
export async function shrinkDormant(ctx: Context, report: PoolReport, family: Family): Promise<boolean> {
  let some = false;
  for (const node of family.nodes.values()) {
    const parent = parentOf(family, node);
    const fed = parent === undefined || isFed(family, node);
    if (!fed) some = (await shrinkMeasured(ctx, report, node)) || some;
  }
  return some;
}
