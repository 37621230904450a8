// Devices and stores that are to go, and who has them open.

import { fail, messageOf } from '../vocabulary/errors.ts';
import type { DeviceKey, StoreName } from '../vocabulary/ids.ts';
import type { Exec } from '../system/exec.ts';
import { failureOf } from '../system/exec.ts';
import { devicesOver, heldBy, holdersOf } from '../system/holders.ts';
import { HeldOpen } from './kernel.ts';
import type { KnownDevices } from './known-devices.ts';
import { deviceNode } from './observed.ts';
import type { DeviceRow } from './parse.ts';

/** How long a device that must go may stay open: a probe that slipped in holds it for milliseconds. */
const REMOVE_POLL_MS = 50;
const REMOVE_POLLS = 40;
/** Refusals of a device that nobody is seen to hold. */
const REMOVE_ATTEMPTS = 5;

export interface Removing {
  readonly exec: Exec;
  readonly lvm: { readonly deactivate: (stores: readonly StoreName[]) => Promise<void> };
  readonly known: KnownDevices;
  readonly quiet: readonly string[];
  readonly sleep: (ms: number) => Promise<void>;
}

/** HeldOpen where somebody keeps it open. */
export async function remove(from: Removing, key: DeviceKey): Promise<void> {
  const { exec, known, quiet } = from;
  const { name, majorMinor } = await known.row(key);
  await known.withoutDevice(key, async () => {
    let said = '';
    for (let attempt = 0; attempt < REMOVE_ATTEMPTS; attempt += 1) {
      const result = await exec(['dmsetup', 'remove', ...quiet, name]);
      if (result.code === 0) return;
      said = failureOf(result);
      if (await closed(from, key)) return;
    }
    const refusal = `nobody holds it, yet the kernel refuses: ${said} (${deviceNode(majorMinor)})`;
    // Somebody who opens and closes it again and again is never there when it is looked at.
    if (/busy/i.test(said)) throw new HeldOpen(key, refusal);
    fail('internal', refusal);
  });
}

/** Waits until nobody has the device open; true when it is gone altogether. */
async function closed({ exec, known, sleep }: Removing, key: DeviceKey): Promise<boolean> {
  let last: DeviceRow | undefined;
  for (let poll = 0; poll < REMOVE_POLLS; poll += 1) {
    last = (await known.list()).devices.get(key);
    if (last === undefined) return true;
    if (last.openCount === 0) return false;
    // A probe lets go by itself. A table does not, and neither does who waits in a device that stands still.
    if (poll === 0) await refuseHolders(exec, last);
    if (last.suspended) break;
    await sleep(REMOVE_POLL_MS);
  }
  const majorMinor = last?.majorMinor ?? '';
  throw new HeldOpen(key, `it is still open: ${heldBy(await holdersOf(exec, majorMinor), majorMinor)}`);
}

async function refuseHolders(exec: Exec, { majorMinor }: DeviceRow): Promise<void> {
  const holders = await devicesOver(exec, majorMinor);
  if (holders.length > 0) fail('internal', `the tables of ${holders.join(', ')} lie on it (${deviceNode(majorMinor)})`);
}

/** LVM refuses for a store that somebody has open, and deactivates the others all the same. */
export async function deactivate({ exec, lvm, known }: Removing, stores: readonly StoreName[]): Promise<void> {
  try {
    await known.withoutStores(stores, () => lvm.deactivate(stores));
  } catch (error) {
    const { stores: left } = await known.list();
    for (const store of stores) {
      const row = left.get(store);
      if (row === undefined || row.openCount === 0 || (await devicesOver(exec, row.majorMinor)).length > 0) continue;
      const by = heldBy(await holdersOf(exec, row.majorMinor), row.majorMinor);
      throw new HeldOpen(store, `${by}: ${messageOf(error)}`, { cause: error });
    }
    throw error;
  }
}
