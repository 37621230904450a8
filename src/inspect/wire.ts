// Views <-> messages of the Inspect service: the one place that knows its field names, both ways. `fromWire` takes what
// `toWire` gave through protobuf and back; anything else is an error that names the field. Pure.

import { z } from 'zod';
import type { Finding as WireFinding } from '#proto/snapmerge/v1/Finding.ts';
import type { FindingKind__Output as WireFindingKind } from '#proto/snapmerge/v1/FindingKind.ts';
import type { ImageCondition__Output as WireImageCondition } from '#proto/snapmerge/v1/ImageCondition.ts';
import type { ImageKind__Output as WireImageKind } from '#proto/snapmerge/v1/ImageKind.ts';
import type { ImageState as WireImage } from '#proto/snapmerge/v1/ImageState.ts';
import type { InspectPoolsResponse } from '#proto/snapmerge/v1/InspectPoolsResponse.ts';
import type { MergeKind__Output as WireMergeKind } from '#proto/snapmerge/v1/MergeKind.ts';
import type { MergeState } from '#proto/snapmerge/v1/MergeState.ts';
import type { PoolState } from '#proto/snapmerge/v1/PoolState.ts';
import type { WishState } from '#proto/snapmerge/v1/WishState.ts';
import { RESTORE_MODES } from '../transport/restore-modes.ts';
import { timestamp } from '../transport/timestamp.ts';
import { fail } from '../vocabulary/errors.ts';
import {
  handleText,
  isSnapshotId,
  isStoreName,
  isVolumeId,
  parseHandle,
  poolName,
  restoreHandle,
  vgUuid,
} from '../vocabulary/ids.ts';
import type { EntityId, PoolName, SnapshotId, VgUuid, VolumeId } from '../vocabulary/ids.ts';
import type { Name } from '../records/record.ts';
import { bytes } from '../vocabulary/units.ts';
import type { Bytes } from '../vocabulary/units.ts';
import type {
  FamilyView,
  Finding,
  FindingKind,
  FullView,
  ImageKind,
  ImageState,
  ImageView,
  MergeKind,
  MergeView,
  PoolContents,
  PoolView,
  WishView,
} from './view.ts';

export interface NodeView {
  /** Of the driver. */
  readonly version: string;
  readonly pools: readonly PoolView[];
}

const KINDS: Readonly<Record<ImageKind, WireImageKind>> = {
  volume: 'IMAGE_KIND_VOLUME',
  fork: 'IMAGE_KIND_FORK',
  snapshot: 'IMAGE_KIND_SNAPSHOT',
};
const STATES: Readonly<Record<ImageState, WireImageCondition>> = {
  sound: 'IMAGE_CONDITION_SOUND',
  invalid: 'IMAGE_CONDITION_INVALID',
  overflow: 'IMAGE_CONDITION_OVERFLOW',
  'merge-failed': 'IMAGE_CONDITION_MERGE_FAILED',
  unknown: 'IMAGE_CONDITION_UNKNOWN',
};
const MERGES: Readonly<Record<MergeKind, WireMergeKind>> = {
  restore: 'MERGE_KIND_RESTORE',
  promotion: 'MERGE_KIND_PROMOTION',
  absorption: 'MERGE_KIND_ABSORPTION',
};
const FINDINGS: Readonly<Record<FindingKind, WireFindingKind>> = {
  table: 'FINDING_KIND_TABLE',
  state: 'FINDING_KIND_STATE',
  'not-fed': 'FINDING_KIND_NOT_FED',
  lost: 'FINDING_KIND_LOST',
  store: 'FINDING_KIND_STORE',
  'left-over': 'FINDING_KIND_LEFT_OVER',
  law: 'FINDING_KIND_LAW',
  depth: 'FINDING_KIND_DEPTH',
};

export function toWire({ version, pools }: NodeView): InspectPoolsResponse {
  return { version, pools: pools.map(poolMessage) };
}

function poolMessage({ name, problem, contents }: PoolView): PoolState {
  if (contents === undefined) return { name, problem };
  const { vgName, vgUuid: vg, size, free, reserve, metadataSize, metadataFree, strangers } = contents;
  const { disks, families, troubles, findings } = contents;
  const handle = (id: EntityId): string => handleText(name, vg, id);
  return {
    name,
    problem,
    volume_group: vgName,
    volume_group_uuid: vg,
    size_bytes: `${size}`,
    free_bytes: `${free}`,
    reserve_bytes: `${reserve ?? 0n}`,
    metadata_bytes: `${metadataSize}`,
    metadata_free_bytes: `${metadataFree}`,
    disks: disks.map((disk) => ({
      path: disk.path,
      size_bytes: `${disk.size}`,
      free_bytes: `${disk.free}`,
      missing: disk.missing,
      closed: disk.closed,
    })),
    strangers,
    families: families.map((family) => ({
      family_id: handle(family.id),
      images: family.images.map((image) => imageMessage(image, name, vg)),
      stored_bytes: `${family.stored}`,
      stuck: family.stuck,
      waits_for_room: family.waitsForRoom,
      busy: family.busy,
      findings: family.findings.map(findingMessage),
    })),
    troubles: troubles.map(({ family, stores, images, reason }) => ({
      family_id: family === undefined ? '' : handle(family),
      stores: [...stores],
      images: [...images],
      reason,
    })),
    findings: findings.map(findingMessage),
  };
}

