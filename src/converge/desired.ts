// Family and what is in use -> the tables that the kernel should hold. Pure, total and deterministic: this is the whole
// meaning of the records. Where a device hangs is decided here and nowhere else.

import { assert } from '../vocabulary/errors.ts';
import type { DeviceKey, EntityId, StoreName, VolumeId } from '../vocabulary/ids.ts';
import { deviceKey, storeDevice } from '../vocabulary/ids.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { bytes, minBytes, sectors, toSectors } from '../vocabulary/units.ts';
import { storeBytesFor } from '../dm/cow.ts';
import type { Family, Node } from '../records/family.ts';
import { ancestorsOf, isFed, parentOf } from '../records/family.ts';
import type { RestoreMark, StoreRecord } from '../records/record.ts';
import { imageSize, isLost } from '../records/record.ts';
import type { CowMode, Ref, Table, Target } from '../dm/table.ts';
import { onDevice, onStore, refsOf } from '../dm/table.ts';
import { cowDevices } from './tails.ts';
import type { Desired, DesiredDevice } from './device.ts';
import { absorbing, fedBy, waitsWhenFull } from '../records/family.ts';
import { bottomUp } from './device.ts';

/** Volumes with a top device, and images to be shown although nobody uses them now (to be measured or read). */
export interface InUse {
  readonly volumes: ReadonlySet<VolumeId>;
  readonly pinned: ReadonlySet<EntityId>;
  /** Volumes of which all is shown but the top: nobody can write yet, and what is there can be looked at. */
  readonly prepared?: ReadonlySet<VolumeId>;
  /** Shows what is merged as snapshots, which move nothing: a merge that has failed begins anew only by way of that. */
  readonly holdsMerges?: boolean;
}

/** Of the volumes with a top device, those of a family that their users have not deleted. */
export function inUseIn(family: Family, active: Iterable<VolumeId>, pinned: Iterable<EntityId>): InUse {
  const isLiving = (id: VolumeId): boolean => family.nodes.get(id)?.record.deleted === false;
  return { volumes: new Set([...active].filter(isLiving)), pinned: new Set(pinned) };
}

export function desired(family: Family, inUse: InUse): Desired {
  const needed = neededNodes(family, inUse);
  const devices: DesiredDevice[] = [];
  // A pad belongs to its reader and lies over the parent; levels belong to the restored volume: all before their users.
  for (const node of parentsFirst(family, needed)) {
    devices.push(...viewDevices(family, node, inUse));
  }
  for (const id of [...inUse.volumes].sort()) {
    const node = family.nodes.get(id);
    if (node !== undefined) devices.push(topDevice(family, node));
  }
  const sorted = bottomUp(devices);
  return { devices: sorted, stores: storesOf(sorted), givenUp: new Set(family.rubbish) };
}

/** Does anything write to this node's view: its own top, a restore of it, or a child that is being merged into it? */
export function isWritten(family: Family, node: Node, { volumes }: Pick<InUse, 'volumes'>): boolean {
  const { entity, restore } = node.record;
  if (entity.kind === 'volume' && volumes.has(entity.id)) return true;
  return restore !== undefined || absorbing(family, node) !== undefined;
}

/** Whether anything is written into a node's own store: by itself, or by what it takes the old contents of. */
export function isFilled(family: Family, node: Node, inUse: Pick<InUse, 'volumes'>): boolean {
  if (node.level !== undefined || absorbing(family, node) !== undefined) return true;
  if (node.record.entity.kind === 'volume') return isWritten(family, node, inUse);
  const parent = parentOf(family, node);
  return parent !== undefined && isFed(family, node) && isWritten(family, parent, inUse);
}

function neededNodes(family: Family, inUse: InUse): ReadonlySet<EntityId> {
  const needed = new Set<EntityId>();
  const { prepared = new Set() } = inUse;
  const written = inUse.volumes.union(prepared);
  const want = (id: EntityId): void => {
    const node = family.nodes.get(id);
    if (node === undefined || needed.has(id)) return;
    needed.add(id);
    if (node.parent !== undefined) want(node.parent);
    if (isWritten(family, node, { volumes: written })) {
      const fed = fedBy(family, node);
      if (fed !== undefined) want(fed.id);
    }
    if (node.record.restore !== undefined) {
      for (const reader of node.readers) if (family.nodes.get(reader)?.level !== undefined) want(reader);
    }
  };
  for (const id of [...written, ...inUse.pinned]) want(id);
  for (const node of family.nodes.values()) {
    if (node.record.restore !== undefined || node.record.merging !== undefined) want(node.id);
  }
  return needed;
}

