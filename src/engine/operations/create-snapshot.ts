// CreateSnapshot: a new store next to the volume in its chain. The moment is the freeze inside converge.

import { storeBytesFor, fittingSize } from '../../dm/cow.ts';
import { MOST_NESTED } from '../../converge/depth.ts';
import type { Node } from '../../records/family.ts';
import { chainNumbers } from '../../records/family.ts';
import { fail } from '../../vocabulary/errors.ts';
import type { VolumeId } from '../../vocabulary/ids.ts';
import { snapshotId } from '../../vocabulary/ids.ts';
import type { PoolReport } from '../../lvm/lvm.ts';
import { UNMARKED, isLost } from '../../records/record.ts';
import type { StoreRecord } from '../../records/record.ts';
import { nameOf } from '../../records/tags.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import type { Context, FamilyState } from '../state/context.ts';
import { convergeFamily } from '../families/converge-family.ts';
import { isDormant } from '../families/in-use.ts';
import { refuseFull } from '../families/waiting.ts';
import { copiesOf, firstCowSize } from '../families/room.ts';
import { decide } from '../families/commit.ts';
import { drawStore, prepareStore, shrinkStore, storeReport, withToken } from '../families/stores.ts';
import { livingNode, readFamily, readPool, withFamilyOf } from '../state/context.ts';
import { LESS_BELOW, refuseTooDeep, withRecords } from '../families/depth.ts';
import type { Snapshot } from '../engine.ts';
import { presentSnapshot } from '../families/present.ts';
import { putRight, putRightFor } from '../families/repair.ts';
import type { SnapshotEntity } from '../families/find.ts';
import { entityByName } from '../families/find.ts';

/** Idempotent by name; the name of another volume's snapshot is `exists`. */
export async function createSnapshot(ctx: Context, volume: VolumeId, name: string): Promise<Snapshot> {
  return ctx.locks.run(`snapshot-name:${name}`, async () => {
    const pool = await readPool(ctx);
    const existing = entityByName(pool, 'snapshot', name);
    if (existing !== undefined) {
      const same = sameSnapshot(existing, volume, name);
      await putRightFor(ctx, pool, same.id);
      // Its time may be another by now.
      const record = livingNode((await readPool(ctx)).forest, same.id)?.node.record;
      if (record?.entity.kind !== 'snapshot') return presentSnapshot(same, { lost: false, pending: false });
      return presentSnapshot(record.entity, { lost: isLost(record), pending: ctx.unshown.has(same.id) });
    }
    return withFamilyOf(ctx, volume, async (state) => {
      // A restore that had the family until now may have taken the name for its safety snapshot.
      if (entityByName(state, 'snapshot', name) !== undefined)
        fail('exists', `Cannot create snapshot '${name}': it exists as the safety snapshot of a restore`);
      return presentSnapshot(await takeSnapshot(ctx, state, name), { lost: false, pending: false });
    });
  });
}

export function sameSnapshot(entity: SnapshotEntity, volume: VolumeId, name: string): SnapshotEntity {
  if (entity.volume === volume) return entity;
  return fail('exists', `Cannot create snapshot '${name}': it exists as a snapshot of volume '${entity.volume}'`);
}

/**
 * Takes a snapshot of `before.node` under the family's lock. A hidden one is a ghost from the start: only for where
 * something will read through it at once.
 */
export async function takeSnapshot(
  ctx: Context,
  before: FamilyState,
  name: string,
  { hidden }: { readonly hidden: boolean } = { hidden: false },
): Promise<SnapshotEntity> {
  const state = await putRight(ctx, before);
  // Before anything is decided: what cannot be frozen now would be taken at some later moment.
  await ctx.keepAhead(state.family.id);
  refuseFull(ctx, state.family.id);
  const token = ctx.drawId();
  const prepared = newSnapshot(ctx, state, name, token);
  await refuseDeeper(ctx, state, { ...prepared.record, pending: undefined, deleted: hidden });
  const what = `a snapshot of '${state.node.id}'`;
  await withToken(ctx, token, async () => {
    await prepareStore(ctx, { ...prepared.record, deleted: hidden }, prepared.storeSize, { what });
    await decide(ctx, prepared.record.store, token);
  });
  // A moment that is still to come: what is told of it is put right before anybody is told (redate.ts).
  ctx.unshown.set(prepared.entity.id, { family: state.family.id, shownMs: undefined });
  await showSnapshot(ctx, state);
  ctx.unshown.delete(prepared.entity.id);
  return prepared.entity;
}

