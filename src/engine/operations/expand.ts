// Expansion: room first, zeroed, then one commit that makes the size true, then longer tables.

import { MOST_NESTED } from '../../converge/depth.ts';
import type { Family, Node } from '../../records/family.ts';
import { parentOf, fedBy } from '../../records/family.ts';
import { assert, fail } from '../../vocabulary/errors.ts';
import type { StoreName, VolumeId } from '../../vocabulary/ids.ts';
import type { PoolReport } from '../../lvm/lvm.ts';
import { imageSize } from '../../records/record.ts';
import { sizeTag } from '../../records/tags.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { bytes, formatBytes, roundUp } from '../../vocabulary/units.ts';
import type { Context } from '../state/context.ts';
import { commit, commitRecord } from '../families/commit.ts';
import { copiesOf, withRoomFor, sizeUnit } from '../families/room.ts';
import { extendStore, storeReport } from '../families/stores.ts';
import { LESS_BELOW, refuseTooDeep, withRecords } from '../families/depth.ts';
import { convergeFamily } from '../families/converge-family.ts';
import { readFamily, withFamilyOf } from '../state/context.ts';
import { putRight } from '../families/repair.ts';
import { takeSnapshot } from './create-snapshot.ts';

/** Returns the size it has afterwards; a volume that is large enough is left as it is. */
export async function expandVolume(
  ctx: Context,
  id: VolumeId,
  requiredBytes: Bytes,
  limitBytes: Bytes | undefined,
): Promise<Bytes> {
  return withFamilyOf(ctx, id, async (before) => {
    const { report, forest, family, node } = await putRight(ctx, before);
    const { size: present } = node.record.entity;
    if (requiredBytes <= present) return present;
    const size = roundUp(requiredBytes, sizeUnit(report));
    if (limitBytes !== undefined && size > limitBytes) {
      fail(
        'out-of-range',
        `Cannot expand volume '${id}': sizes are multiples of ${formatBytes(sizeUnit(report))}, so it needs ` +
          `${formatBytes(size)}, the limit is ${formatBytes(limitBytes)}`,
      );
    }
    refuseMerging(node, id);
    const feeder = feederLost(family, originOr(family, node), size);
    await refuseDeeper(ctx, family, node, size, feeder);
    // What a promoted fork takes over is its storage already: it lies below the merges, and what is added lies beside them.
    const base = originOr(family, node);
    if (base.record.place.kind === 'root') {
      const { store, entity } = base.record;
      const more = size - present;
      const room = more * copiesOf(entity.parameters.layout);
      await withRoomFor(ctx, room, `${formatBytes(more)} more for '${id}'`, async () =>
        lengthen(ctx, report, store, size),
      );
      await zeroFrom(ctx, store, present, size);
    }
    if (feeder !== undefined)
      await takeSnapshot(ctx, { report, forest, family, node: feeder }, `under ${id}`, { hidden: true });
    if (imageSize(base.record) < size && base !== node)
      await commitRecord(ctx, base.record, { ...base.record, image: size });
    await commit(ctx, node.record.store, [sizeTag(size)], [sizeTag(present)]);
    await convergeFamily(ctx, (await readFamily(ctx, family.id)).family);
    ctx.goOn(family.id);
    return size;
  });
}

/**
 * A merge cannot be made longer under way, where it is the view itself. Nor can what a merge writes into be zeroes before it
 * has ended, where a fork takes over what is longer than the fork.
 */
function refuseMerging({ record }: Node, id: VolumeId): void {
  const { merging, restore, entity } = record;
  const isLonger = restore?.into !== undefined && restore.size > entity.size;
  if (merging === undefined && !isLonger) return;
  fail(
    'precondition',
    `Cannot expand volume '${id}': it is taking over the storage of what it was forked from; try again when that merge is done`,
  );
}

/** A fork that grows reads through a pad, which is one device more for itself and for all that reads through it. */
async function refuseDeeper(
  ctx: Context,
  family: Family,
  { id, record }: Node,
  size: Bytes,
  feeder: Node | undefined,
): Promise<void> {
  const { entity } = record;
  if (entity.kind !== 'volume') return;
  const later = withRecords(family, { ...record, entity: { ...entity, size } });
  const most = feeder === undefined ? MOST_NESTED : MOST_NESTED - 1;
  await refuseTooDeep(ctx, later, { most }, { doing: `Cannot expand volume '${id}'`, helps: LESS_BELOW });
}

/** The volume, or the origin whose storage it is taking over. */
function originOr(family: Family, node: Node): Node {
  return node.record.restore?.into === undefined ? node : originOf(family, node);
}

function originOf(family: Family, fork: Node): Node {
  const origin = parentOf(family, fork);
  assert(origin !== undefined, `'${fork.id}' is promoted into nothing`);
  return origin;
}

/**
 * A fork that took a snapshot's place is fed by its volume directly. Made longer than the volume, it would hang on a pad
 * and be fed no more: a hidden snapshot takes the place next to the volume first.
 */
function feederLost(family: Family, node: Node, size: Bytes): Node | undefined {
  const parent = parentOf(family, node);
  if (parent === undefined || size <= (node.record.window ?? size)) return undefined;
  const isFed =
    fedBy(family, parent)?.id === node.id && parent.record.entity.kind === 'volume' && !parent.record.deleted;
  return isFed ? parent : undefined;
}

/** Extends a data store to `size` and zeroes all from `from` on, before anything shows it. */
export async function growStore(
  ctx: Context,
  report: PoolReport,
  store: StoreName,
  from: Bytes,
  size: Bytes,
): Promise<void> {
  await lengthen(ctx, report, store, size);
  await zeroFrom(ctx, store, from, size);
}

async function lengthen(ctx: Context, report: PoolReport, store: StoreName, size: Bytes): Promise<void> {
  if (storeReport(report, store).size < size) await extendStore(ctx, store, size);
}

async function zeroFrom(ctx: Context, store: StoreName, from: Bytes, size: Bytes): Promise<void> {
  const observed = await ctx.kernel.observe('without-statuses');
  if (!observed.stores.has(store)) await ctx.kernel.apply([{ do: 'activate', stores: [store] }]);
  await ctx.host.zero(store, from, bytes(size - from));
}
