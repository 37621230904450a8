// Messages of the Inspect service -> views: what `toWire` gave, through protobuf and back. Anything else is an error that names the
// field. Pure.

import { z } from 'zod';
import { RESTORE_MODES } from '../transport/restore-modes.ts';
import { fail } from '../vocabulary/errors.ts';
import { isSnapshotId, isStoreName, isVolumeId, parseHandle, poolName, vgUuid } from '../vocabulary/ids.ts';
import type { EntityId, SnapshotId, VolumeId } from '../vocabulary/ids.ts';
import type { Name } from '../records/record.ts';
import { bytes } from '../vocabulary/units.ts';
import type { Bytes } from '../vocabulary/units.ts';
import type { FamilyView, FullView, ImageView, MergeView, PoolContents, WishView } from './view.ts';
import type { NodeView } from './view.ts';
import { FINDINGS, KINDS, MERGES, STATES } from './wire-words.ts';

const restoreOf = (handle: string): string => handle.slice(handle.lastIndexOf('.') + 1);

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

export const full = z
  .object({ writer_id: entityHandle, missing_bytes: size })
  .transform(({ writer_id: writer, missing_bytes: missing }): FullView => ({ writer, missing }));

export const image = z
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

export const family = z
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

export const disk = z
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
