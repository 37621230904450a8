// Stores whose devices a plan takes away: what they used, and whether they had lost their contents. The kernel knows it only
// for as long as the device is there, and the origin of a snapshot may feed it until then.

import type { DeviceKey, StoreName } from '../vocabulary/ids.ts';
import type { Sectors } from '../vocabulary/units.ts';
import type { Desired } from './device.ts';
import type { Counts } from '../dm/exceptions.ts';
import type { Call, Kernel, Observed } from '../dm/kernel.ts';
import type { SnapshotStatus } from '../dm/status.ts';
import type { Step } from '../dm/step.ts';
import { heldStores } from '../dm/table.ts';

/** What a store used when its device was taken away. */
export interface Use {
  readonly used: Sectors;
  /** Read from the store when nobody could write it any more; otherwise it may use more. */
  readonly isFinal: boolean;
}

/** Of each store whose device was taken away. */
export type Measured = ReadonlyMap<StoreName, Use>;

/** The kernel's last word about a store that leaves, and the sectors of a chunk of it. */
export interface LastStatus {
  readonly status: Counts;
  readonly chunk: Sectors;
}

/** What its caller knows of stores that leave, and wants to. */
export interface Leavers {
  /**
   * Sectors that a store uses, asked when no device holds it any more and before it goes: until its device was gone, it
   * may have been written. Undefined when nobody wants to know, or when it cannot be told.
   */
  readonly finalUse: (store: StoreName, last: LastStatus) => Promise<Sectors | undefined>;
  /** Told of a store whose contents are lost, as the kernel says of a device that takes this knowledge away with it. */
  readonly lost: (store: StoreName) => void;
}

export interface Leaving {
  /** Before a call of a plan, with all steps of that and what it was made from. */
  readonly before: (call: Call, all: readonly Step[], observed: Observed) => Promise<void>;
}

/** `measured` takes what is found, over all plans of a converge. */
export function watchLeaving(
  kernel: Kernel,
  desired: Desired,
  { finalUse, lost }: Leavers,
  measured: Map<StoreName, Use>,
): Leaving {
  const leaving = new Map<StoreName, LastStatus>();
  let asked: readonly Step[] | undefined;

  const ask = async (all: readonly Step[], observed: Observed): Promise<void> => {
    asked = all;
    for (const [store, { status, chunk }] of await lastStatuses(kernel, all, observed)) {
      if (status.state === 'counts') {
        leaving.set(store, { status, chunk });
        measured.set(store, { used: status.used, isFinal: false });
      } else if (status.state === 'invalid' && !desired.stores.has(store) && !desired.givenUp.has(store)) {
        // Where another table has the store now, its former one is called invalid too.
        lost(store);
      }
    }
  };

  return {
    before: async (call, all, observed) => {
      if (asked !== all && takesAway(call, all)) await ask(all, observed);
      for (const store of storesGoing(call)) {
        const last = leaving.get(store);
        const used = last === undefined ? undefined : await finalUse(store, last);
        if (used !== undefined) measured.set(store, { used, isFinal: true });
      }
    },
  };
}

/** Whether a device loses its table: with itself, or before, because somebody has it open. */
function takesAway([first]: Call, all: readonly Step[]): boolean {
  if (first.do === 'remove') return true;
  return first.do === 'swap' && all.some((step) => step.do === 'remove' && step.device === first.device);
}

/** Of snapshots about to be removed. One that a live origin feeds may be written until it has gone. */
async function lastStatuses(
  kernel: Kernel,
  steps: readonly Step[],
  observed: Observed,
): Promise<ReadonlyMap<StoreName, { readonly status: SnapshotStatus; readonly chunk: Sectors }>> {
  const leaving = new Set<DeviceKey>(steps.flatMap((step) => (step.do === 'remove' ? [step.device] : [])));
  const held = [...observed.devices.values()].flatMap(({ key, live }) => {
    const [target] = live ?? [];
    const [store] = heldStores(live);
    // A transient store's exceptions go with its table.
    if (target?.type !== 'snapshot' || target.mode === 'N' || store === undefined || !leaving.has(key)) return [];
    return [{ key, store, chunk: target.chunk }];
  });
  if (held.length === 0) return new Map();
  const statuses = await kernel.statuses();
  return new Map(
    held.flatMap(({ key, store, chunk }) => {
      const status = statuses.get(key);
      return status === undefined ? [] : [[store, { status, chunk }] as const];
    }),
  );
}

function storesGoing(call: Call): readonly StoreName[] {
  return call.flatMap((step) => (step.do === 'deactivate' ? step.stores : []));
}
