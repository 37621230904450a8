// CreateVolume: blank, a fork of a snapshot, a clone of a volume. Each prepares its stores, then decides with one commit.

import { storeBytesFor } from '../../dm/cow.ts';
import { MOST_NESTED_NEW } from '../../converge/depth.ts';
import type { Family } from '../../records/family.ts';
import { fail } from '../../vocabulary/errors.ts';
import type { SnapshotId, VolumeId } from '../../vocabulary/ids.ts';
import { volumeId } from '../../vocabulary/ids.ts';
import type { PoolReport } from '../../lvm/lvm.ts';
import type { Place, StoreRecord } from '../../records/record.ts';
import { UNMARKED, isLost } from '../../records/record.ts';
import { nameOf } from '../../records/tags.ts';
import { differing } from '../../vocabulary/parameters.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { formatBytes, maxBytes, roundUp } from '../../vocabulary/units.ts';
import type { Context } from '../state/context.ts';
import { copiesOf, firstCowSize, sizeUnit, withRoomFor } from '../families/room.ts';
import { decide, settle } from '../families/commit.ts';
import { drawStore, prepareStore, withToken } from '../families/stores.ts';
import { readFamily, readPool, withFamily, withFamilyOf } from '../state/context.ts';
import { LESS_BELOW, refuseTooDeep, withRecords } from '../families/depth.ts';
import type { CreateVolume, Volume } from '../engine.ts';
import { presentVolume } from '../families/present.ts';
import { putRight, putRightFor } from '../families/repair.ts';
import { newSnapshot, showSnapshot } from './create-snapshot.ts';
import type { VolumeEntity } from '../families/find.ts';
import { entityByName } from '../families/find.ts';

/**
 * Idempotent by name: the same request again gives the same volume, another request under the name is `exists`.
 * `exhausted` without room, `out-of-range` when the limit is below the size that is needed, `not-found` for a source.
 */
export async function createVolume(ctx: Context, request: CreateVolume): Promise<Volume> {
  return ctx.locks.run(`volume-name:${request.name}`, async () => {
    const state = await readPool(ctx);
    const existing = entityByName(state, 'volume', request.name);
    if (existing !== undefined) {
      const same = sameVolume(existing, request);
      await putRightFor(ctx, state, same.id);
      return present(ctx, same);
    }
    const { source } = request;
    if (source === undefined) return present(ctx, await createBlank(ctx, state.report, request));
    if (source.from === 'snapshot') return present(ctx, await createFork(ctx, source.snapshot, request));
    return present(ctx, await createClone(ctx, source.volume, request));
  });
}

function present(ctx: Context, entity: VolumeEntity): Volume {
  return presentVolume(entity, ctx.active.has(entity.id), { state: 'healthy' });
}

function sameVolume(entity: VolumeEntity, request: CreateVolume): VolumeEntity {
  const differs = (what: string): never =>
    fail('exists', `Cannot create volume '${request.name}': it exists with another ${what}`);
  if (entity.size < request.requiredBytes) differs(`size, ${formatBytes(entity.size)}`);
  if (request.limitBytes !== undefined && entity.size > request.limitBytes)
    differs(`size, ${formatBytes(entity.size)}`);
  if (JSON.stringify(entity.source) !== JSON.stringify(request.source)) differs('source');
  const other = differing(entity.parameters, request.parameters);
  if (other !== undefined) differs(`${other}, ${entity.parameters[other]}`);
  return entity;
}

function wantedSize(report: PoolReport, request: CreateVolume, least: Bytes): Bytes {
  const size = roundUp(maxBytes(request.requiredBytes, maxBytes(least, sizeUnit(report))), sizeUnit(report));
  if (request.limitBytes !== undefined && size > request.limitBytes) {
    fail(
      'out-of-range',
      `Cannot create volume '${request.name}': it needs ${formatBytes(size)} (sizes are multiples of ` +
        `${formatBytes(sizeUnit(report))}), the limit is ${formatBytes(request.limitBytes)}`,
    );
  }
  return size;
}

function newEntity(ctx: Context, request: CreateVolume, size: Bytes): VolumeEntity {
  return {
    kind: 'volume',
    id: volumeId(`v-${ctx.drawId()}`),
    name: nameOf(request.name),
    size,
    createdMs: ctx.clock.nowMs(),
    parameters: request.parameters,
    source: request.source,
  };
}

function newRecord(
  ctx: Context,
  entity: VolumeEntity,
  place: Place,
  family: VolumeId,
  token: string,
  window?: Bytes,
): StoreRecord {
  return {
    ...UNMARKED,
    store: drawStore(ctx),
    family,
    entity,
    place,
    chunk: place.kind === 'root' ? undefined : entity.parameters.chunk,
    window,
    pending: token,
  };
}