/**
 * A new snapshot comes to lie below all that reads through the older ones. What is not in use can wait until it lies less
 * deep; what is, cannot be made to lie deeper than a kernel bears.
 */
async function refuseDeeper(ctx: Context, { family, node }: FamilyState, record: StoreRecord): Promise<void> {
  await refuseTooDeep(
    ctx,
    withRecords(family, record),
    { most: MOST_NESTED },
    {
      doing: `Cannot snapshot volume '${node.id}'`,
      helps: `unstage it, or ${LESS_BELOW}`,
    },
  );
}

/**
 * The freeze: the decided snapshot gets its place in the kernel. The one that is fed no longer shrinks later. Where nobody
 * writes there is nothing to freeze.
 */
export async function showSnapshot(ctx: Context, { family }: FamilyState): Promise<void> {
  if (!isDormant(ctx, family)) await convergeFamily(ctx, (await readFamily(ctx, family.id)).family);
  ctx.goOn(family.id);
}

export interface NewSnapshot {
  readonly entity: SnapshotEntity;
  readonly record: StoreRecord;
  readonly storeSize: Bytes;
  /** Bytes of extents, copies included. */
  readonly room: bigint;
}

/** Checks that the volume can be snapshotted now, and gives the record of a store that does not count yet. */
export function newSnapshot(
  ctx: Context,
  { report, family, node }: FamilyState,
  name: string,
  token: string,
): NewSnapshot {
  const { entity: volume } = node.record;
  if (volume.kind !== 'volume') fail('invalid', `Cannot snapshot '${node.id}': it is a snapshot itself`);
  if (volume.parameters.scratch) {
    fail(
      'precondition',
      `Cannot snapshot volume '${node.id}': it is a scratch fork, whose changes do not outlive a reboot`,
    );
  }
  const { chunk, snapshotReservePercent, layout } = volume.parameters;
  const entity: SnapshotEntity = {
    kind: 'snapshot',
    id: snapshotId(`s-${ctx.drawId()}`),
    name: nameOf(name),
    size: volume.size,
    createdMs: ctx.clock.nowMs(),
    parameters: volume.parameters,
    volume: volume.id,
  };
  const record: StoreRecord = {
    ...UNMARKED,
    store: drawStore(ctx),
    family: family.id,
    entity,
    place: { kind: 'chain', volume: volume.id, seq: (chainNumbers(family, volume.id)?.high ?? 0) + 1 },
    chunk,
    window: volume.size,
    pending: token,
  };
  const storeSize = firstCowSize(ctx, report, volume.size, snapshotReservePercent, storeBytesFor(volume.size, chunk));
  return { entity, record, storeSize, room: storeSize * copiesOf(layout) };
}

/**
 * Gives back what a snapshot's store does not use, where its device is gone and its use was read after that. True when
 * that was anything. A striped store keeps an extent more for each disk at most, so as not to be tried in vain for ever.
 */
export async function shrinkMeasured(ctx: Context, report: PoolReport, node: Node): Promise<boolean> {
  const { store, entity } = node.record;
  const measured = ctx.measured.get(store);
  if (measured?.isFinal !== true || entity.kind !== 'snapshot') return false;
  const size = fittingSize(measured.used, report.extent);
  const { size: present, layout } = storeReport(report, store);
  const unit = report.extent * BigInt(layout === 'striped' ? report.physicalVolumes.length : 1);
  if (present - size < unit) return false;
  return shrinkStore(ctx, store, size);
}
