// Merges that the kernel has given up, because a disk did not read or write: nothing is lost by that, what was not moved is
// read from its store. They begin anew after a while, as often as it takes, so that what a disk could not do for a moment
// stops nothing for good.

import { ofFamily } from '../../converge/converge.ts';
import type { Family } from '../../records/family.ts';
import type { Table } from '../../dm/table.ts';
import { heldStores } from '../../dm/table.ts';
import { fail } from '../../vocabulary/errors.ts';
import type { DeviceKey, VolumeId } from '../../vocabulary/ids.ts';
import { toBytes } from '../../vocabulary/units.ts';
import type { Context } from '../state/context.ts';
import { convergeFamily } from './converge-family.ts';
import { cutOff } from './cut-off.ts';
import { readEnd } from './stores.ts';

const FIRST_MS = 10_000;
const LONGEST_MS = 300_000;

/** The monitor saw one. */
export function noteFailed(ctx: Context, family: VolumeId): void {
  const nowMs = ctx.clock.monotonicMs();
  const retry = ctx.failedMerges.get(family) ?? { atMs: nowMs, thenMs: FIRST_MS, whole: new Set() };
  ctx.failedMerges.set(family, retry);
  if (nowMs >= retry.atMs) ctx.goOn(family);
}

/**
 * Under the family's lock, converged. The kernel takes no second merge over the same store, and a merge that it has given up
 * stays so; shown as snapshots and then as merges again, all of the family begin with what their stores hold now.
 */
export async function beginFailedAnew(ctx: Context, family: Family): Promise<void> {
  const retry = ctx.failedMerges.get(family.id);
  const nowMs = ctx.clock.monotonicMs();
  if (retry === undefined || nowMs < retry.atMs) return;
  const { devices } = ofFamily(await ctx.kernel.observe(), family);
  const failed = [...devices.values()].filter(({ status }) => status?.state === 'merge-failed');
  if (failed.length === 0) {
    ctx.failedMerges.delete(family.id);
    return;
  }
  const { thenMs } = retry;
  const next = { atMs: nowMs + thenMs, thenMs: Math.min(2 * thenMs, LONGEST_MS) };
  ctx.failedMerges.set(family.id, { ...next, whole: retry.whole });
  const whole = new Set(retry.whole);
  for (const { key, live } of failed) if (!whole.has(key) && (await isWhole(ctx, key, live))) whole.add(key);
  ctx.failedMerges.set(family.id, { ...next, whole });
  ctx.log.warn({ family: family.id, devices: failed.map(({ key }) => key) }, 'merge has failed and begins anew');
  await convergeFamily(ctx, family, { holdsMerges: true });
  await convergeFamily(ctx, family);
}

/**
 * Throws where a store has been cut: its merge would not fail for ever, because as a snapshot it is extended, and then moves
 * what lies there. False when nobody can say.
 */
async function isWhole(ctx: Context, device: DeviceKey, live: Table | undefined): Promise<boolean> {
  const [target] = live ?? [];
  const [store] = heldStores(live);
  if (store === undefined || target?.type !== 'snapshot-merge') return true;
  const end = await readEnd(ctx, store, toBytes(target.chunk), 0n);
  const cut = end === undefined ? undefined : cutOff(ctx, store, end);
  if (cut !== undefined) fail('internal', `Cannot begin the merge of '${device}' anew: ${cut}`);
  return end !== undefined;
}
