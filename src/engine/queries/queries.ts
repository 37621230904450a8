// What there is in a pool and how it is: volumes, snapshots, room and health. Nothing here changes anything.

import { MOST_NESTED } from '../../converge/depth.ts';
import { ancestorsOf } from '../../records/family.ts';
import { messageOf } from '../../vocabulary/errors.ts';
import type { SnapshotId, VolumeId } from '../../vocabulary/ids.ts';
import { entityOf } from '../../vocabulary/ids.ts';
import type { StoreRecord } from '../../records/record.ts';
import { isLost } from '../../records/record.ts';
import { largest, most } from '../../lvm/room.ts';
import { bytes, formatBytes, minBytes, roundDown } from '../../vocabulary/units.ts';
import type { Context, FamilyState, PoolState } from '../state/context.ts';
import { hasMetadataRoom } from '../../lvm/room.ts';
import { copiesOf, freeForNew, sizeUnit } from '../families/room.ts';
import { livingNode, livingNodes, readPool, refuseTroubled } from '../state/context.ts';
import { LESS_BELOW, stagedDepth } from '../families/depth.ts';
import type { Capacity, Health, Layout, PoolHealth, Snapshot, Volume } from '../engine.ts';
import type { Monitor } from '../background/monitor.ts';
import { healthOf, presentSnapshot, presentVolume } from '../families/present.ts';
import type { FoundVolume } from '../families/find.ts';
import { volumeEntity } from '../families/find.ts';

export async function getVolume(ctx: Context, monitor: Monitor, id: VolumeId): Promise<Volume | undefined> {
  const state = await readPool(ctx);
  const found = volumeEntity(state, id);
  if (found === undefined) refuseTroubled(state.forest, id);
  return found === undefined ? undefined : present(ctx, monitor, state, found.entity);
}

export function present(ctx: Context, monitor: Monitor, state: PoolState, entity: FoundVolume['entity']): Volume {
  return presentVolume(entity, ctx.active.has(entity.id), volumeHealth(ctx, monitor, state, entity.id));
}

const BY_GRAVITY: readonly Health['state'][] = ['healthy', 'degraded', 'inaccessible', 'lost'];

/** The gravest of all that is known; of several alike the first. */
function volumeHealth(ctx: Context, monitor: Monitor, state: PoolState, id: VolumeId): Health {
  const found = livingNode(state.forest, id);
  if (found === undefined) return { state: 'healthy' };
  const recorded = healthOf(found.family, found.node, state.report, ctx.stuck.get(found.family.id));
  const all = [seenNow(ctx, monitor, found, id), recorded];
  return all.reduce((worst, one) => (BY_GRAVITY.indexOf(one.state) > BY_GRAVITY.indexOf(worst.state) ? one : worst));
}

/** What the kernel says, and what a volume in use waits for. */
function seenNow(ctx: Context, monitor: Monitor, found: Pick<FamilyState, 'family' | 'node'>, id: VolumeId): Health {
  for (const at of [found.node, ...ancestorsOf(found.family, found.node)]) {
    for (const [key, { state }] of monitor.last()) {
      if (entityOf(key) !== at.id || state === 'counts') continue;
      const reason = `The kernel says '${state}' of '${at.id}', which the volume reads through`;
      // Its word alone is no proof of a loss; and what a failed merge moves, which begins anew, is still there.
      return { state: state === 'invalid' || state === 'overflow' ? 'inaccessible' : 'degraded', reason };
    }
  }
  const depth = stagedDepth(ctx, found.family, id);
  if (depth > MOST_NESTED) {
    const reason = `It is shown by ${depth} devices on top of each other, and more than ${MOST_NESTED} could bring the kernel down: ${LESS_BELOW}`;
    return { state: 'degraded', reason };
  }
  const full = [...ctx.full.values()].find(({ volume }) => volume === id);
  if (full !== undefined) {
    const reason = `Writers wait for room: pool '${ctx.pool}' needs ${formatBytes(full.missing)} more free space`;
    return { state: 'degraded', reason };
  }
  return { state: 'healthy' };
}

export async function listVolumes(ctx: Context, monitor: Monitor): Promise<readonly Volume[]> {
  const state = await readPool(ctx);
  return livingNodes(state.forest)
    .flatMap(({ record }) => (record.entity.kind === 'volume' ? [record.entity] : []))
    .map((entity) => present(ctx, monitor, state, entity))
    .sort(byAge);
}

export async function listSnapshots(ctx: Context): Promise<readonly Snapshot[]> {
  const { forest } = await readPool(ctx);
  return livingNodes(forest)
    .flatMap(({ record }) => snapshotOf(ctx, record) ?? [])
    .sort(byAge);
}

function byAge(
  a: { readonly createdMs: number; readonly id: string },
  b: { readonly createdMs: number; readonly id: string },
): number {
  return a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1);
}

export async function getSnapshot(ctx: Context, id: SnapshotId): Promise<Snapshot | undefined> {
  const { forest } = await readPool(ctx);
  const record = livingNode(forest, id)?.node.record;
  if (record === undefined) refuseTroubled(forest, id);
  return record === undefined ? undefined : snapshotOf(ctx, record);
}

function snapshotOf(ctx: Context, record: StoreRecord): Snapshot | undefined {
  const { entity } = record;
  if (entity.kind !== 'snapshot') return undefined;
  return presentSnapshot(entity, { lost: isLost(record), pending: ctx.unshown.has(entity.id) });
}

export async function capacity(ctx: Context, layout: Layout): Promise<Capacity> {
  const { report } = await readPool(ctx);
  const unit = sizeUnit(report);
  const free = bytes(freeForNew(ctx, report) / copiesOf(layout));
  // A commit needs room, too.
  if (!hasMetadataRoom(report)) return { available: bytes(0), maximumVolume: bytes(0), minimumVolume: unit };
  // What is free on disks of other sizes than each other's may be of no use to a layout.
  return {
    available: minBytes(free, most(report, layout)),
    maximumVolume: roundDown(minBytes(free, largest(report, layout)), unit),
    minimumVolume: unit,
  };
}

export async function health(ctx: Context): Promise<PoolHealth> {
  const silent: string[] = [];
  const ask = async <T>(what: string, question: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await question();
    } catch (error) {
      silent.push(`${what} of pool '${ctx.pool}' does not answer: ${messageOf(error)}`);
      return undefined;
    }
  };
  const report = await ask('LVM', () => ctx.lvm.report());
  await ask('Device-mapper', () => ctx.kernel.statuses());
  const missing = report?.physicalVolumes.filter((pv) => pv.missing).length ?? 0;
  const gone = missing === 0 ? [] : [`${missing} disks of volume group '${report?.vgName}' are missing`];
  const problems = [...silent, ...gone];
  return { ready: problems.length === 0, reachable: silent.length === 0, problems };
}
