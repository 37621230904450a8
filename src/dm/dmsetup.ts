// The Kernel port over the dmsetup command: three listings side by side to observe (observing.ts), one command a step, or for a
// run of suspends or resumes (applying.ts). Symbolic references become major:minor on load and come back on observe; nothing
// here decides what should be done.

import { setTimeout as wait } from 'node:timers/promises';
import type { Exec } from '../system/exec.ts';
import type { PoolName, StoreName, VgUuid } from '../vocabulary/ids.ts';
import { isTail } from '../vocabulary/ids.ts';
import { applySteps } from './applying.ts';
import type { Kernel } from './kernel.ts';
import { createKnownDevices } from './known-devices.ts';
import { createLegs } from './legs.ts';
import { LIST_DEVICES, listing } from './listing.ts';
import { observing } from './observing.ts';
import { parseDevices } from './parse.ts';

/** Makes stores' own devices come and go: LVM's business, but a step like the others for the planner. */
export interface StoreActivation {
  readonly activate: (stores: readonly StoreName[]) => Promise<void>;
  readonly deactivate: (stores: readonly StoreName[]) => Promise<void>;
}

export interface KernelOptions {
  readonly exec: Exec;
  readonly lvm: StoreActivation;
  readonly pool: PoolName;
  readonly vgName: string;
  readonly vgUuid: VgUuid;
  /** Whether a udev daemon runs (see udev.ts). It then makes the /dev/mapper links; it is never waited for. */
  readonly udev: boolean;
  readonly sleep?: (ms: number) => Promise<void>;
}

/** Device-mapper as one pool sees it. One value a pool and process: it remembers which device has which number. */
export function createKernel({ exec, lvm, pool, vgName, vgUuid, udev, sleep }: KernelOptions): Kernel {
  const scope = { vgName, vgUuid };
  const quiet = udev ? ['--noudevsync'] : ['--noudevsync', '--noudevrules'];
  const devicesNow = async () => parseDevices(await listing(exec, LIST_DEVICES));
  const known = createKnownDevices({ pool, scope, devicesNow });
  const legs = createLegs({ exec, pool, vgUuid, quiet, find: async () => (await known.listAnew()).index.legs });
  const { observe, statuses } = observing({ exec, pool, scope, known });
  let isFirst = true;
  return {
    observe: async (extent) => {
      const observed = await observe(extent);
      // Of a driver that ended between the last tail and these, or while somebody had them open.
      const isUnused = known.index().legs.size > 0 && ![...observed.devices.keys()].some(isTail);
      if (isFirst && isUnused) await legs.remove();
      isFirst = false;
      return observed;
    },
    statuses,
    apply: (steps) =>
      applySteps({ exec, pool, vgUuid, lvm, known, legs, quiet, sleep: sleep ?? ((ms) => wait(ms)) }, steps),
  };
}
