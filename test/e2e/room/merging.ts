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

export const slowMerges = (): Promise<void> => throttle(1);
export const fastMerges = (): Promise<void> => throttle(100);
