// Merges that last: the kernel is told to copy with a small share of its time only, so that a test can do things while one
// runs. A node forgets it with its power.

import { driverPods, inDriver } from './driver.ts';

const THROTTLE = '/sys/module/dm_snapshot/parameters/snapshot_copy_throttle';

/** Percent of the time that copies may take, on every node. */
const throttle = async (percent: number): Promise<void> => {
  for (const { pod } of await driverPods()) {
    // A pod sees /sys read-only, the driver's too; being privileged it may change that.
    await inDriver(pod, ['sh', '-c', `mount -o remount,rw /sys && echo ${percent} > ${THROTTLE}`]);
  }
};

const BLOCK_BYTES = 32_768;

/** A line of shell that prints a word again and again, so many blocks of 32 KiB. */
export const blocksOf = (word: string, blocks: number): string => `yes ${word} | head -c ${blocks * BLOCK_BYTES}`;

/**
 * A line of shell that writes what `blocksOf` prints over a file, a block at a time from its end to its beginning: a merge
 * moves in one go what was overwritten in one go, however slow it is.
 */
export function overwritten(path: string, word: string, blocks: number): string {
  const block = `bs=${BLOCK_BYTES} skip=$i seek=$i count=1 conv=notrunc oflag=direct`;
  const loop = `for i in $(seq ${blocks - 1} -1 0); do dd if=/tmp/new of=${path} ${block} 2>/dev/null; done`;
  return `${blocksOf(word, blocks)} >/tmp/new; ${loop}; sync`;
}

export const slowMerges = (): Promise<void> => throttle(1);
export const fastMerges = (): Promise<void> => throttle(100);
