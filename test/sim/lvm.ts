// One volume group in memory. Each change is one metadata commit, and commits are only in a disk's cache until a flush:
// a power cut may fall back to any of them since the last one. Extents that a removed volume had are given out again at
// once, first fit, with whatever they hold; contents are never cleaned here.

import type { StoreName, VgUuid } from '../../src/vocabulary/ids.ts';
import { isStoreName } from '../../src/vocabulary/ids.ts';
import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import { HeldOpen } from '../../src/dm/kernel.ts';
import type { Layout, Lvm, PoolReport, StoreReport } from '../../src/lvm/lvm.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { bytes } from '../../src/vocabulary/units.ts';
import { diskOfExtent, flushDisks } from './disk.ts';
import type { Around } from './effects.ts';
import { alive, effect } from './effects.ts';
import { refuse } from './errors.ts';
import type { Machine, StoreDevice, Volume } from './machine.ts';
import { BLOCK_BYTES, notice } from './machine.ts';

const TAG = /^[A-Za-z0-9_+.\-/=!:&#]{1,1024}$/;
/** Rough text of one volume in the metadata, without its tags. */
const VOLUME_TEXT_BYTES = 400n;

export interface GroupFacts {
  readonly vgName: string;
  readonly vgUuid: VgUuid;
  readonly metadataSize: Bytes;
}

export function createLvm(m: Machine, facts: GroupFacts, around: Around): Lvm {
  const change = async (text: string, run: () => void) => effect(m, text, run, around);
  return {
    stamp: async () => {
      alive(m);
      return `${m.lvm.current.seqno}`;
    },
    report: async () => {
      alive(m);
      return report(m, facts);
    },
    create: (store, size, layout, tags) =>
      change(`lvcreate ${store} ${size} ${layout} ${tags.join(',')}`, () => {
        create(m, store, size, layout, tags, true);
        activateStore(m, store);
      }),
    remove: (store) => change(`lvremove ${store}`, () => remove(m, store)),
    extend: (store, size) => change(`lvextend ${store} ${size}`, () => extend(m, store, size)),
    shrink: (store, size) => change(`lvreduce ${store} ${size}`, () => shrink(m, store, size)),
    retag: (store, add, removeTags) =>
      change(`lvchange ${store} +${add.join(',')} -${removeTags.join(',')}`, () => retag(m, store, add, removeTags)),
    flush: () => change('flush the pool', () => flushPool(m)),
  };
}

function commit(m: Machine, name: string, volume: Volume | undefined): void {
  const volumes = new Map(m.lvm.current.volumes);
  if (volume === undefined) volumes.delete(name);
  else volumes.set(name, volume);
  m.lvm.current = { seqno: m.lvm.current.seqno + 1, volumes };
  m.lvm.sinceFlush.push(m.lvm.current);
}

function volumeOf(m: Machine, name: string): Volume {
  const volume = m.lvm.current.volumes.get(name);
  if (volume === undefined || !volume.ours) return refuse(`Cannot find ${name}: no such logical volume of ours`);
  return volume;
}

export function flushPool(m: Machine): void {
  m.lvm.sinceFlush = [m.lvm.current];
  flushDisks(m.space);
}

function extentBytes(m: Machine): bigint {
  return BigInt(m.space.blocksPerExtent * BLOCK_BYTES);
}

function extentsFor(m: Machine, size: Bytes): number {
  return Number((size + extentBytes(m) - 1n) / extentBytes(m));
}

/** Free extents of each disk, in order. */
function freeExtents(m: Machine): readonly number[][] {
  const used = new Set<number>();
  for (const volume of m.lvm.current.volumes.values()) {
    for (const extent of volume.extents) used.add(extent);
    for (const extent of volume.mirrors) used.add(extent);
  }
  return m.space.disks.map((disk) => {
    const free: number[] = [];
    for (let i = 0; i < disk.extents; i += 1) if (!used.has(disk.firstExtent + i)) free.push(disk.firstExtent + i);
    return free;
  });
}

interface Room {
  readonly extents: readonly number[];
  readonly mirrors: readonly number[];
}

function allocate(m: Machine, name: string, count: number, layout: Layout): Room {
  const free = freeExtents(m);
  const room = allocateLayout(free, count, layout);
  if (room === undefined) {
    const left = free.reduce((sum, list) => sum + list.length, 0);
    throw new SnapmergeError('exhausted', `Cannot allocate ${count} extents for ${name}: ${left} are free`);
  }
  return room;
}

function allocateLayout(free: readonly number[][], count: number, layout: Layout): Room | undefined {
  if (layout === 'raid1') {
    const [less, more] = halves(free);
    return less.length < count ? undefined : { extents: less.slice(0, count), mirrors: more.slice(0, count) };
  }
  const all = layout === 'linear' ? free.flat() : stripes(free);
  return all.length < count ? undefined : { extents: all.slice(0, count), mirrors: [] };
}

/** No disk has parts of both. */
function halves(free: readonly number[][]): readonly [readonly number[], readonly number[]] {
  let [less, more]: [readonly number[], readonly number[]] = [[], []];
  for (const list of free.toSorted((a, b) => b.length - a.length)) {
    const larger = [...less, ...list];
    [less, more] = larger.length < more.length ? [larger, more] : [more, larger];
  }
  return [less, more];
}

function stripes(free: readonly number[][]): readonly number[] {
  const longest = Math.max(0, ...free.map((list) => list.length));
  return Array.from({ length: longest }, (_, i) => free.map((list) => list[i]))
    .flat()
    .filter((extent) => extent !== undefined);
}

export function create(
  m: Machine,
  name: string,
  size: Bytes,
  layout: Layout,
  tags: readonly string[],
  ours: boolean,
): void {
  if (m.lvm.current.volumes.has(name)) refuse(`Cannot create ${name}: a logical volume of that name exists`);
  checkTags(name, tags);
  const count = extentsFor(m, size);
  if (count === 0) refuse(`Cannot create ${name}: it would have no extents`);
  const room = allocate(m, name, count, layout);
  commit(m, name, { name, uid: m.lvm.nextUid, ours, tags: [...tags], layout, ...room });
  m.lvm.nextUid += 1;
}

function checkTags(name: string, tags: readonly string[]): void {
  for (const tag of tags) if (!TAG.test(tag)) refuse(`Cannot tag ${name}: '${tag}' is no tag`);
}

function remove(m: Machine, store: StoreName): void {
  const volume = m.lvm.current.volumes.get(store);
  if (volume === undefined) return;
  volumeOf(m, store);
  deactivateStore(m, store);
  commit(m, store, undefined);
}

function extend(m: Machine, store: StoreName, size: Bytes): void {
  const volume = volumeOf(m, store);
  const more = extentsFor(m, size) - volume.extents.length;
  if (more <= 0) return;
  const room = allocate(m, store, more, volume.layout);
  resize(m, store, {
    ...volume,
    extents: [...volume.extents, ...room.extents],
    mirrors: [...volume.mirrors, ...room.mirrors],
  });
}

function shrink(m: Machine, store: StoreName, size: Bytes): void {
  const volume = volumeOf(m, store);
  const count = extentsFor(m, size);
  if (count >= volume.extents.length) return;
  if (count === 0) refuse(`Cannot shrink ${store}: it would have no extents`);
  resize(m, store, { ...volume, extents: volume.extents.slice(0, count), mirrors: volume.mirrors.slice(0, count) });
  const device = m.stores.get(store);
  if (device !== undefined) noticeCut(m, device);
}

function resize(m: Machine, store: StoreName, volume: Volume): void {
  commit(m, store, volume);
  const device = m.stores.get(store);
  if (device !== undefined) device.extents = volume.extents;
}

function noticeCut(m: Machine, device: StoreDevice): void {
  const room = device.extents.length * m.space.blocksPerExtent;
  for (const s of device.cowUsers) {
    if (s.valid && s.store.nextFree * s.chunkBlocks > room)
      notice(m, 'cut-store', s.holder.key, `${device.store} was cut`);
  }
}

function retag(m: Machine, store: StoreName, add: readonly string[], removeTags: readonly string[]): void {
  const volume = volumeOf(m, store);
  checkTags(store, add);
  const kept = volume.tags.filter((tag) => !removeTags.includes(tag) && !add.includes(tag));
  commit(m, store, { ...volume, tags: [...kept, ...add] });
}

export function activateStore(m: Machine, store: StoreName): void {
  if (m.stores.has(store)) return;
  const volume = volumeOf(m, store);
  m.stores.set(store, {
    kind: 'store',
    store,
    uid: volume.uid,
    minor: m.nextMinor,
    extents: volume.extents,
    snapshots: [],
    cowUsers: [],
    originTop: undefined,
    openers: 0,
  });
  m.nextMinor += 1;
}

export function deactivateStore(m: Machine, store: StoreName): void {
  const device = m.stores.get(store);
  if (device === undefined) return;
  const inUse = `Cannot deactivate ${store}: logical volume in use`;
  if (isOpen(m, device)) refuse(inUse);
  if (device.openers > 0) throw new HeldOpen(store, inUse);
  m.stores.delete(store);
}

function isOpen(m: Machine, store: StoreDevice): boolean {
  for (const device of m.devices.values()) {
    for (const table of [device.live, device.inactive]) {
      if (table?.opens.some((open) => open.under === store) === true) return true;
    }
  }
  return false;
}

function damaged(m: Machine, volume: Volume): boolean {
  if (!m.space.anyBroken) return false;
  return [...volume.extents, ...volume.mirrors].some((extent) => diskOfExtent(m.space, extent)?.broken === true);
}

function report(m: Machine, facts: GroupFacts): PoolReport {
  const extent = bytes(extentBytes(m));
  const free = freeExtents(m).map((list) => bytes(BigInt(list.length) * extent));
  const physicalVolumes = m.space.disks.map((disk, i) => ({
    path: disk.path,
    size: bytes(BigInt(disk.extents) * extent),
    free: free[i] ?? bytes(0),
    missing: disk.broken,
    closed: false,
  }));
  const stores: StoreReport[] = [];
  let strangers = 0;
  let text = 0n;
  for (const volume of m.lvm.current.volumes.values()) {
    text += VOLUME_TEXT_BYTES + BigInt(volume.tags.reduce((sum, tag) => sum + tag.length, 0));
    const store = storeOf(volume);
    if (store === undefined) strangers += 1;
    else stores.push(storeReport(m, store, volume, extent));
  }
  return {
    ...facts,
    extent,
    size: bytes(physicalVolumes.reduce((sum, pv) => sum + pv.size, 0n)),
    free: bytes(free.reduce((sum, each) => sum + each, 0n)),
    seqno: m.lvm.current.seqno,
    metadataFree: bytes(text * 2n > facts.metadataSize ? 0n : facts.metadataSize - text * 2n),
    physicalVolumes,
    stores,
    strangers,
  };
}

function storeReport(m: Machine, store: StoreName, volume: Volume, extent: Bytes): StoreReport {
  return {
    store,
    tags: volume.tags,
    size: bytes(BigInt(volume.extents.length) * extent),
    active: m.stores.has(store),
    layout: volume.layout,
    damaged: damaged(m, volume),
  };
}

function storeOf(volume: Volume): StoreName | undefined {
  return volume.ours && isStoreName(volume.name) ? volume.name : undefined;
}
