// The time of a snapshot is that of its freeze. It is written when the snapshot is decided, a moment before; where the freeze
// failed then and came about later, the time is written anew, or the contents would be later than it says.

import type { Family } from '../../records/family.ts';
import { chainOf } from '../../records/family.ts';
import type { Observed } from '../../dm/kernel.ts';
import { heldStores } from '../../dm/table.ts';
import type { SnapshotId } from '../../vocabulary/ids.ts';
import { deviceKey, isSnapshotId } from '../../vocabulary/ids.ts';
import { isLost } from '../../records/record.ts';
import type { Context } from '../state/context.ts';
import { commitRecord } from './commit.ts';

/** What a driver that ended between a commit and the freeze has left: `observed` is the family's own. */
export function noteUntaken(ctx: Context, family: Family, observed: Observed): void {
  for (const id of untaken(family, observed)) ctx.unshown.set(id, { family: family.id, shownMs: undefined });
}

/**
 * The newest snapshot of a volume that is written, where what the volume overwrites does not go to it. A store that the kernel
 * has and no node of the family is of a change that is not over yet, and says nothing.
 */
function untaken(family: Family, { devices }: Observed): readonly SnapshotId[] {
  const held = new Set([...devices.values()].flatMap(({ live }) => heldStores(live)));
  const nodes = [...family.nodes.values()];
  if (![...held].every((store) => nodes.some(({ record }) => record.store === store))) return [];
  return nodes.flatMap(({ record: { entity } }) => {
    if (entity.kind !== 'volume') return [];
    const top = devices.get(deviceKey(entity.id, 'top'));
    if (top?.live === undefined || top.suspended) return [];
    const [newest] = chainOf(family, entity.id);
    if (newest?.parent !== entity.id || newest.level !== undefined || !isSnapshotId(newest.id)) return [];
    return held.has(newest.record.store) || isLost(newest.record) ? [] : [newest.id];
  });
}

/** Of a family that has converged just now. */
export function noteShown({ unshown, clock }: Context, family: Family): void {
  for (const [id, { shownMs }] of unshown) {
    if (family.nodes.has(id)) unshown.set(id, { family: family.id, shownMs: shownMs ?? clock.nowMs() });
  }
}

/** Under the family's lock. True when records have changed. */
export async function redate(ctx: Context, family: Family): Promise<boolean> {
  let isChanged = false;
  for (const [id, { family: of, shownMs }] of ctx.unshown) {
    if (of !== family.id) continue;
    const record = family.nodes.get(id)?.record;
    // Deleted meanwhile, or not shown yet.
    if (record !== undefined && shownMs === undefined) continue;
    if (record !== undefined && shownMs !== undefined) {
      await commitRecord(ctx, record, { ...record, entity: { ...record.entity, createdMs: shownMs } });
      isChanged = true;
    }
    ctx.unshown.delete(id);
  }
  return isChanged;
}
