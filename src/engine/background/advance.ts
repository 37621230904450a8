// What is left to do in a family, one commit at a time, until nothing is: leftovers are swept, merges that the kernel has
// finished are written down, and a ghost with one reader is merged into. Called after changes, by the monitor, at start.

import type { Family } from '../../records/family.ts';
import type { VolumeId } from '../../vocabulary/ids.ts';
import type { PoolReport } from '../../lvm/lvm.ts';
import { isLost } from '../../records/record.ts';
import { lostTag } from '../../records/tags.ts';
import type { Context, FamilyState } from '../state/context.ts';
import { commit } from '../families/commit.ts';
import { confirmLosses } from '../families/losses.ts';
import { readPool } from '../state/context.ts';
import { beginWaiting } from '../restore/start.ts';
import { removeOrphans } from '../families/orphans.ts';
import { tidy } from '../families/repair.ts';
import { layFlat, shrinkDormant, shrinkUnfed } from './shrink.ts';
import { finishAbsorption, finishRestore } from './finish-merges.ts';
import { beginAbsorption, soleReader } from './absorb.ts';

/** Each turn ends in a commit or in nothing left to do; a family has no more to do than a few turns for each member. */
const MAX_TURNS = 1000;

/**
 * A family that is gone, or not to be trusted, is left alone. Whoever waits for the family comes between two turns: what a
 * turn would only take away, a volume that is about to be staged may want.
 */
export async function advance(ctx: Context, id: VolumeId): Promise<void> {
  for (let turn = 0; turn < MAX_TURNS; turn += 1) {
    if (!(await ctx.locks.run(`family:${id}`, () => oneTurn(ctx, id)))) return;
  }
}

/** Of one that is gone nothing is left to be done. */
function forget(ctx: Context, id: VolumeId): void {
  ctx.unsettled.delete(id);
  ctx.stuck.delete(id);
  ctx.waiting.delete(id);
  ctx.unswept.delete(id);
}

/** True when there may be more to do. */
async function oneTurn(ctx: Context, id: VolumeId): Promise<boolean> {
  const { report, forest } = await readPool(ctx);
  const family = forest.families.get(id);
  if (family === undefined) {
    ctx.watch(id, []);
    await removeLeft(ctx, id);
    if (!forest.troubles.some((trouble) => trouble.family === id)) forget(ctx, id);
    return false;
  }
  if ((await confirmLosses(ctx, family)) || (await writeLosses(ctx, report, family))) return true;
  // What was just settled or swept is read again before anything is built on it.
  if (await tidy(ctx, family)) return true;
  return takeTurn(ctx, { report, forest, family });
}

/** Of a family that is gone: what could not go with it, because somebody had it open. */
async function removeLeft(ctx: Context, id: VolumeId): Promise<void> {
  if (!ctx.left.has(id)) return;
  // Records come before their devices: what is made meanwhile has one in what is read after the look.
  const observed = await ctx.kernel.observe('without-statuses');
  const { forest } = await readPool(ctx);
  if (await removeOrphans(ctx, forest, observed)) ctx.left.delete(id);
}

/**
 * The kernel writes into a store that it is invalid, but not on a disk that fails: when that answers again, the store
 * would look whole, and lack what was overwritten meanwhile.
 */
async function writeLosses(ctx: Context, report: PoolReport, family: Family): Promise<boolean> {
  // The records say it already, because this process knows; the tags may not.
  const lost = report.stores.filter(({ store, tags }) => {
    const record = family.records.get(store);
    return record !== undefined && isLost(record) && !tags.includes(lostTag);
  });
  for (const { store } of lost) await commit(ctx, store, [lostTag], []);
  return lost.length > 0;
}

/** True when something was committed, so that there may be more to do. */
async function takeTurn(ctx: Context, { report, forest, family }: Omit<FamilyState, 'node'>): Promise<boolean> {
  const nodes = [...family.nodes.values()];
  for (const node of nodes) {
    const { restore, merging } = node.record;
    if (restore !== undefined && (await finishRestore(ctx, family, node, restore))) return true;
    if (merging !== undefined && (await finishAbsorption(ctx, family, node))) return true;
  }
  ctx.waiting.delete(family.id);
  if (await beginWaiting(ctx, { report, forest, family })) return true;
  // Whether an absorption finds room is asked of a report that knows.
  if (await shrinkDormant(ctx, report, family)) return true;
  if (nodes.some(({ record }) => record.restore !== undefined || record.merging !== undefined)) return false;
  for (const ghost of nodes) {
    const reader = soleReader(family, ghost);
    if (reader !== undefined && (await beginAbsorption(ctx, report, family, ghost, reader))) return true;
  }
  await shrinkUnfed(ctx, report, family);
  await layFlat(ctx, family);
  return false;
}