function imageMessage(image: ImageView, pool: PoolName, vg: VgUuid): WireImage {
  const { name, chunk, used, merge, wish, full, top } = image;
  const handle = (id: EntityId | undefined): string => (id === undefined ? '' : handleText(pool, vg, id));
  return {
    image_id: handle(image.id),
    name: name.as === 'text' ? name.text : '',
    name_hash: name.as === 'hash' ? name.hash : '',
    kind: KINDS[image.kind],
    ghost: image.ghost,
    scratch: image.scratch,
    size_bytes: `${image.size}`,
    created_at: timestamp(image.createdMs),
    parent_id: handle(image.parent),
    source_id: handle(image.source),
    layout: image.layout,
    ...(chunk === undefined ? {} : { chunk_bytes: `${chunk}` }),
    store: image.store,
    store_bytes: `${image.storeSize}`,
    ...(used === undefined ? {} : { used_bytes: `${used}` }),
    depth: image.depth,
    shown: image.shown,
    fed: image.fed,
    device: top?.path ?? '',
    openers: top?.openers ?? 0,
    condition: STATES[image.state],
    damaged: image.damaged,
    merge: merge === undefined ? null : mergeMessage(merge, pool, vg),
    wish: wish === undefined ? null : wishMessage(wish, pool, vg),
    full: full === undefined ? null : { writer_id: handle(full.writer), missing_bytes: `${full.missing}` },
  };
}

function mergeMessage({ kind, with: other, restore, total, left }: MergeView, pool: PoolName, vg: VgUuid): MergeState {
  return {
    kind: MERGES[kind],
    restore_id: restore === undefined ? '' : restoreHandle(pool, vg, restore),
    with_id: handleText(pool, vg, other),
    ...(total === undefined ? {} : { total_bytes: `${total}` }),
    ...(left === undefined ? {} : { left_bytes: `${left}` }),
  };
}

function wishMessage({ restore, mode, snapshot, reason }: WishView, pool: PoolName, vg: VgUuid): WishState {
  return {
    restore_id: restoreHandle(pool, vg, restore),
    mode: RESTORE_MODES[mode],
    snapshot_id: handleText(pool, vg, snapshot),
    reason,
  };
}

const restoreOf = (handle: string): string => handle.slice(handle.lastIndexOf('.') + 1);

function findingMessage({ kind, subject, message }: Finding): WireFinding {
  return { kind: FINDINGS[kind], subject, message };
}

const size = z
  .string()
  .regex(/^\d{1,19}$/, 'is no size')
  .transform((text): Bytes => bytes(BigInt(text)));
/** Absent stays undefined. */
const optionalSize = size.nullish().transform((value) => value ?? undefined);
const when = z
  .object({ seconds: z.string().regex(/^\d{1,16}$/), nanos: z.number() })
  .transform(({ seconds, nanos }) => Number(seconds) * 1000 + Math.round(nanos / 1_000_000));
const store = z.string().refine(isStoreName, 'is no store');

const entityHandle = z.string().transform((text, context): EntityId => {
  const handle = parseHandle(text);
  if (handle !== undefined) return handle.id;
  context.addIssue(`'${text}' is no handle`);
  return z.NEVER;
});
const volumeHandle = entityHandle.refine((id): id is VolumeId => isVolumeId(id), 'is no volume');
const optionalHandle = z.union([z.literal('').transform(() => undefined), entityHandle]);

/** The key of a map by its value, as a schema. */
function oneOf<K extends string>(names: Readonly<Record<K, string>>): z.ZodType<K> {
  const keys = new Map(Object.entries<string>(names).map(([key, name]) => [name, key]));
  const isKey = (text: string): text is K => text in names;
  return z.string().transform((name, context): K => {
    const key = keys.get(name);
    if (key !== undefined && isKey(key)) return key;
    context.addIssue(`'${name}' is unknown to this version`);
    return z.NEVER;
  });
}

const finding = z.object({ kind: oneOf(FINDINGS), subject: z.string(), message: z.string() });

const merge = z
  .object({
    kind: oneOf(MERGES),
    restore_id: z.string(),
    with_id: entityHandle,
    total_bytes: optionalSize,
    left_bytes: optionalSize,
  })
  .transform((one): MergeView => ({
    kind: one.kind,
    with: one.with_id,
    restore: one.restore_id === '' ? undefined : restoreOf(one.restore_id),
    total: one.total_bytes,
    left: one.left_bytes,
  }));

