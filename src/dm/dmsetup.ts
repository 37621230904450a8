// The Kernel port over the dmsetup command: three listings side by side to observe, one command a step, or for a run of
// suspends or resumes. Symbolic references become major:minor on load and come back on observe; nothing here decides what
// should be done.

import { setTimeout as wait } from 'node:timers/promises';
import { SnapmergeError, fail, messageOf } from '../vocabulary/errors.ts';
import type { Argv, Exec } from '../system/exec.ts';
import { failureOf, output } from '../system/exec.ts';
import { devicesOver, heldBy, holdersOf } from '../system/holders.ts';
import type { DeviceKey, Leg, PoolName, StoreName, VgUuid } from '../vocabulary/ids.ts';
import { dmName, dmUuid, entityOf, isTail, isTop } from '../vocabulary/ids.ts';
import { shareNext } from '../system/single-flight.ts';
import type { Call, Extent, Kernel, Observed } from './kernel.ts';
import { HeldOpen, calls } from './kernel.ts';
import { createLegs } from './legs.ts';
import { LIST_DEVICES, listing } from './listing.ts';
import type { DeviceIndex } from './observed.ts';
import { assemble, indexOf, deviceNode } from './observed.ts';
import type { DeviceRow } from './parse.ts';
import { parseCreated, parseDevices, parseSnapshotStatus, parseTargets } from './parse.ts';
import type { SnapshotStatus } from './status.ts';
import type { Step } from './step.ts';
import { stepText } from './step.ts';
import type { Ref, Table } from './table.ts';
import { refText, targetLine } from './table.ts';

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

/** Other families' devices come and go between two listings; a listing that saw half of that is taken again. */
const OBSERVE_ATTEMPTS = 10;
/** How long a device that must go may stay open: a probe that slipped in holds it for milliseconds. */
const REMOVE_POLL_MS = 50;
const REMOVE_POLLS = 40;
/** Refusals of a device that nobody is seen to hold. */
const REMOVE_ATTEMPTS = 5;
const STATUS_ATTEMPTS = 10;

const LIST_TABLES: Argv = ['dmsetup', 'table'];
const LIST_INACTIVE: Argv = ['dmsetup', 'table', '--inactive'];
/** Of named devices: a status is asked of a device's target, and a stranger's whose disk is dead would never answer. */
const STATUS: Argv = ['dmsetup', 'status', '--noflush'];