function parentsFirst(family: Family, needed: ReadonlySet<EntityId>): readonly Node[] {
  return [...needed]
    .flatMap((id) => family.nodes.get(id) ?? [])
    .map((node) => ({ node, depth: ancestorsOf(family, node).length }))
    .sort((a, b) => a.depth - b.depth || (a.node.id < b.node.id ? -1 : 1))
    .map(({ node }) => node);
}

function storesOf(devices: readonly DesiredDevice[]): ReadonlySet<StoreName> {
  const refs = devices.flatMap(({ table }) => refsOf(table));
  return new Set(refs.flatMap((ref) => (ref.on === 'store' ? [ref.store] : [])));
}

/** The view of a node with what only it needs below: a pad, the levels of a running restore. */
function viewDevices(family: Family, node: Node, { holdsMerges = false }: InUse): readonly DesiredDevice[] {
  const { record, id } = node;
  const view = deviceKey(id, 'view');
  const { restore } = record;
  if (isLost(record)) {
    const table: Table = [{ type: 'error', length: toSectors(imageSize(record)) }];
    return [{ key: view, table, readOnly: false }];
  }
  if (restore === undefined) {
    const parent = parentImage(family, node);
    const readOnly = record.entity.kind === 'snapshot' && absorbing(family, node) === undefined;
    const target = baseTarget(family, node, parent.ref, holdsMerges);
    return [...parent.devices, ...growingStore(family, node), { key: view, table: [target], readOnly }];
  }
  const base = restoreBase(family, node, restore);
  const levels = levelDevices(family, node, restore, base.ref, holdsMerges);
  // A promoted fork may be smaller than what is merged into what it takes over.
  const shown = minBytes(restore.size, imageSize(record));
  const merged = toSectors(shown);
  const more = toSectors(bytes(imageSize(record) - shown));
  const table: Table = [
    { type: 'linear', length: merged, on: onDevice(mergeDevice(id, restore.stack.length)), offset: sectors(0) },
    // What the volume has grown by since lies beside the merges: their tables cannot be made longer under way.
    ...(more > 0n ? [{ type: 'linear' as const, length: more, on: base.ref, offset: merged }] : []),
  ];
  return [...base.devices, ...levels, { key: view, table, readOnly: false }];
}

/** What all is merged into: the volume's data store, the fork's own image, or the origin that a fork takes over. */
function restoreBase(family: Family, node: Node, { into }: RestoreMark): Image & { readonly ref: Ref } {
  const { record, id, parent } = node;
  if (into !== undefined) {
    assert(parent !== undefined, `'${id}' is promoted into '${into}' and has no parent`);
    return { ref: onDevice(deviceKey(parent, 'view')), devices: [] };
  }
  if (record.place.kind === 'root') return { ref: onStore(record.store), devices: [] };
  const below = parentImage(family, node);
  const key = mergeDevice(id, 0);
  const base = { key, table: [baseTarget(family, node, below.ref, false)], readOnly: false };
  return { ref: onDevice(key), devices: [...below.devices, ...growingStore(family, node), base] };
}

/** Merging takes no room in the store that is merged, so that needs no tail; as a snapshot it takes what is written. */
function levelDevices(
  family: Family,
  { id }: Node,
  { stack, size, into }: RestoreMark,
  base: Ref,
  isHeld: boolean,
): readonly DesiredDevice[] {
  return stack.flatMap((store, index): readonly DesiredDevice[] => {
    const record = family.records.get(store);
    const chunk = record?.chunk;
    assert(record !== undefined && chunk !== undefined, `store '${store}' is merged and has no chunk size`);
    // What hung on the origin itself is handed over, by the same device and over the same origin: otherwise it would still
    // be fed by the merge, and change the store under it.
    const isHandedOver = into !== undefined && index === 0;
    const mayGrow = isHandedOver || isHeld;
    const target: Target = {
      type: isHeld ? 'snapshot' : 'snapshot-merge',
      length: toSectors(size),
      origin: index === 0 ? base : onDevice(mergeDevice(id, index)),
      cow: mayGrow ? onDevice(storeDevice(store, 'cow')) : onStore(store),
      mode: 'P',
      chunk: toSectors(chunk),
    };
    return [
      ...(mayGrow ? growing(family, record, chunk) : []),
      { key: mergeDevice(id, index + 1), table: [target], readOnly: false },
    ];
  });
}

