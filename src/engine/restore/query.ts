// Asking after restores: those that run, from the records and the kernel's counts; those that ended, from the mark they
// left on the volume.

import { mergeDevices } from '../../converge/desired.ts';
import type { Family, Node } from '../../records/family.ts';
import { fail } from '../../vocabulary/errors.ts';
import type { DeviceKey, VolumeId } from '../../vocabulary/ids.ts';
import type { SnapshotStatus } from '../../dm/status.ts';
import type { RestoreMark } from '../../records/record.ts';
import { MIN_CHUNK_BYTES, bytes, sectors, toBytes } from '../../vocabulary/units.ts';
import type { Context } from '../state/context.ts';
import { readPool } from '../state/context.ts';
import type { Restore } from '../engine.ts';
import { NO_TROUBLE, presentEnded, presentRunning, presentWish } from '../families/present.ts';
import type { Progress, Trouble } from '../families/present.ts';
import { cancelWish } from './start.ts';

const WATCH_MS = 1000;

export async function listRestores(ctx: Context): Promise<readonly Restore[]> {
  const { forest } = await readPool(ctx);
  const families = [...forest.families.values()];
  const isRunning = families.some(({ nodes }) =>
    [...nodes.values()].some(({ record }) => record.restore !== undefined),
  );
  const statuses: Statuses = isRunning ? await ctx.kernel.statuses() : new Map();
  return families
    .flatMap((family) => [...family.nodes.values()].flatMap((node) => restoresOf(ctx, family, node, statuses)))
    .sort((a, b) => a.startedMs - b.startedMs);
}

export async function getRestore(ctx: Context, id: string): Promise<Restore | undefined> {
  return (await listRestores(ctx)).find((restore) => restore.id === id);
}

function restoresOf(ctx: Context, family: Family, { record }: Node, statuses: Statuses): readonly Restore[] {
  const { entity, wish, restore, restored, deleted } = record;
  if (entity.kind !== 'volume') return [];
  const ended = restored === undefined ? [] : [presentEnded(entity.id, restored)];
  const waiting =
    wish === undefined || deleted ? [] : [presentWish(entity.id, wish, ctx.whyWaiting.get(wish.token) ?? '')];
  if (restore === undefined) return [...ended, ...waiting];
  const { progress, trouble } = progressOf(ctx, family, entity.id, restore, statuses);
  const stuck = { reason: ctx.stuck.get(family.id) ?? '', isFinal: false };
  const running = presentRunning(entity.id, restore, progress, trouble.reason === '' ? stuck : trouble);
  return [...ended, running, ...waiting];
}

type Statuses = ReadonlyMap<DeviceKey, SnapshotStatus>;

/** What all merges of a restore still have to move; what the kernel calls failed is said, not guessed around. */
function progressOf(
  ctx: Context,
  family: Family,
  volume: VolumeId,
  mark: RestoreMark,
  statuses: Statuses,
): { readonly progress: Progress | undefined; readonly trouble: Trouble } {
  const devices = mergeDevices(volume, mark);
  let left = bytes(0);
  let chunks = 0n;
  let bytesPerSecond: number | undefined;
  let trouble = NO_TROUBLE;
  for (const [index, store] of mark.stack.entries()) {
    const key = devices[index];
    const status = key === undefined ? undefined : statuses.get(key);
    if (key === undefined || status === undefined) return { progress: undefined, trouble };
    if (status.state !== 'counts') {
      // One that a disk has stopped is begun anew; of the rest nothing is left to be merged.
      const isFinal = trouble.isFinal || status.state !== 'merge-failed';
      trouble = { reason: `Cannot go on merging: the kernel says '${status.state}' of device '${key}'`, isFinal };
      continue;
    }
    const toMove = toBytes(sectors(status.used - status.metadata));
    left = bytes(left + toMove);
    chunks += toMove / (family.records.get(store)?.chunk ?? MIN_CHUNK_BYTES);
    const rate = ctx.mergeRates.get(key);
    if (rate !== undefined) bytesPerSecond = (bytesPerSecond ?? 0) + rate.bytesPerSecond;
  }
  return { progress: { bytes: left, chunks: Number(chunks), bytesPerSecond }, trouble };
}

/** At least one item; ends when the restore has, or when the signal fires. */
export async function* watchRestore(
  ctx: Context,
  id: string,
  signal: AbortSignal,
): AsyncGenerator<Restore, void, undefined> {
  for (;;) {
    const restore = await getRestore(ctx, id);
    if (restore === undefined) return fail('not-found', `Cannot find restore '${id}'`);
    yield restore;
    if (restore.phase === 'done' || restore.phase === 'failed' || signal.aborted) return;
    await ctx.clock.sleep(WATCH_MS, signal);
    if (signal.aborted) return;
  }
}

/** Takes back a restore that waits; one that has begun, or is done, is `precondition`. */
export async function cancelRestore(ctx: Context, id: string): Promise<void> {
  const restore = await getRestore(ctx, id);
  if (restore === undefined) return fail('not-found', `Cannot find restore '${id}'`);
  if (restore.phase === 'waiting' && (await cancelWish(ctx, restore.volume, id))) return;
  const state =
    restore.phase === 'done' ? 'it is done' : 'it has begun, and its volume is in use with the new contents';
  fail('precondition', `Cannot cancel restore '${id}': ${state}`);
}
