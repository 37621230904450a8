// Bringing a family's devices to what its records say, beside a monitor that extends stores meanwhile: what is in use, what it
// is to watch, when a freeze has to be put off, and what of the kernel's word about lost stores to believe.

import { converge } from '../converge/converge.ts';
import type { Neighbours } from '../converge/converge.ts';
import { StillStaged } from '../converge/refusals.ts';
import { fittingSize, storeBytesFor } from '../dm/cow.ts';
import type { Desired } from '../converge/device.ts';
import type { InUse } from '../converge/desired.ts';
import { absorbing, isFed, nearestVolume } from '../records/family.ts';
import { desired } from '../converge/desired.ts';
import { areaOf } from '../dm/exceptions.ts';
import type { Family, Node } from '../records/family.ts';
import type { LastStatus } from '../converge/retiring-stores.ts';
import type { Observed } from '../dm/kernel.ts';
import type { SnapshotStatus } from '../dm/status.ts';
import type { Table } from '../dm/table.ts';
import { heldStores, lengthOf } from '../dm/table.ts';
import { reach } from '../converge/tails.ts';
import { fail, messageOf } from '../vocabulary/errors.ts';
import type { EntityId, StoreName, VolumeId } from '../vocabulary/ids.ts';
import { entityOf } from '../vocabulary/ids.ts';
import { imageSize } from '../records/record.ts';
import type { Sectors } from '../vocabulary/units.ts';
import { formatBytes, maxBytes, toBytes, toSectors } from '../vocabulary/units.ts';
import type { Context, FullStore, WatchedStore } from './context.ts';
import { takeForStaged } from './in-use.ts';
import { noteShown } from './redate.ts';
import { readEnd } from './stores.ts';

export function inUseOf(ctx: Context, family: Family, pinned: readonly EntityId[] = []): InUse {
  const volumes = [...ctx.active].filter((id) => {
    const node = family.nodes.get(id);
    return node !== undefined && !node.record.deleted;
  });
  return { volumes: new Set(volumes), pinned: new Set([...ctx.pinned, ...pinned]) };
}

/**
 * Nobody uses anything of the family, nothing of it goes on in the kernel, and nothing is to be put right: what its records say
 * is all that there is, and its devices can follow later.
 */
export function isDormant(ctx: Context, family: Family): boolean {
  const { volumes, pinned } = inUseOf(ctx, family);
  const isShown = volumes.size > 0 || [...pinned].some((id) => family.nodes.has(id));
  const isWatched = (ctx.watched.get(family.id) ?? []).length > 0;
  return !isShown && !isWatched && !ctx.stuck.has(family.id) && !ctx.unsettled.has(family.id);
}

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

function noteLost(ctx: Context, { id }: Family, store: StoreName, state: string | undefined): void {
  if (ctx.lost.has(store)) return;
  ctx.lost.add(store);
  ctx.log.error({ family: id, store, state }, 'store has lost its contents');
}

/** Not so a merge that the kernel has given up, what it has not moved is in its store, and not so a fork whose store is full. */
function isLoss(live: Table | undefined, status: SnapshotStatus | undefined): boolean {
  return live?.[0]?.type === 'snapshot' && status?.state === 'invalid';
}