/** The image after so many stores of the restore's stack have been merged; 0 is a fork's own before any. */
function mergeDevice(volume: EntityId, merged: number): DeviceKey {
  return deviceKey(volume, `level${merged}`);
}

/** Devices of a restore that merge, the lowest first. */
export function mergeDevices(volume: EntityId, { stack }: RestoreMark): readonly DeviceKey[] {
  return stack.map((_, index) => mergeDevice(volume, index + 1));
}

function baseTarget(family: Family, node: Node, parent: Ref | undefined, holdsMerges: boolean): Target {
  const { record } = node;
  const length = toSectors(imageSize(record));
  if (record.place.kind === 'root') return { type: 'linear', length, on: onStore(record.store), offset: sectors(0) };
  assert(parent !== undefined && record.chunk !== undefined, `'${node.id}' is a cow store and hangs on nothing`);
  return {
    type: record.merging === undefined || holdsMerges ? 'snapshot' : 'snapshot-merge',
    length,
    origin: parent,
    cow: waitsWhenFull(family, node) ? onDevice(storeDevice(record.store, 'cow')) : onStore(record.store),
    mode: cowMode(record),
    chunk: toSectors(record.chunk),
  };
}

/** What lies between a store that may grow and the snapshot over it. */
function growingStore(family: Family, node: Node): readonly DesiredDevice[] {
  const { chunk } = node.record;
  return chunk === undefined || !waitsWhenFull(family, node) ? [] : growing(family, node.record, chunk);
}

function growing(family: Family, record: StoreRecord, chunk: Bytes): readonly DesiredDevice[] {
  const most = storeBytesFor(imageSize(record), chunk);
  return cowDevices(record.store, family.sizes.get(record.store) ?? most, most);
}

/** A volume's own write that finds no room fails without invalidating it; a store being merged takes the plain form. */
function cowMode({ entity, merging }: StoreRecord): CowMode {
  if (entity.kind === 'snapshot' || merging !== undefined) return 'P';
  return entity.parameters.scratch ? 'N' : 'PO';
}

interface Image {
  readonly ref: Ref | undefined;
  readonly devices: readonly DesiredDevice[];
}

/** What a node reads through: its parent's view, or a level of its restore, followed by zeroes where its window ends. */
function parentImage(family: Family, node: Node): Image {
  const parent = parentOf(family, node);
  if (parent === undefined) return { ref: undefined, devices: [] };
  const ref = onDevice(parentDevice(parent, node.level));
  const { entity, window, merging } = node.record;
  const size = imageSize(node.record);
  const shown = minBytes(imageSize(parent.record), window ?? size);
  // A transient store's exceptions live in its table and go over to a new one only while what it hangs on stays the same
  // device: such a fork keeps its pad from the beginning, so that it can grow.
  const scratch = entity.kind === 'volume' && entity.parameters.scratch;
  // A merge needs its parent bare; before it began the parent was made to show zeroes itself.
  if ((shown >= size && !scratch) || merging !== undefined) return { ref, devices: [] };
  const key = deviceKey(node.id, 'pad');
  const pad = { key, table: padTable(ref, minBytes(shown, size), size), readOnly: false };
  return { ref: onDevice(key), devices: [pad] };
}

function parentDevice(parent: Node, level: number | undefined): DeviceKey {
  const isRunning = level !== undefined && parent.record.restore !== undefined;
  return isRunning ? mergeDevice(parent.id, level) : deviceKey(parent.id, 'view');
}

function padTable(ref: Ref, shown: Bytes, size: Bytes): Table {
  const visible: Target = { type: 'linear', length: toSectors(shown), on: ref, offset: sectors(0) };
  return shown === size ? [visible] : [visible, { type: 'zero', length: toSectors(bytes(size - shown)) }];
}

function topDevice(family: Family, node: Node): DesiredDevice {
  const length = toSectors(node.record.entity.size);
  const view = onDevice(deviceKey(node.id, 'view'));
  const target: Target =
    fedBy(family, node) === undefined
      ? { type: 'linear', length, on: view, offset: sectors(0) }
      : { type: 'snapshot-origin', length, origin: view };
  return { key: deviceKey(node.id, 'top'), table: [target], readOnly: false };
}
