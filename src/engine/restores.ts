// Asking after restores: those that run, from the records and the kernel's counts; those that ended, from the mark they
// left on the volume.

import { fail } from '../errors.ts';
import type { Node } from '../dm/family.ts';
import type { DeviceKey, VolumeId } from '../ids.ts';
import type { SnapshotStatus } from '../dm/status.ts';
import type { RestoreMark } from '../lvm/record.ts';
import type { Bytes } from '../units.ts';
import { bytes, toBytes } from '../units.ts';
import { mergeDevices } from './advance.ts';
import type { Context } from './context.ts';
import { readPool } from './context.ts';
import type { Restore } from './engine.ts';
import { presentEnded, presentRunning } from './present.ts';

const WATCH_MS = 1000;

export async function listRestores(ctx: Context): Promise<readonly Restore[]> {
  const { forest } = await readPool(ctx);
  const nodes = [...forest.families.values()].flatMap((family) => [...family.nodes.values()]);
  const marked = nodes.filter(({ record }) => record.restore !== undefined || record.restored !== undefined);
  if (marked.length === 0) return [];
  const statuses = await ctx.kernel.statuses();
  return marked.flatMap((node) => restoresOf(ctx, node, statuses)).sort((a, b) => a.startedMs - b.startedMs);
}

export async function getRestore(ctx: Context, id: string): Promise<Restore | undefined> {
  return (await listRestores(ctx)).find((restore) => restore.id === id);
}

function restoresOf(
  ctx: Context,
  { record }: Node,
  statuses: ReadonlyMap<DeviceKey, SnapshotStatus>,
): readonly Restore[] {
  const { entity, restore, restored, family } = record;
  if (entity.kind !== 'volume') return [];
  const ended = restored === undefined ? [] : [presentEnded(entity.id, restored)];
  if (restore === undefined) return ended;
  const { remaining, trouble } = progress(entity.id, restore, statuses);
  return [...ended, presentRunning(entity.id, restore, remaining, trouble || (ctx.stuck.get(family) ?? ''))];
}

/** Bytes that all merges of a restore still have to move; what the kernel calls failed is said, not guessed around. */
function progress(
  volume: VolumeId,
  mark: RestoreMark,
  statuses: ReadonlyMap<DeviceKey, SnapshotStatus>,
): { readonly remaining: Bytes; readonly trouble: string } {
  let remaining = 0n;
  let trouble = '';
  for (const key of mergeDevices(volume, mark)) {
    const status = statuses.get(key);
    if (status === undefined) return { remaining: mark.totalBytes, trouble };
    if (status.state === 'counts') remaining += toBytes(status.used) - toBytes(status.metadata);
    else trouble = `Cannot go on merging: the kernel says '${status.state}' of device '${key}'`;
  }
  return { remaining: bytes(remaining), trouble };
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

export async function cancelRestore(ctx: Context, id: string): Promise<void> {
  const restore = await getRestore(ctx, id);
  if (restore === undefined) return fail('not-found', `Cannot find restore '${id}'`);
  const state =
    restore.phase === 'done' ? 'it is done' : 'it has begun, and its volume is in use with the new contents';
  fail('precondition', `Cannot cancel restore '${id}': ${state}`);
}
