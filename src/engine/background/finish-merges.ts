// The ends of merges: a restore, a promotion, an absorption.

import { mergeDevices } from '../../converge/desired.ts';
import { parentOf } from '../../records/family.ts';
import type { Family, Node } from '../../records/family.ts';
import type { SnapshotStatus } from '../../dm/status.ts';
import { mergeFinished } from '../../dm/status.ts';
import type { StoreName } from '../../vocabulary/ids.ts';
import { assert } from '../../vocabulary/errors.ts';
import { deviceKey } from '../../vocabulary/ids.ts';
import type { RestoreMark, StoreRecord } from '../../records/record.ts';
import { mergedTag } from '../../records/tags.ts';
import type { Context } from '../state/context.ts';
import { commit, commitRecord } from '../families/commit.ts';

export async function finishRestore(ctx: Context, family: Family, node: Node, mark: RestoreMark): Promise<boolean> {
  const { entity } = node.record;
  if (entity.kind !== 'volume') return false;
  const statuses = await ctx.kernel.statuses();
  if (!mergeDevices(entity.id, mark).every((key) => isDone(statuses.get(key)))) return false;
  // The merged stores are empty husks of snapshots that live elsewhere, or nowhere; no home may be seen in them again.
  for (const merged of mark.stack) {
    const isHome = merged === node.record.store;
    if (!isHome && family.records.get(merged)?.merged !== true) await commit(ctx, merged, [mergedTag], []);
  }
  const { token, mode, snapshot, keepSnapshot, safetySnapshot, totalBytes, startedMs } = mark;
  const restored = {
    token,
    mode,
    snapshot,
    keepSnapshot,
    safetySnapshot,
    totalBytes,
    startedMs,
    endedMs: ctx.clock.nowMs(),
  };
  const after = { ...node.record, restore: undefined, restored };
  if (mark.into === undefined) await commitRecord(ctx, node.record, after);
  else await moveInto(ctx, family, mark.into, after);
  ctx.log.info({ volume: entity.id, mode, snapshot, bytes: totalBytes.toString() }, 'restore done');
  return true;
}

/** A store becomes the home of what has been merged into it, in one commit; the old home is superseded by it. */
async function moveInto(ctx: Context, family: Family, into: StoreName, record: StoreRecord): Promise<void> {
  const given = family.records.get(into);
  assert(given !== undefined, `store '${into}' has been merged into and has no record`);
  const held = given.entity.kind === 'volume' ? [given.entity.id, ...given.anchors] : given.anchors;
  const others = [...family.nodes.values()].filter(({ id }) => id !== record.entity.id);
  const stillHung = held.filter((volume) =>
    others.some(({ record: { place } }) => place.kind === 'chain' && place.volume === volume),
  );
  await commitRecord(ctx, given, {
    ...record,
    store: into,
    generation: record.generation + 1,
    place: given.place,
    chunk: given.chunk,
    window: given.window,
    level: given.level,
    anchors: [...record.anchors, ...stillHung],
    merging: undefined,
    decides: undefined,
  });
}

function isDone(status: SnapshotStatus | undefined): boolean {
  return status !== undefined && mergeFinished(status);
}

export async function finishAbsorption(ctx: Context, family: Family, reader: Node): Promise<boolean> {
  const statuses = await ctx.kernel.statuses();
  if (!isDone(statuses.get(deviceKey(reader.id, 'view')))) return false;
  const ghost = parentOf(family, reader);
  if (ghost === undefined) return false;
  await moveInto(ctx, family, ghost.record.store, reader.record);
  ctx.log.info({ reader: reader.id, ghost: ghost.id }, 'absorption done');
  return true;
}
