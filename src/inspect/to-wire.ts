// Views -> messages of the Inspect service. Pure.

import type { Finding as WireFinding } from '#proto/snapmerge/v1/Finding.ts';
import type { ImageState as WireImage } from '#proto/snapmerge/v1/ImageState.ts';
import type { InspectPoolsResponse } from '#proto/snapmerge/v1/InspectPoolsResponse.ts';
import type { MergeState } from '#proto/snapmerge/v1/MergeState.ts';
import type { PoolState } from '#proto/snapmerge/v1/PoolState.ts';
import type { WishState } from '#proto/snapmerge/v1/WishState.ts';
import { RESTORE_MODES } from '../transport/restore-modes.ts';
import { timestamp } from '../transport/timestamp.ts';
import { handleText, restoreHandle } from '../vocabulary/ids.ts';
import type { EntityId, PoolName, VgUuid } from '../vocabulary/ids.ts';
import type { Finding, ImageView, MergeView, PoolView, WishView } from './view.ts';
import type { NodeView } from './view.ts';
import { FINDINGS, KINDS, MERGES, STATES } from './wire-words.ts';

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

function findingMessage({ kind, subject, message }: Finding): WireFinding {
  return { kind: FINDINGS[kind], subject, message };
}