export interface ConvergeFamily {
  /** Images to be shown besides those in use. */
  readonly pinned?: readonly EntityId[];
  /** Stores whose cows are to be laid flat. */
  readonly flatten?: ReadonlySet<StoreName>;
  readonly holdsMerges?: boolean;
  /** A volume that nobody uses yet. */
  readonly fresh?: VolumeId;
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
  { pinned, flatten, holdsMerges = false, fresh }: ConvergeFamily,
): Promise<void> {
  // With its device goes what the kernel knows of a store.
  await confirmLosses(ctx, family);
  const wanted = desired(family, { ...inUseOf(ctx, family, pinned), holdsMerges });
  const watched = watchedStores(family, wanted);
  // Until it is done, what was fed is fed.
  const before = ctx.watched.get(family.id) ?? [];
  const known = new Set(before.map(({ store }) => store));
  for (const { store, writer, waits } of watched) if (waits && writer === fresh) ctx.untouched.set(store, undefined);
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

function watchedStores(family: Family, wanted: Desired): readonly WatchedStore[] {
  return wanted.devices.flatMap(({ key, table }): readonly WatchedStore[] => {
    const [target] = table;
    const [store] = heldStores(table);
    const id = entityOf(key);
    const node = id === undefined ? undefined : family.nodes.get(id);
    if (node === undefined || store === undefined || target === undefined || !('cow' in target)) return [];
    const { entity } = node.record;
    return [
      {
        device: key,
        store,
        writer: writerOf(family, node),
        waits: target.cow.on === 'device',
        most: storeBytesFor(imageSize(node.record), toBytes(target.chunk)),
        fed: isFed(family, node),
        kind:
          target.type === 'snapshot-merge' ? 'merge' : absorbing(family, node) === undefined ? entity.kind : 'volume',
        layout: entity.parameters.layout,
      },
    ];
  });
}

/** The volume whose writes a store takes: its own, or that of what it hangs on. */
function writerOf(family: Family, node: Node): EntityId {
  return nearestVolume(family, node)?.id ?? node.id;
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

/** A store of the family for which writers wait; what is given up is not waited for. */
export function fullIn(
  ctx: Context,
  family: VolumeId,
  givenUp: ReadonlySet<StoreName> = new Set(),
): readonly [StoreName, FullStore] | undefined {
  return [...ctx.full].find(([store, { family: of }]) => of === family && !givenUp.has(store));
}

/** A freeze would wait for what the writers wait for, and nobody could stop it. */
export function refuseFull(ctx: Context, family: VolumeId, givenUp?: ReadonlySet<StoreName>): void {
  const stuck = fullIn(ctx, family, givenUp);
  if (stuck === undefined) return;
  const [store, { volume, missing }] = stuck;
  fail(
    'precondition',
    `Cannot freeze volume '${volume}' now: its writers wait for room in store '${store}'; pool '${ctx.pool}' needs ` +
      `${formatBytes(missing)} more free space (delete snapshots, or extend the volume group)`,
  );
}

/** What the kernel writes into now, whatever is wanted: a driver that has just started has watched nothing yet. */
function growingNow(family: Family, { devices }: Observed): readonly WatchedStore[] {
  return [...devices.values()].flatMap(({ key, live }): readonly WatchedStore[] => {
    const [target] = live ?? [];
    const [store] = heldStores(live);
    const record = store === undefined ? undefined : family.records.get(store);
    if (target?.type !== 'snapshot' || target.cow.on !== 'device' || store === undefined || record === undefined) {
      return [];
    }
    const node = family.nodes.get(record.entity.id);
    const most = toBytes(lengthOf(devices.get(target.cow.device)?.live ?? []));
    return [
      {
        device: key,
        store,
        most,
        fed: true,
        waits: true,
        kind: 'volume',
        writer: node === undefined ? record.entity.id : writerOf(family, node),
        layout: record.entity.parameters.layout,
      },
    ];
  });
}

/** Tails are changed by one at a time: a converge, or an extension. */
async function aloneWithTails<T>(ctx: Context, family: VolumeId, work: () => Promise<T>): Promise<T> {
  return ctx.locks.run(`tails:${family}`, work);
}

/** A converge holds the tails for a moment only, unless it hangs in the kernel for want of what the extension brings. */
const PATIENCE_MS = 5000;

/** Like the others, but not for ever. */
export async function aloneOrAnyway(ctx: Context, family: VolumeId, work: () => Promise<void>): Promise<void> {
  const ending = new AbortController();
  let begun: Promise<void> | undefined;
  const once = (): Promise<void> => {
    ending.abort();
    begun ??= work();
    return begun;
  };
  await Promise.race([aloneWithTails(ctx, family, once), ctx.clock.sleep(PATIENCE_MS, ending.signal)]);
  await once();
}
