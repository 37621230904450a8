// The pool's disks as one flat array of blocks of 4 KiB, each holding a small integer (its tag; 0 is zeroes). What was
// written and not flushed is remembered with its former value, extent by extent, so that a power cut can take it back.
// Knows nothing of LVM or device-mapper.

import type { Random } from './random.ts';
import { draw } from './random.ts';

/** What a read gives where the kernel would return an error. */
export const UNREADABLE = -1;
/** Tags from here on are what some earlier owner left on the disk. */
export const GARBAGE = 2 ** 44;

export interface Disk {
  readonly path: string;
  readonly firstExtent: number;
  readonly extents: number;
  /** Reads and writes fail; flushes do nothing. */
  broken: boolean;
}

export interface Space {
  readonly blocksPerExtent: number;
  readonly disks: Disk[];
  readonly values: Float64Array;
  /** By extent: block address -> the value that is durable. */
  readonly dirty: (Map<number, number> | undefined)[];
  anyBroken: boolean;
}

export function createSpace(blocksPerExtent: number, extentsPerDisk: readonly number[]): Space {
  const disks: Disk[] = [];
  let firstExtent = 0;
  for (const extents of extentsPerDisk) {
    disks.push({ path: `/dev/sim${disks.length}`, firstExtent, extents, broken: false });
    firstExtent += extents;
  }
  const values = new Float64Array(firstExtent * blocksPerExtent);
  for (let address = 0; address < values.length; address += 1) values[address] = GARBAGE + address;
  return { blocksPerExtent, disks, values, dirty: [], anyBroken: false };
}

export function diskOfExtent(space: Space, extent: number): Disk | undefined {
  return space.disks.find((disk) => extent >= disk.firstExtent && extent < disk.firstExtent + disk.extents);
}

export function setBroken(space: Space, disk: Disk, broken: boolean): void {
  disk.broken = broken;
  space.anyBroken = space.disks.some((each) => each.broken);
}

function failsAt(space: Space, address: number): boolean {
  return diskOfExtent(space, Math.floor(address / space.blocksPerExtent))?.broken === true;
}

export function readAt(space: Space, address: number): number {
  if (space.anyBroken && failsAt(space, address)) return UNREADABLE;
  return space.values[address] ?? UNREADABLE;
}

/** False where the disk refuses; otherwise the value is there, and durable only after a flush of its extent. */
export function writeAt(space: Space, address: number, value: number): boolean {
  if (space.anyBroken && failsAt(space, address)) return false;
  const former = space.values[address];
  if (former === undefined) return false;
  const extent = Math.floor(address / space.blocksPerExtent);
  let dirty = space.dirty[extent];
  if (dirty === undefined) {
    dirty = new Map();
    space.dirty[extent] = dirty;
  }
  if (!dirty.has(address)) dirty.set(address, former);
  space.values[address] = value;
  return true;
}

export function flushExtents(space: Space, extents: readonly number[]): void {
  for (const extent of extents) {
    if (space.dirty[extent] === undefined) continue;
    if (space.anyBroken && diskOfExtent(space, extent)?.broken === true) continue;
    space.dirty[extent] = undefined;
  }
}

export function flushDisks(space: Space): void {
  for (let extent = 0; extent < space.dirty.length; extent += 1) flushExtents(space, [extent]);
}

/** Which part of what no flush has covered a power cut takes back. */
export type Loss = 'nothing' | 'everything' | 'some';

export function losePower(space: Space, loss: Loss, random: Random): void {
  for (const dirty of space.dirty) {
    if (dirty === undefined || loss === 'nothing') continue;
    for (const [address, former] of dirty) {
      if (loss === 'everything' || draw(random, 2) === 0) space.values[address] = former;
    }
  }
  space.dirty.length = 0;
}
