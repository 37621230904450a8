// DeleteVolume and DeleteSnapshot: one mark on one store. What nothing reads goes at once; what something still reads
// through stays as a ghost, until the background has merged it into its last reader.

import type { Family } from '../../records/family.ts';
import type { SnapshotId, VolumeId } from '../../vocabulary/ids.ts';
import { deletedTag } from '../../records/tags.ts';
import { refuseInUse } from '../families/open-count.ts';
import type { Context } from '../state/context.ts';
import { commit } from '../families/commit.ts';
import { convergeFamily } from '../families/converge-family.ts';
import { isDormant } from '../families/in-use.ts';
import { readFamily, withFamilyOf } from '../state/context.ts';

/** A volume that is not there is no error; a staged one is `precondition`. */
export async function deleteVolume(ctx: Context, id: VolumeId): Promise<void> {
  await withFamilyOf(
    ctx,
    id,
    async ({ family, node }) => {
      await refuseInUse(ctx, id, 'delete');
      await commit(ctx, node.record.store, [deletedTag], []);
      await settleDown(ctx, family);
    },
    () => undefined,
  );
}

export async function deleteSnapshot(ctx: Context, id: SnapshotId): Promise<void> {
  await withFamilyOf(
    ctx,
    id,
    async ({ family, node }) => {
      await commit(ctx, node.record.store, [deletedTag], []);
      await settleDown(ctx, family);
    },
    () => undefined,
  );
}

/** Nothing shows it any more, and nobody has to wait until its store has gone, too. */
async function settleDown(ctx: Context, before: Family): Promise<void> {
  if (!isDormant(ctx, before)) await convergeFamily(ctx, (await readFamily(ctx, before.id)).family);
  ctx.goOn(before.id);
}
