// A store that fills is extended ahead of its writer, as far as there is room; who waits for more is told.

import { relieve } from '../../converge/plan.ts';
import { stepText } from '../../dm/step.ts';
import { cowDevices, fitTails } from '../../converge/tails.ts';
import { SnapmergeError, messageOf } from '../../vocabulary/errors.ts';
import type { StoreName, VolumeId } from '../../vocabulary/ids.ts';
import { largest } from '../../lvm/room.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { bytes, maxBytes, mib, minBytes, roundDown, roundUp } from '../../vocabulary/units.ts';
import type { Context, WatchedStore } from '../state/context.ts';
import { aloneOrAnyway } from '../families/tails-lock.ts';
import { copiesOf } from '../families/room.ts';
import { extendStore } from '../families/stores.ts';
import { noteSizes } from '../state/context.ts';

/** Nothing is expected to write faster than this to one volume; a store must last for two looks at this speed. */
const FULL_SPEED_BYTES_PER_SECOND = mib(512);

export const LONGEST_MS = 5000;

/** After an extension that was not possible: each try costs LVM's lock and a line in the log. */
export const NO_ROOM_MS = 2000;

/** An extension lasts for so many seconds of what was written since the last look. */
const AHEAD_SECONDS = 20n;

/** Nor is it larger than twice this, however fast the last look makes a writer: it lasts for a second of any. */
const MOST_AHEAD = mib(512);

/** Devices that lie on each other below a store, from where on each further one is an extension by a quarter at least. */
const FEW_NESTED = 4;

/** Growth between two looks that lie closer together says little about the next seconds. */
const LEAST_ELAPSED_MS = 50;

/** What a store used, and when that was read. */
export interface Seen {
  readonly used: Bytes;
  readonly atMs: number;
}

export type OfFamily = WatchedStore & { readonly family: VolumeId };

export async function keepAhead(
  ctx: Context,
  seen: Map<StoreName, Seen>,
  watched: OfFamily,
  now: Seen,
  size: Bytes,
): Promise<number> {
  const { store, most, isFilled } = watched;
  const { used } = now;
  // What is added would be shown in the place of what was cut off.
  if (!isFilled && used > size) return LONGEST_MS;
  const before = seen.get(store);
  seen.set(store, now);
  if (ctx.unrelieved.has(store)) await relieveStore(ctx, watched, size);
  if (size >= most) {
    noteRoom(ctx, watched);
    return LONGEST_MS;
  }
  const soon = maxBytes(ctx.headroom.size, minBytes(MOST_AHEAD, writtenSoon(before, now)));
  const ahead = maxBytes(soon, atOnce(ctx, watched, size));
  const left = size > used ? size - used : 0n;
  if (left >= ahead) {
    noteRoom(ctx, watched);
    return timeToFill(left);
  }
  const wanted = minBytes(most, bytes(used + 2n * ahead));
  const needed = minBytes(most, bytes(used + 2n * soon));
  const reached = await extend(ctx, watched, { wanted, needed }, size);
  noteFull(ctx, watched, used, reached, wanted);
  if (reached <= size) return NO_ROOM_MS;
  return timeToFill(reached > used ? reached - used : 0n);
}

/**
 * While something merges a store's cow is not laid flat, and each extension is one device more on the way to the disk, of which
 * a kernel bears only so many.
 */
function atOnce(ctx: Context, { family, store }: OfFamily, size: Bytes): Bytes {
  if (!ctx.nested.has(family)) ctx.reliefs.delete(store);
  return bytes((ctx.reliefs.get(store) ?? 0) < FEW_NESTED ? 0n : size / 8n);
}

/** What comes in the next seconds if it goes on as between two looks. */
function writtenSoon(before: Seen | undefined, now: Seen): Bytes {
  if (before === undefined || now.used < before.used) return bytes(0);
  const elapsedMs = BigInt(Math.ceil(Math.max(LEAST_ELAPSED_MS, now.atMs - before.atMs)));
  return bytes(((now.used - before.used) * 1000n * AHEAD_SECONDS) / elapsedMs);
}

