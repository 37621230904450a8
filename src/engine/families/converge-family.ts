// Bringing a family's devices to what its records say, beside a monitor that extends stores meanwhile: what is in use, what it
// is to watch, when a freeze has to be put off, and what of the kernel's word about lost stores to believe.

import { converge } from '../../converge/converge.ts';
import type { Neighbours } from '../../converge/converge.ts';
import { StillStaged } from '../../converge/refusals.ts';
import { fittingSize } from '../../dm/cow.ts';
import type { Desired } from '../../converge/device.ts';
import { isFed } from '../../records/family.ts';
import { desired } from '../../converge/desired.ts';
import { areaOf } from '../../dm/exceptions.ts';
import type { Family } from '../../records/family.ts';
import type { LastStatus } from '../../converge/retiring-stores.ts';
import { reach } from '../../converge/tails.ts';
import { messageOf } from '../../vocabulary/errors.ts';
import type { EntityId, StoreName, VolumeId } from '../../vocabulary/ids.ts';
import type { Sectors } from '../../vocabulary/units.ts';
import { maxBytes, toBytes, toSectors } from '../../vocabulary/units.ts';
import type { Context } from '../state/context.ts';
import { takeForStaged } from './open-count.ts';
import { noteShown } from './redate.ts';
import { readEnd } from './stores.ts';
import { inUseOf } from './in-use.ts';
import { confirmLosses, noteLost } from './losses.ts';
import { growingNow, watchedStores } from './watch-list.ts';
import { refuseFull } from './waiting.ts';
import { aloneWithTails } from './tails-lock.ts';

export interface ConvergeFamily {
  /** Images to be shown besides those in use. */
  readonly pinned?: readonly EntityId[];
  /** Stores whose cows are to be laid flat. */
  readonly flatten?: ReadonlySet<StoreName>;
  readonly holdsMerges?: boolean;
  /** A volume of which all but the top is to be shown. */
  readonly prepared?: VolumeId;
}

/** Brings the family's devices to what its records say, and remembers what the devices that went away had used. */
export async function convergeFamily(ctx: Context, family: Family, how: ConvergeFamily = {}): Promise<void> {
  try {
    await convergeOnce(ctx, family, how);
  } catch (error) {
    // What is staged is what has a top, also where somebody else has made that. A record that says otherwise is not believed.
    const isLiving = (id: VolumeId): boolean => family.nodes.get(id)?.record.deleted === false;
    if (!(error instanceof StillStaged) || !error.volumes.every(isLiving)) throw error;
    for (const id of error.volumes) takeForStaged(ctx, id);
    await convergeOnce(ctx, family, how);
  }
}

async function convergeOnce(
  ctx: Context,
  family: Family,
  { pinned, flatten, holdsMerges = false, prepared }: ConvergeFamily,
): Promise<void> {
  // With its device goes what the kernel knows of a store.
  await confirmLosses(ctx, family);
  const inUse = inUseOf(ctx, family, pinned);
  const wanted = desired(family, { ...inUse, holdsMerges, ...(prepared && { prepared: new Set([prepared]) }) });
  const watched = watchedStores(family, wanted, inUse);
  // Until it is done, what was fed is fed, and what will be may be already.
  const filled = new Set(watched.flatMap(({ store, isFilled }) => (isFilled ? [store] : [])));
  const before = (ctx.watched.get(family.id) ?? []).map((one) =>
    filled.has(one.store) ? { ...one, isFilled: true } : one,
  );
  const known = new Set(before.map(({ store }) => store));
  ctx.watch(family.id, [...before, ...watched.filter(({ store }) => !known.has(store))]);
  try {
    const neighbours = neighboursOf(ctx, family, wanted);
    const { measured, left } = await converge(ctx.kernel, family, wanted, ctx.log, {
      neighbours,
      leavers: {
        finalUse: async (store, last) => finalUse(ctx, family, store, last),
        lost: (store) => noteLost(ctx, family, store, 'invalid'),
      },
      mayGo: ctx.lettingGo,
      swapped: () => noteShown(ctx, family),
      ...(flatten && { flatten }),
    });
    // Only now is there a status of what was made: from here on it may fill.
    ctx.watch(family.id, watched);
    // What is shown again may grow again: a figure from before is worth nothing.
    for (const store of wanted.stores) ctx.measured.delete(store);
    for (const [store, { used, isFinal }] of measured) ctx.measured.set(store, { used: toBytes(used), isFinal });
    for (const id of ctx.lettingGo) if (family.nodes.has(id)) ctx.lettingGo.delete(id);
    ctx.stuck.delete(family.id);
    noteShown(ctx, family);
    if (left.length > 0) ctx.left.set(family.id, new Set(left));
    else ctx.left.delete(family.id);
  } catch (error) {
    ctx.stuck.set(family.id, messageOf(error));
    throw error;
  }
}

/**
 * Of a snapshot's store that nothing will feed any more, and that is larger than what it used: only what is read from it
 * now tells how much it may give back.
 */
async function finalUse(
  ctx: Context,
  family: Family,
  store: StoreName,
  { status, chunk }: LastStatus,
): Promise<Sectors | undefined> {
  const record = family.records.get(store);
  const node = record === undefined ? undefined : family.nodes.get(record.entity.id);
  if (node?.record.store !== store || node.record.entity.kind !== 'snapshot' || isFed(family, node)) return undefined;
  const { size: extent } = ctx.extent;
  if ((ctx.sizes.get(store) ?? 0n) - fittingSize(toBytes(status.used), extent) < extent) return undefined;
  const area = areaOf(status, toBytes(chunk));
  if (area === undefined) return undefined;
  const end = await readEnd(ctx, store, toBytes(chunk), area);
  return end === undefined ? undefined : toSectors(maxBytes(end, toBytes(status.used)));
}

function neighboursOf(ctx: Context, family: Family, wanted: Desired): Neighbours {
  const { id } = family;
  return {
    alone: (work) => aloneWithTails(ctx, id, work),
    changes: () => ctx.tailChanges.get(id) ?? 0,
    beforeFreeze: async (observed) => {
      const growing = growingNow(family, observed);
      for (const { store } of growing) {
        const reached = reach(store, observed);
        if (reached !== undefined && toBytes(reached) < (ctx.sizes.get(store) ?? 0n)) ctx.unrelieved.add(store);
      }
      // Watched until the freeze is over, also where it has to be put off.
      const given = new Set(growing.map(({ store }) => store));
      const others = (ctx.watched.get(id) ?? []).filter(({ store }) => !given.has(store));
      ctx.watch(id, [...growing, ...others]);
      await ctx.keepAhead(id);
      refuseFull(ctx, id, wanted.givenUp);
    },
  };
}