/** Device-mapper as one pool sees it. One value a pool and process: it remembers which device has which number. */
export function createKernel(options: KernelOptions): Kernel {
  const { exec, lvm, pool, vgName, vgUuid } = options;
  const sleep = options.sleep ?? ((ms: number) => wait(ms));
  const quiet = options.udev ? ['--noudevsync'] : ['--noudevsync', '--noudevrules'];
  const scope = { vgName, vgUuid };

  let index: DeviceIndex = { devices: new Map(), stores: new Map(), legs: new Map() };
  // A listing taken while something is removed may still hold it, and its number may soon be another's. So what was
  // listed is remembered only when no removal overlapped.
  let removals = 0;
  let removing = 0;
  // A listing that was begun before a device was made does not know it.
  let creations = 0;
  const made = new Map<DeviceKey, { readonly number: number; readonly row: DeviceRow }>();

  const devicesNow = async (): Promise<readonly DeviceRow[]> => parseDevices(await listing(exec, LIST_DEVICES));
  /** Asked again where a device has gone meanwhile. */
  async function statusesNow(): Promise<{ readonly devices: DeviceIndex['devices']; readonly text: string }> {
    let { devices } = index.devices.size > 0 ? index : indexOf(await listRows(), scope);
    for (let attempt = 0; attempt < STATUS_ATTEMPTS; attempt += 1) {
      const text = await statusesOf(devices);
      if (text !== undefined) return { devices, text };
      ({ devices } = indexOf(await listRows(devicesNow), scope));
    }
    return fail('unavailable', `Cannot ask for statuses of pool '${pool}': its devices changed each time`);
  }

  /** Undefined when one of them has gone. */
  async function statusesOf(devices: DeviceIndex['devices']): Promise<string | undefined> {
    // Nothing else has a status of a snapshot.
    const names = [...devices].flatMap(([key, { name }]) => (showsImage(key) ? [name] : []));
    const [only, ...more] = names;
    if (only === undefined) return '';
    const result = await exec([...STATUS, ...names]);
    if (result.code !== 0) return undefined;
    // Of one alone dmsetup does not say the name.
    return more.length > 0 ? result.stdout : result.stdout.replaceAll(/^(?=.)/gm, `${only}: `);
  }

  const LISTING = { what: `Cannot list the devices of pool '${pool}'` };
  const sharedDevices = shareNext(devicesNow, LISTING);
  const listStatuses = shareNext(statusesNow, LISTING);

  async function listRows(devices = sharedDevices): Promise<readonly DeviceRow[]> {
    const before = removals;
    const known = creations;
    const rows = await devices();
    if (removing === 0 && removals === before) index = withNewer(indexOf(rows, scope), known);
    return rows;
  }

  function withNewer(listed: DeviceIndex, known: number): DeviceIndex {
    const newer = [...made].flatMap(([key, { number, row }]) =>
      number > known && !listed.devices.has(key) ? [[key, row] as const] : [],
    );
    return newer.length === 0 ? listed : { ...listed, devices: new Map([...listed.devices, ...newer]) };
  }

  async function withoutDevice<T>(forget: () => void, change: () => Promise<T>): Promise<T> {
    forget();
    removing += 1;
    removals += 1;
    try {
      return await change();
    } finally {
      removing -= 1;
      removals += 1;
      forget();
    }
  }

  const legs = createLegs({
    exec,
    pool,
    vgUuid,
    quiet,
    find: async () => indexOf(await listRows(devicesNow), scope).legs,
  });

  const forgetDevice = (key: DeviceKey): void => {
    made.delete(key);
    index = { ...index, devices: new Map([...index.devices].filter(([other]) => other !== key)) };
  };
  const forgetStores = (stores: readonly StoreName[]): void => {
    index = { ...index, stores: new Map([...index.stores].filter(([other]) => !stores.includes(other))) };
  };

  async function deviceRow(key: DeviceKey): Promise<DeviceRow> {
    const known = index.devices.get(key) ?? indexOf(await listRows(), scope).devices.get(key);
    return known ?? fail('internal', `Cannot find device '${key}' of pool '${pool}' in the kernel: it is not there`);
  }

  /** What `work` does with a table's lines; what a tail is made over is there meanwhile. */
  async function withLines<T>(table: Table, work: (lines: string) => Promise<T>): Promise<T> {
    if (!table.some(({ type }) => type === 'hold')) return work(await tableLines(table, new Map()));
    return legs.withNumbers(async (numbers) => work(await tableLines(table, numbers)));
  }

  async function tableLines(table: Table, legNumbers: ReadonlyMap<Leg, string>): Promise<string> {
    let current = index;
    const known = (ref: Ref): string | undefined => {
      if (ref.on === 'device') return current.devices.get(ref.device)?.majorMinor;
      if (ref.on === 'leg') return legNumbers.get(ref.leg);
      return ref.on === 'store' ? current.stores.get(ref.store)?.majorMinor : undefined;
    };
    const names = (): string => {
      let start = 0n;
      const lines: string[] = [];
      for (const target of table) {
        if (target.type === 'other') fail('internal', `it has a '${target.name}' target, which is none of ours`);
        lines.push(
          targetLine(
            target,
            start,
            (ref) => known(ref) ?? fail('internal', `${refText(ref)} is no active device of ours`),
          ),
        );
        start += target.length;
      }
      return lines.join('\n');
    };
    try {
      return names();
    } catch {
      current = indexOf(await listRows(), scope);
      return names();
    }
  }

  /**
   * What it prints has the number, so that a table over the device needs no listing. Never `--verbose`: dmsetup takes the
   * next argument for its value, and so makes read-only devices writable and waits for udev, for ever in a container.
   */
  async function create(key: DeviceKey, args: readonly string[]): Promise<void> {
    const [name, uuid] = [dmName(pool, key), dmUuid(vgUuid, key)];
    const majorMinor = parseCreated(await output(exec, ['dmsetup', 'create', name, '--uuid', uuid, '-v', ...args]));
    if (majorMinor === undefined) return;
    const row = {
      name,
      uuid,
      majorMinor,
      openCount: 0,
      live: false,
      inactive: false,
      suspended: false,
      readOnly: args.includes('--readonly'),
    };
    creations += 1;
    made.set(key, { number: creations, row });
    index = { ...index, devices: new Map([...index.devices, [key, row]]) };
  }

  async function load(step: Step & { readonly do: 'load' | 'swap' }): Promise<void> {
    const { name } = await deviceRow(step.device);
    await withLines(step.table, async (lines) =>
      output(exec, ['dmsetup', 'load', name, ...(step.readOnly ? ['--readonly'] : []), '--table', lines]),
    );
  }

  async function remove(key: DeviceKey): Promise<void> {
    const { name, majorMinor } = await deviceRow(key);
    await withoutDevice(
      () => forgetDevice(key),
      async () => {
        let said = '';
        for (let attempt = 0; attempt < REMOVE_ATTEMPTS; attempt += 1) {
          const result = await exec(['dmsetup', 'remove', ...quiet, name]);
          if (result.code === 0) return;
          said = failureOf(result);
          if (await closed(key)) return;
        }
        const refusal = `nobody holds it, yet the kernel refuses: ${said} (${deviceNode(majorMinor)})`;
        // Somebody who opens and closes it again and again is never there when it is looked at.
        if (/busy/i.test(said)) throw new HeldOpen(key, refusal);
        fail('internal', refusal);
      },
    );
  }

  /** Waits until nobody has the device open; true when it is gone altogether. */
  async function closed(key: DeviceKey): Promise<boolean> {
    let last: DeviceRow | undefined;
    for (let poll = 0; poll < REMOVE_POLLS; poll += 1) {
      last = indexOf(await listRows(), scope).devices.get(key);
      if (last === undefined) return true;
      if (last.openCount === 0) return false;
      // A probe lets go by itself. A table does not, and neither does who waits in a device that stands still.
      if (poll === 0) await refuseHolders(last);
      if (last.suspended) break;
      await sleep(REMOVE_POLL_MS);
    }
    const majorMinor = last?.majorMinor ?? '';
    throw new HeldOpen(key, `it is still open: ${heldBy(await holdersOf(exec, majorMinor), majorMinor)}`);
  }

  async function refuseHolders({ majorMinor }: DeviceRow): Promise<void> {
    const holders = await devicesOver(exec, majorMinor);
    if (holders.length > 0)
      fail('internal', `the tables of ${holders.join(', ')} lie on it (${deviceNode(majorMinor)})`);
  }

  /** LVM refuses for a store that somebody has open, and deactivates the others all the same. */
  async function deactivate(stores: readonly StoreName[]): Promise<void> {
    try {
      await withoutDevice(
        () => forgetStores(stores),
        async () => await lvm.deactivate(stores),
      );
    } catch (error) {
      const left = indexOf(await listRows(), scope).stores;
      for (const store of stores) {
        const row = left.get(store);
        if (row === undefined || row.openCount === 0 || (await devicesOver(exec, row.majorMinor)).length > 0) continue;
        const by = heldBy(await holdersOf(exec, row.majorMinor), row.majorMinor);
        throw new HeldOpen(store, `${by}: ${messageOf(error)}`, { cause: error });
      }
      throw error;
    }
  }

  async function actAlone(step: Exclude<Step, { readonly do: 'suspend' | 'resume' }>): Promise<void> {
    switch (step.do) {
      case 'activate':
        return await lvm.activate(step.stores);
      case 'deactivate':
        return await deactivate(step.stores);
      case 'create':
        return await create(step.device, ['--notable', ...quiet]);
      case 'make':
        return await withLines(step.table, async (lines) =>
          create(step.device, [...(step.readOnly ? ['--readonly'] : []), ...quiet, '--table', lines]),
        );
      case 'load':
        return await load(step);
      case 'swap':
        await load(step);
        // Nothing is mounted on it. What a tail holds goes on in the new table, where without `--noflush` it would fail.
        return await simple(['dmsetup', 'resume', '--nolockfs', '--noflush', ...quiet], [step.device]);
      case 'clear':
        return await simple(['dmsetup', 'clear'], [step.device]);
      case 'flush': {
        const { majorMinor } = await deviceRow(step.device);
        await output(exec, ['sync', deviceNode(majorMinor)]);
        return;
      }
      case 'remove':
        await remove(step.device);
        if (isTail(step.device) && ![...index.devices.keys()].some(isTail)) await legs.remove();
        return;
    }
  }

  async function act(call: Call): Promise<void> {
    const [first] = call;
    if (first.do !== 'suspend' && first.do !== 'resume') return await actAlone(first);
    const devices = call.flatMap((step) => ('device' in step ? [step.device] : []));
    return await (first.do === 'suspend' ? suspend(devices) : resume(devices));
  }

  /** The default: freezes a mounted file system and waits for all I/O under way. */
  async function suspend(devices: readonly DeviceKey[]): Promise<void> {
    try {
      await simple(['dmsetup', 'suspend'], devices);
    } catch (error) {
      if (!devices.some(isTop)) throw error;
      const hint =
        'where its file system has stopped itself after an error, it cannot be frozen before it is unmounted and mounted anew';
      const kind = error instanceof SnapmergeError ? error.kind : 'internal';
      throw new SnapmergeError(kind, `${messageOf(error)}; ${hint}`, { cause: error });
    }
  }
  const resume = (devices: readonly DeviceKey[]): Promise<void> => simple(['dmsetup', 'resume', ...quiet], devices);

  async function simple(command: Argv, devices: readonly DeviceKey[]): Promise<void> {
    const names: string[] = [];
    for (const device of devices) names.push((await deviceRow(device)).name);
    await output(exec, [...command, ...names]);
  }

  async function observeOnce(extent: Extent): Promise<Observed | undefined> {
    const [rows, tables] = await Promise.all([listRows(devicesNow), listing(exec, LIST_TABLES)]);
    const { devices } = indexOf(rows, scope);
    const statuses = extent === 'all' ? await statusesOf(devices) : undefined;
    if (extent === 'all' && statuses === undefined) return undefined;
    const loaded = [...devices.values()].some((row) => row.inactive);
    const inactive = loaded ? await listing(exec, LIST_INACTIVE) : '';
    return assemble({ rows, tables, inactive, statuses }, scope);
  }

  // A whole one each time: listings that begin together agree more often.
  const look: Readonly<Record<Extent, () => Promise<Observed | undefined>>> = {
    all: shareNext(() => observeOnce('all'), LISTING),
    'without-statuses': shareNext(() => observeOnce('without-statuses'), LISTING),
  };

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

    apply: async (steps) => {
      try {
        for (const call of calls(steps)) await act(call);
      } catch (error) {
        const kind = error instanceof SnapmergeError ? error.kind : 'internal';
        const message = `Cannot apply '${steps.map(stepText).join(', ')}': ${messageOf(error)}`;
        if (error instanceof HeldOpen) throw new HeldOpen(error.held, message, { cause: error });
        throw new SnapmergeError(kind, message, { cause: error });
      }
    },

    statuses: async () => {
      const { devices, text } = await listStatuses();
      const targets = parseTargets(text, () => true);
      const statuses = new Map<DeviceKey, SnapshotStatus>();
      for (const [key, row] of devices) {
        const [only, ...more] = targets.get(row.name) ?? [];
        if (only === undefined || more.length > 0) continue;
        if (only.type !== 'snapshot' && only.type !== 'snapshot-merge') continue;
        statuses.set(key, parseSnapshotStatus(row.name, only.params));
      }
      return statuses;
    },
  };
}

/** What may be a snapshot or a merge: no top, and nothing of a store. */
function showsImage(key: DeviceKey): boolean {
  return entityOf(key) !== undefined && !isTop(key);
}