async function createBlank(ctx: Context, report: PoolReport, request: CreateVolume): Promise<VolumeEntity> {
  if (request.parameters.scratch) {
    fail('invalid', `Cannot create volume '${request.name}': scratch is for volumes made from a snapshot or a volume`);
  }
  const size = wantedSize(report, request, sizeUnit(report));
  const entity = newEntity(ctx, request, size);
  const token = ctx.drawId();
  const record = newRecord(ctx, entity, { kind: 'root' }, entity.id, token);
  return withToken(ctx, token, async () => {
    await prepareStore(ctx, record, size, { what: `a volume of ${formatBytes(size)}`, progressKey: request.name });
    return withFamily(ctx, entity.id, async () => {
      await decide(ctx, record.store, token);
      // Its device was there to be cleaned only; nobody has to wait until it has gone.
      ctx.goOn(entity.id);
      return entity;
    });
  });
}

async function createFork(ctx: Context, snapshot: SnapshotId, request: CreateVolume): Promise<VolumeEntity> {
  return withFamilyOf(ctx, snapshot, async (before) => {
    // Of one that is recorded and not taken yet it would show a later moment.
    const { report, family, node } = ctx.unshown.has(snapshot) ? await putRight(ctx, before) : before;
    if (isLost(node.record)) {
      fail('precondition', `Cannot make a volume from snapshot '${snapshot}': the contents of its store are lost`);
    }
    const fork = newFork(ctx, report, family, node.record.entity.size, snapshot, request);
    await refuseTooDeep(
      ctx,
      withRecords(family, { ...fork.record, pending: undefined }),
      { most: MOST_NESTED_NEW, volumes: [fork.entity.id] },
      {
        doing: `Cannot make a volume from snapshot '${snapshot}'`,
        helps: 'take a newer snapshot, or delete newer ones that nothing else needs: they are merged then',
      },
    );
    return withToken(ctx, fork.token, async () => {
      await prepareStore(ctx, fork.record, fork.storeSize, { what: `a fork of '${snapshot}'` });
      await decide(ctx, fork.record.store, fork.token);
      ctx.goOn(family.id);
      return fork.entity;
    });
  });
}

/** A snapshot that nobody owns, and a fork of it: the fork's commit decides both. */
async function createClone(ctx: Context, volume: VolumeId, request: CreateVolume): Promise<VolumeEntity> {
  return withFamilyOf(ctx, volume, async (before) => {
    const state = await putRight(ctx, before);
    const { report, family, node } = state;
    const token = ctx.drawId();
    const hidden = newSnapshot(ctx, state, `of ${volume} for ${request.name}`, token);
    const fork = newFork(ctx, report, family, node.record.entity.size, hidden.entity.id, request);
    await refuseTooDeep(
      ctx,
      withRecords(
        family,
        { ...hidden.record, deleted: true, pending: undefined },
        { ...fork.record, pending: undefined },
      ),
      { most: MOST_NESTED_NEW, volumes: [fork.entity.id] },
      { doing: `Cannot clone volume '${volume}'`, helps: LESS_BELOW },
    );
    const room = fork.room + hidden.room;
    return withToken(ctx, token, () =>
      withToken(ctx, fork.token, async () => {
        await withRoomFor(ctx, room, `a clone of '${volume}'`, async (taken) => {
          await prepareStore(ctx, { ...hidden.record, deleted: true }, hidden.storeSize, { taken });
          await prepareStore(ctx, { ...fork.record, decides: token }, fork.storeSize, { taken });
        });
        await decide(ctx, fork.record.store, fork.token);
        await showSnapshot(ctx, state);
        await settle(ctx, (await readFamily(ctx, family.id)).family);
        ctx.goOn(family.id);
        return fork.entity;
      }),
    );
  });
}

interface NewFork {
  readonly entity: VolumeEntity;
  readonly record: StoreRecord;
  readonly token: string;
  readonly storeSize: Bytes;
  /** Bytes of extents, copies included. */
  readonly room: bigint;
}

function newFork(
  ctx: Context,
  report: PoolReport,
  family: Family,
  least: Bytes,
  snapshot: SnapshotId,
  request: CreateVolume,
): NewFork {
  const size = wantedSize(report, request, least);
  const { chunk, snapshotReservePercent, layout } = request.parameters;
  const storeSize = firstCowSize(ctx, report, size, snapshotReservePercent, storeBytesFor(size, chunk));
  const entity = newEntity(ctx, request, size);
  const token = ctx.drawId();
  const record = newRecord(ctx, entity, { kind: 'fork', snapshot }, family.id, token, least);
  return { entity, record, token, storeSize, room: storeSize * copiesOf(layout) };
}