const snapshotHandle = entityHandle.refine((id): id is SnapshotId => isSnapshotId(id), 'is no snapshot');
const wish = z
  .object({ restore_id: z.string(), mode: oneOf(RESTORE_MODES), snapshot_id: snapshotHandle, reason: z.string() })
  .transform(({ restore_id: restore, snapshot_id: snapshot, mode, reason }): WishView => ({
    restore: restoreOf(restore),
    mode,
    snapshot,
    reason,
  }));

const full = z
  .object({ writer_id: entityHandle, missing_bytes: size })
  .transform(({ writer_id: writer, missing_bytes: missing }): FullView => ({ writer, missing }));

const image = z
  .object({
    image_id: entityHandle,
    name: z.string(),
    name_hash: z.string(),
    kind: oneOf(KINDS),
    ghost: z.boolean(),
    scratch: z.boolean(),
    size_bytes: size,
    created_at: when,
    parent_id: optionalHandle,
    source_id: optionalHandle,
    layout: z.enum(['linear', 'striped', 'raid1']),
    chunk_bytes: optionalSize,
    store,
    store_bytes: size,
    used_bytes: optionalSize,
    depth: z.int(),
    shown: z.boolean(),
    fed: z.boolean(),
    device: z.string(),
    openers: z.number(),
    condition: oneOf(STATES),
    damaged: z.boolean(),
    merge: merge.nullish().transform((value) => value ?? undefined),
    wish: wish.nullish().transform((value) => value ?? undefined),
    full: full.nullish().transform((value) => value ?? undefined),
  })
  .transform((one): ImageView => {
    const name: Name = one.name === '' ? { as: 'hash', hash: one.name_hash } : { as: 'text', text: one.name };
    return {
      id: one.image_id,
      name,
      kind: one.kind,
      ghost: one.ghost,
      scratch: one.scratch,
      size: one.size_bytes,
      createdMs: one.created_at,
      parent: one.parent_id,
      source: one.source_id,
      layout: one.layout,
      chunk: one.chunk_bytes,
      store: one.store,
      storeSize: one.store_bytes,
      used: one.used_bytes,
      depth: one.depth,
      shown: one.shown,
      fed: one.fed,
      top: one.device === '' ? undefined : { path: one.device, openers: one.openers },
      state: one.condition,
      damaged: one.damaged,
      merge: one.merge,
      wish: one.wish,
      full: one.full,
    };
  });

const family = z
  .object({
    family_id: volumeHandle,
    images: z.array(image),
    stored_bytes: size,
    stuck: z.string(),
    waits_for_room: z.boolean(),
    busy: z.boolean(),
    findings: z.array(finding),
  })
  .transform(({ family_id: id, stored_bytes: stored, waits_for_room: waitsForRoom, ...rest }): FamilyView => ({
    id,
    stored,
    waitsForRoom,
    ...rest,
  }));

const disk = z
  .object({ path: z.string(), size_bytes: size, free_bytes: size, missing: z.boolean(), closed: z.boolean() })
  .transform(({ size_bytes: total, free_bytes: free, ...rest }) => ({ size: total, free, ...rest }));

const trouble = z
  .object({
    family_id: z.union([z.literal('').transform(() => undefined), volumeHandle]),
    stores: z.array(store),
    images: z.array(z.string()),
    reason: z.string(),
  })
  .transform(({ family_id: id, ...rest }) => ({ family: id, ...rest }));

const contents = z
  .object({
    volume_group: z.string(),
    volume_group_uuid: z.string().transform(vgUuid),
    size_bytes: size,
    free_bytes: size,
    reserve_bytes: size,
    metadata_bytes: size,
    metadata_free_bytes: size,
    disks: z.array(disk),
    strangers: z.number(),
    families: z.array(family),
    troubles: z.array(trouble),
    findings: z.array(finding),
  })
  .transform((pool): PoolContents => ({
    vgName: pool.volume_group,
    vgUuid: pool.volume_group_uuid,
    size: pool.size_bytes,
    free: pool.free_bytes,
    reserve: pool.reserve_bytes,
    metadataSize: pool.metadata_bytes,
    metadataFree: pool.metadata_free_bytes,
    disks: pool.disks,
    strangers: pool.strangers,
    families: pool.families,
    troubles: pool.troubles,
    findings: pool.findings,
  }));

const node = z.object({
  version: z.string(),
  pools: z.array(z.looseObject({ name: z.string().transform(poolName), problem: z.string() })),
});

/** Throws `internal` with the field that is not as this version writes it. */
export function fromWire(message: unknown): NodeView {
  const { version, pools } = read(node, message);
  return {
    version,
    pools: pools.map((pool) => {
      const { name, problem } = pool;
      return { name, problem, contents: problem === '' ? read(contents, pool) : undefined };
    }),
  };
}

function read<S extends z.ZodType>(schema: S, message: unknown): z.output<S> {
  const result = schema.safeParse(message);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  return fail('internal', `Cannot read the driver's answer: ${issue?.path.map(String).join('.')}: ${issue?.message}`);
}
