// Merges that the kernel has given up, because a disk did not read or write: nothing is lost by that, what was not moved is
// read from its store. They begin anew after a while, as often as it takes, so that what a disk could not do for a moment
// stops nothing for good.

import { ofFamily } from '../dm/converge.ts';
import type { Family } from '../dm/family.ts';
import type { VolumeId } from '../ids.ts';
import type { Context } from './context.ts';
import { convergeFamily } from './shown.ts';

const FIRST_MS = 10_000;
const LONGEST_MS = 300_000;

/** The monitor saw one. */
export function noteFailed(ctx: Context, family: VolumeId): void {
  const nowMs = ctx.clock.nowMs();
  const retry = ctx.failedMerges.get(family) ?? { atMs: nowMs, thenMs: FIRST_MS };
  ctx.failedMerges.set(family, retry);
  if (nowMs >= retry.atMs) ctx.goOn(family);
}

/**
 * Under the family's lock, converged. The kernel takes no second merge over the same store, and a merge that it has given up
 * stays so; shown as snapshots and then as merges again, all of the family begin with what their stores hold now.
 */
export async function beginFailedAnew(ctx: Context, family: Family): Promise<void> {
  const retry = ctx.failedMerges.get(family.id);
  const nowMs = ctx.clock.nowMs();
  if (retry === undefined || nowMs < retry.atMs) return;
  const { devices } = ofFamily(await ctx.kernel.observe(), family);
  const failed = [...devices.values()].filter(({ status }) => status?.state === 'merge-failed').map(({ key }) => key);
  if (failed.length === 0) {
    ctx.failedMerges.delete(family.id);
    return;
  }
  const { thenMs } = retry;
  ctx.failedMerges.set(family.id, { atMs: nowMs + thenMs, thenMs: Math.min(2 * thenMs, LONGEST_MS) });
  ctx.log.warn({ family: family.id, devices: failed }, 'merge has failed and begins anew');
  await convergeFamily(ctx, family, { holdsMerges: true });
  await convergeFamily(ctx, family);
}
