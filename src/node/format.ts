// Making a file system on a device proven blank, so that being cut short leaves a device that may be formatted again: a
// mark is written to it before mkfs begins and taken away when mkfs has ended, always before the first mount. The mark
// names the volume, so a fork of a half-made volume is not formatted by mistake, and it travels with the disks.

import type { FsType } from '../csi/fstype.ts';
import { fail, unreachable } from '../vocabulary/errors.ts';
import { failureOf } from '../system/exec.ts';
import type { Argv, Exec } from '../system/exec.ts';
import type { VolumeId } from '../vocabulary/ids.ts';
import type { Bytes } from '../vocabulary/units.ts';
import type { Files } from './files.ts';
import type { Content } from './probe.ts';

const MARK_BYTES = 4096;

/** Away from where ext4 and xfs put their own records, so that mkfs leaves it alone. */
function markOffset(size: Bytes): bigint {
  return ((size * 13n) / 16n / 4096n) * 4096n + 4096n;
}

function mark(volume: VolumeId): Uint8Array {
  const block = new Uint8Array(MARK_BYTES);
  block.set(new TextEncoder().encode(`snapmerge: mkfs has begun on ${volume}\n`));
  return block;
}

async function isMarked(files: Files, device: string, size: Bytes, volume: VolumeId): Promise<boolean> {
  const found = await files.read(device, markOffset(size), MARK_BYTES);
  return Buffer.compare(found, mark(volume)) === 0;
}

/** Nothing is lost by formatting: blank, or only what a mkfs of ours left that did not end. */
export async function mayFormat(
  files: Files,
  device: string,
  size: Bytes,
  volume: VolumeId,
  content: Content,
): Promise<boolean> {
  if (content.holds === 'nothing') return true;
  if (content.holds === 'filesystem' && content.superblock?.unfinished !== true) return false;
  return isMarked(files, device, size, volume);
}

/**
 * No discard: the store is clean already, and a discard would take the mark with it. Nothing that the oldest kernel of
 * docs/install.md (5.11) cannot mount, whatever mkfs makes by itself: ext4's orphan file came with 5.15, xfs's large extent
 * counters with 5.19.
 *
 * A new store reads as zeroes, and mkfs.ext4 is told so: the kernel would zero the tables of inodes after the first mount,
 * and each write of that would be one more first write under the first snapshot.
 */
function mkfs(fsType: FsType, isZeroed: boolean): Argv {
  switch (fsType) {
    case 'ext4': {
      const extended = ['nodiscard', ...(isZeroed ? ['assume_storage_prezeroed=1'] : [])];
      return ['mkfs.ext4', '-F', '-q', '-m', '0', '-O', '^orphan_file', '-E', extended.join(',')];
    }
    case 'xfs':
      return ['mkfs.xfs', '-f', '-q', '-K', '-i', 'nrext64=0'];
    default:
      return unreachable(fsType);
  }
}

/** Only for a device of which `mayFormat` said yes. `isZeroed`: all of it reads as zeroes. Durable when it returns. */
export async function format(
  exec: Exec,
  files: Files,
  device: string,
  size: Bytes,
  volume: VolumeId,
  fsType: FsType,
  isZeroed: boolean,
): Promise<void> {
  await files.write(device, markOffset(size), mark(volume));
  const [file, ...args] = mkfs(fsType, isZeroed);
  const result = await exec([file, ...args, device]);
  if (result.code !== 0) fail('internal', `Cannot make ${fsType} on ${device}: ${failureOf(result)}`);
  await takeMarkAway(files, device, size, volume);
}

/** Also of a mkfs that ended when nobody waited for it any more. */
export async function takeMarkAway(files: Files, device: string, size: Bytes, volume: VolumeId): Promise<void> {
  if (!(await isMarked(files, device, size, volume))) return;
  await files.write(device, markOffset(size), new Uint8Array(MARK_BYTES));
}
