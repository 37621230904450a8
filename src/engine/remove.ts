// DeleteVolume and DeleteSnapshot: one mark on one store. What nothing reads goes at once; what something still reads
// through stays as a ghost, until the background has merged it into its last reader.

import type { SnapshotId, VolumeId } from '../ids.ts';
import { deletedTag } from '../lvm/tags.ts';
import { refuseInUse } from './in-use.ts';
import type { Context } from './context.ts';
import { commit } from './stores.ts';
import { convergeFamily } from './shown.ts';
import { readFamily, withFamilyOf } from './context.ts';
import { sweepFamily } from './sweep.ts';

/** A volume that is not there is no error; a staged one is `precondition`. */
export async function deleteVolume(ctx: Context, id: VolumeId): Promise<void> {
  await withFamilyOf(
    ctx,
    id,
    async ({ family, node }) => {
      refuseInUse(ctx, id, 'delete');
      await commit(ctx, node.record.store, [deletedTag], []);
      await settleDown(ctx, family.id);
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
      await settleDown(ctx, family.id);
    },
    () => undefined,
  );
}

async function settleDown(ctx: Context, id: VolumeId): Promise<void> {
  const { family } = await readFamily(ctx, id);
  await convergeFamily(ctx, family);
  await sweepFamily(ctx, family);
  ctx.goOn(id);
}
