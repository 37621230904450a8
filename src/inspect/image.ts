// One image of a family -> what there is to see of it. Pure.

import type { Desired } from '../converge/device.ts';
import { isFed } from '../records/family.ts';
import type { Family, Node } from '../records/family.ts';
import type { Observed, ObservedDevice } from '../dm/kernel.ts';
import { deviceNode } from '../dm/observed.ts';
import { heldStores } from '../dm/table.ts';
import type { EntityId } from '../vocabulary/ids.ts';
import { deviceKey } from '../vocabulary/ids.ts';
import type { StoreReport } from '../lvm/lvm.ts';
import type { Entity } from '../records/record.ts';
import { isLost } from '../records/record.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { bytes, toBytes } from '../vocabulary/units.ts';
import type { ImageKind, ImageState, ImageView, Known, MergeView, TopView, WishView } from './view.ts';

export interface ImageInput {
  readonly family: Family;
  readonly node: Node;
  readonly stores: ReadonlyMap<string, StoreReport>;
  /** Of the family alone. */
  readonly observed: Observed;
  readonly wanted: Desired;
  readonly known: Known;
  readonly depths: ReadonlyMap<EntityId, number>;
}

export function viewImage(input: ImageInput): ImageView {
  const { family, node, stores, observed } = input;
  const { entity, store, chunk, deleted } = node.record;
  return {
    id: node.id,
    name: entity.name,
    kind: kindOf(node),
    ghost: deleted,
    scratch: entity.parameters.scratch && entity.kind === 'volume',
    size: entity.size,
    createdMs: entity.createdMs,
    parent: node.parent,
    source: sourceOf(entity),
    layout: entity.parameters.layout,
    chunk,
    store,
    storeSize: stores.get(store)?.size ?? bytes(0),
    used: usedOf(input),
    depth: input.depths.get(node.id) ?? 0,
    shown: observed.devices.get(deviceKey(node.id, 'view'))?.live !== undefined,
    fed: isFed(family, node),
    top: topView(node, observed),
    state: stateOf(node, observed),
    damaged: stores.get(store)?.damaged === true,
    merge: mergeOf(input),
    wish: wishOf(input),
    full: input.known.full.get(store),
  };
}

function kindOf({ record, parent }: Node): ImageKind {
  if (record.entity.kind === 'snapshot') return 'snapshot';
  return parent === undefined ? 'volume' : 'fork';
}

function sourceOf(entity: Entity): EntityId | undefined {
  if (entity.kind === 'snapshot') return entity.volume;
  return entity.source?.from === 'volume' ? entity.source.volume : entity.source?.snapshot;
}

/** Devices of ours that are one image's: their keys begin with its id. */
export function devicesOf(id: EntityId, observed: Observed): readonly ObservedDevice[] {
  return [...observed.devices.values()].filter(({ key }) => key.startsWith(`${id}-`));
}

function topView(node: Node, observed: Observed): TopView | undefined {
  const top = observed.devices.get(deviceKey(node.id, 'top'));
  return top === undefined ? undefined : { path: deviceNode(top.majorMinor), openers: top.openCount };
}

function usedOf({ node, stores, observed, known }: ImageInput): Bytes | undefined {
  const { store, chunk } = node.record;
  if (chunk === undefined) return stores.get(store)?.size;
  const holder = devicesOf(node.id, observed).find(({ live }) => heldStores(live).includes(store));
  if (holder?.status?.state === 'counts') return toBytes(holder.status.used);
  return known.measured.get(store);
}

function stateOf(node: Node, observed: Observed): ImageState {
  if (isLost(node.record)) return 'invalid';
  const states = devicesOf(node.id, observed).flatMap(({ status }) =>
    status === undefined || status.state === 'counts' ? [] : [status.state],
  );
  return states[0] ?? 'sound';
}

function mergeOf(input: ImageInput): MergeView | undefined {
  const { node } = input;
  const { restore, merging } = node.record;
  if (restore !== undefined) {
    const { token, snapshot, totalBytes, into } = restore;
    const isPromotion = into !== undefined && node.parent !== undefined;
    return {
      kind: isPromotion ? 'promotion' : 'restore',
      with: isPromotion ? node.parent : snapshot,
      restore: `r-${token}`,
      total: totalBytes,
      left: leftOf(input),
    };
  }
  if (merging === undefined || node.parent === undefined) return undefined;
  return { kind: 'absorption', with: node.parent, restore: undefined, total: undefined, left: leftOf(input) };
}

function wishOf({ node, known }: ImageInput): WishView | undefined {
  const { wish, deleted } = node.record;
  if (wish === undefined || deleted) return undefined;
  const { token, mode, snapshot } = wish;
  return { restore: `r-${token}`, mode, snapshot, reason: known.whyWaiting.get(token) ?? '' };
}

/** Bytes that the merges of an image still have to move; undefined when one of them is not in the kernel, or has failed. */
function leftOf({ node, observed, wanted }: ImageInput): Bytes | undefined {
  const merges = wanted.devices.filter(
    ({ key, table }) => key.startsWith(`${node.id}-`) && table.some(({ type }) => type === 'snapshot-merge'),
  );
  let left = 0n;
  for (const { key } of merges) {
    const device = observed.devices.get(key);
    if (device?.live?.[0]?.type !== 'snapshot-merge' || device.status?.state !== 'counts') return undefined;
    left += toBytes(device.status.used) - toBytes(device.status.metadata);
  }
  return bytes(left);
}