/** Writers wait: said once when it begins and when it ends. */
function noteFull(ctx: Context, watched: OfFamily, used: Bytes, size: Bytes, wanted: Bytes): void {
  const { family, store, writer, waits, layout } = watched;
  // The kernel counts what was asked for, so exactly then something may have reached the tail.
  if (!waits || used <= size) return noteRoom(ctx, watched);
  // Nobody would take it back of a store that is not looked at any more, because a converge ended meanwhile.
  if (ctx.watched.get(family)?.some((one) => one.store === store) !== true) return;
  const before = ctx.full.get(store);
  const missing = bytes(wanted > size ? (wanted - size) * copiesOf(layout) : 0n);
  if (before === undefined) {
    ctx.log.error({ family, store, volume: writer, missing: missing.toString() }, 'writers wait for room in the pool');
  }
  ctx.full.set(store, { family, volume: writer, missing, sinceMs: before?.sinceMs ?? ctx.clock.nowMs() });
}

function noteRoom(ctx: Context, { family, store, writer }: OfFamily): void {
  if (!ctx.full.delete(store)) return;
  ctx.log.info({ family, store, volume: writer }, 'there is room again');
  ctx.goOn(family);
}

/** What waits at the end of a store's cow goes on, in the part that has been added. */
async function relieveStore(ctx: Context, { family, store, most, waits }: OfFamily, size: Bytes): Promise<void> {
  if (!waits) return;
  ctx.unrelieved.add(store);
  await aloneOrAnyway(ctx, family, async () => {
    const observed = await ctx.kernel.observe('without-statuses');
    const wanted = { devices: cowDevices(store, size, most), stores: new Set([store]), givenUp: new Set<StoreName>() };
    const steps = relieve(observed, fitTails(wanted, observed, new Set()));
    // Laid flat when nobody is in a hurry.
    if (steps.length > 0) {
      ctx.nested.add(family);
      ctx.goOn(family);
    }
    for (const step of steps) {
      await ctx.kernel.apply([step]);
      ctx.tailChanges.set(family, (ctx.tailChanges.get(family) ?? 0) + 1);
      ctx.log.info({ step: stepText(step) }, 'step');
    }
    if (steps.length > 0) ctx.reliefs.set(store, (ctx.reliefs.get(store) ?? 0) + 1);
  });
  ctx.unrelieved.delete(store);
}

function timeToFill(left: bigint): number {
  return Number((left * 1000n) / (2n * FULL_SPEED_BYTES_PER_SECOND));
}

/** `needed`: what is enough where there is no room for all that is wanted. */
interface Target {
  readonly wanted: Bytes;
  readonly needed: Bytes;
}

/** As far as there is room; returns the size reached. */
async function extend(ctx: Context, watched: OfFamily, target: Target, size: Bytes): Promise<Bytes> {
  const { store } = watched;
  try {
    const reached = await extendTo(ctx, watched, target, size);
    if (reached > size) await relieveStore(ctx, watched, reached);
    if (reached > size) ctx.log.info({ store, from: size.toString(), to: reached.toString() }, 'extended a store');
    else ctx.log.error({ store, size: size.toString() }, 'no room to extend a store');
    return reached;
  } catch (error) {
    ctx.log.error({ store, error: messageOf(error) }, 'cannot extend a store');
    // It may have happened all the same: the next look asks how large the store is, and lets go on what waits at its old end.
    ctx.sizes.delete(store);
    if (watched.waits) ctx.unrelieved.add(store);
    return size;
  }
}

/** The command first, because a report takes as long as the extension, and only where that finds no room what there is. */
async function extendTo(
  ctx: Context,
  { store, layout }: WatchedStore,
  { wanted, needed }: Target,
  size: Bytes,
): Promise<Bytes> {
  const whole = roundUp(wanted, ctx.extent.size);
  try {
    await extendStore(ctx, store, whole);
    return whole;
  } catch (error) {
    if (!(error instanceof SnapmergeError && error.kind === 'exhausted')) throw error;
  }
  const report = await ctx.lvm.report();
  noteSizes(ctx, report);
  // Room may have come since the command, and is not ours to take.
  const upTo = (free: bigint): Bytes =>
    minBytes(maxBytes(size, roundUp(needed, report.extent)), roundDown(bytes(size + free), report.extent));
  // How LVM lays a store out it alone knows: what is free is tried, and then what one on all open disks could have.
  const most = upTo(report.free / copiesOf(layout));
  try {
    if (most > size) await extendStore(ctx, store, most);
    return most;
  } catch (error) {
    const less = upTo(largest(report, report.stores.find((one) => one.store === store)?.layout ?? layout));
    if (!(error instanceof SnapmergeError && error.kind === 'exhausted') || less >= most) throw error;
    if (less > size) await extendStore(ctx, store, less);
    return less;
  }
}
