// Whether a size fits into the pool for a layout, from the report alone. Pure.

import type { Bytes } from '../units.ts';
import { roundUp } from '../units.ts';
import type { Layout, PoolReport } from './lvm.ts';

/** True when LVM has the extents for `size` more bytes: linear anywhere, striped evenly, raid1 on two different disks. */
export function fits(report: PoolReport, layout: Layout, size: Bytes): boolean {
  const frees = report.physicalVolumes.filter(({ missing }) => !missing).map(({ free }) => free);
  const extents = roundUp(size, report.extent);
  switch (layout) {
    case 'linear':
      return frees.reduce((sum, free) => sum + free, 0n) >= extents;
    case 'striped': {
      const share = extents / BigInt(Math.max(1, frees.length));
      return frees.length > 0 && frees.every((free) => free >= share);
    }
    case 'raid1':
      // Each half has one more extent for the raid's own metadata.
      return frees.filter((free) => free >= extents + report.extent).length >= 2;
  }
}
