// The file systems that a volume can carry, and where a request names one.

import { bytes, mib } from '../vocabulary/units.ts';
import type { Bytes } from '../vocabulary/units.ts';

export const FS_TYPES = ['ext4', 'xfs'] as const;
export type FsType = (typeof FS_TYPES)[number];

/** For a blank volume of which nobody said what it shall carry. */
export const DEFAULT_FS_TYPE: FsType = 'ext4';

/** The smallest volume that can carry it: mkfs.xfs makes nothing below. */
export function leastBytes(fsType: FsType | undefined): Bytes {
  return fsType === 'xfs' ? mib(300) : bytes(0);
}

/** The key in volume_context that carries the file system of the StorageClass to the node. */
export const FS_TYPE_CONTEXT = 'fsType';

export function isFsType(text: string): text is FsType {
  return FS_TYPES.some((known) => known === text);
}
