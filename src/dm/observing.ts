// What the kernel has of a pool: its devices with their tables, and what their snapshots and merges say.

import { fail } from '../vocabulary/errors.ts';
import type { DeviceKey, PoolName } from '../vocabulary/ids.ts';
import { entityOf, isTop } from '../vocabulary/ids.ts';
import type { Argv, Exec } from '../system/exec.ts';
import { shareNext } from '../system/single-flight.ts';
import type { Extent, Kernel, Observed } from './kernel.ts';
import type { KnownDevices } from './known-devices.ts';
import { listing } from './listing.ts';
import type { DeviceIndex, Scope } from './observed.ts';
import { assemble } from './observed.ts';
import { parseSnapshotStatus, parseTargets } from './parse.ts';
import type { SnapshotStatus } from './status.ts';

/** Other families' devices come and go between two listings; a listing that saw half of that is taken again. */
const OBSERVE_ATTEMPTS = 10;
const STATUS_ATTEMPTS = 10;

const LIST_TABLES: Argv = ['dmsetup', 'table'];
const LIST_INACTIVE: Argv = ['dmsetup', 'table', '--inactive'];
/** Of named devices: a status is asked of a device's target, and a stranger's whose disk is dead would never answer. */
const STATUS: Argv = ['dmsetup', 'status', '--noflush'];

export interface ObservingOptions {
  readonly exec: Exec;
  readonly pool: PoolName;
  readonly scope: Scope;
  readonly known: KnownDevices;
}

export function observing(options: ObservingOptions): Pick<Kernel, 'observe' | 'statuses'> {
  const { pool } = options;
  const shared = { what: `Cannot list the devices of pool '${pool}'` };
  // A whole one each time: listings that begin together agree more often.
  const look: Readonly<Record<Extent, () => Promise<Observed | undefined>>> = {
    all: shareNext(() => observeOnce(options, 'all'), shared),
    'without-statuses': shareNext(() => observeOnce(options, 'without-statuses'), shared),
  };
  const listStatuses = shareNext(() => statusesNow(options), shared);
  return {
    observe: async (extent = 'all') => {
      for (let attempt = 0; attempt < OBSERVE_ATTEMPTS; attempt += 1) {
        const observed = await look[extent]();
        if (observed !== undefined) return observed;
      }
      return fail(
        'unavailable',
        `Cannot observe pool '${pool}': its devices changed during each of ${OBSERVE_ATTEMPTS} listings`,
      );
    },
    statuses: async () => {
      const { devices, text } = await listStatuses();
      return statusesIn(devices, text);
    },
  };
}

async function observeOnce({ exec, scope, known }: ObservingOptions, extent: Extent): Promise<Observed | undefined> {
  const [{ index, rows }, tables] = await Promise.all([known.listAnew(), listing(exec, LIST_TABLES)]);
  const statuses = extent === 'all' ? await statusesOf(exec, index.devices) : undefined;
  if (extent === 'all' && statuses === undefined) return undefined;
  const loaded = [...index.devices.values()].some((row) => row.inactive);
  const inactive = loaded ? await listing(exec, LIST_INACTIVE) : '';
  return assemble({ rows, tables, inactive, statuses }, scope);
}

type Devices = DeviceIndex['devices'];

/** Asked again where a device has gone meanwhile. */
async function statusesNow({
  exec,
  pool,
  known,
}: ObservingOptions): Promise<{ readonly devices: Devices; readonly text: string }> {
  let { devices } = known.index().devices.size > 0 ? known.index() : await known.list();
  for (let attempt = 0; attempt < STATUS_ATTEMPTS; attempt += 1) {
    const text = await statusesOf(exec, devices);
    if (text !== undefined) return { devices, text };
    ({ devices } = (await known.listAnew()).index);
  }
  return fail('unavailable', `Cannot ask for statuses of pool '${pool}': its devices changed each time`);
}

/** Undefined when one of them has gone. */
async function statusesOf(exec: Exec, devices: Devices): Promise<string | undefined> {
  // Nothing else has a status of a snapshot.
  const names = [...devices].flatMap(([key, { name }]) => (showsImage(key) ? [name] : []));
  const [only, ...more] = names;
  if (only === undefined) return '';
  const result = await exec([...STATUS, ...names]);
  if (result.code !== 0) return undefined;
  // Of one alone dmsetup does not say the name.
  return more.length > 0 ? result.stdout : result.stdout.replaceAll(/^(?=.)/gm, `${only}: `);
}

/** What may be a snapshot or a merge: no top, and nothing of a store. */
function showsImage(key: DeviceKey): boolean {
  return entityOf(key) !== undefined && !isTop(key);
}

function statusesIn(devices: Devices, text: string): ReadonlyMap<DeviceKey, SnapshotStatus> {
  const targets = parseTargets(text, () => true);
  const statuses = new Map<DeviceKey, SnapshotStatus>();
  for (const [key, row] of devices) {
    const [only, ...more] = targets.get(row.name) ?? [];
    if (only === undefined || more.length > 0) continue;
    if (only.type !== 'snapshot' && only.type !== 'snapshot-merge') continue;
    statuses.set(key, parseSnapshotStatus(row.name, only.params));
  }
  return statuses;
}
