// What fits into the pool for a layout, from the report alone: linear anywhere, striped evenly, raid1 on two different
// disks. Pure.

import type { Bytes } from '../vocabulary/units.ts';
import { bytes, kib, minBytes, roundDown } from '../vocabulary/units.ts';
import { isOpen } from './lvm.ts';
import type { Layout, PoolReport } from './lvm.ts';

/** Free bytes of each disk that LVM takes extents of, the largest first. */
function openDisks({ physicalVolumes, extent }: PoolReport): readonly Bytes[] {
  return physicalVolumes
    .filter(isOpen)
    .map(({ free }) => roundDown(free, extent))
    .sort((a, b) => (a < b ? 1 : -1));
}

/** True when LVM has the extents for `size` more bytes. */
export function fits(report: PoolReport, layout: Layout, size: Bytes): boolean {
  return size <= largest(report, layout);
}

/** The largest store that can be made. */
export function largest(report: PoolReport, layout: Layout): Bytes {
  const disks = openDisks(report);
  const least = disks.at(-1) ?? bytes(0);
  switch (layout) {
    case 'linear':
      return sumOf(disks);
    case 'striped':
      // As many stripes as there are disks.
      return bytes(least * BigInt(disks.length));
    case 'raid1': {
      // Each half has one more extent for the raid's own metadata.
      const half = halves(disks);
      return half > report.extent ? bytes(half - report.extent) : bytes(0);
    }
  }
}

/** No disk has parts of both halves, and a half may lie on several: what each has where the larger disks are dealt out first. */
function halves(disks: readonly Bytes[]): Bytes {
  let [less, more]: [bigint, bigint] = [0n, 0n];
  for (const size of disks) [less, more] = less + size < more ? [less + size, more] : [more, less + size];
  return bytes(less);
}

/** Bytes that stores of this layout can be made of in all, each as large as it will. */
export function most(report: PoolReport, layout: Layout): Bytes {
  if (layout !== 'raid1') return largest(report, layout);
  const disks = openDisks(report);
  const all = sumOf(disks);
  const [first = bytes(0)] = disks;
  // Half of all, unless one disk is larger than all others together.
  return disks.length < 2 ? bytes(0) : minBytes(bytes(all / 2n), bytes(all - first));
}

function sumOf(sizes: readonly Bytes[]): Bytes {
  return bytes(sizes.reduce((sum, size) => sum + size, 0n));
}

/** LVM keeps the text of the metadata before and after a commit in its area: a commit needs room for a whole one. */
const LEAST_METADATA_FREE = kib(32);

export function hasMetadataRoom({ metadataFree }: Pick<PoolReport, 'metadataFree'>): boolean {
  return metadataFree >= LEAST_METADATA_FREE;
}
