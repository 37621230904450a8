// The contract where the node is full of other programs: they open every device that they find, read it, and hold it open as
// long as they like. Nothing that a user or the driver asks for may fail or wait for that.

import { errors, heldStores, lengthOf } from '../../src/dm/table.ts';
import { deviceKey, isTail, storeDevice, storeOf as storeOfKey } from '../../src/vocabulary/ids.ts';
import type { DeviceKey, EntityId, StoreName, VolumeId } from '../../src/vocabulary/ids.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import type { Scenario } from './scenario.ts';
import { finish, killDriver } from './scenario.ts';
import type { ContractCase } from './suite.ts';
import { drop, fork, grow, restore, right, scribble, snapshot, stage, tidy, unstage, volume } from './suite.ts';

async function shown(s: Scenario, key: DeviceKey): Promise<string | undefined> {
  const device = (await s.rig.kernel.observe()).devices.get(key);
  return device === undefined ? undefined : (device.live ?? []).map(({ type }) => type).join(' ');
}

/** Devices and active stores, but for one. */
async function present(s: Scenario, but?: DeviceKey): Promise<string> {
  const { devices, stores } = await s.rig.kernel.observe();
  return [...devices.keys(), ...stores.keys()]
    .filter((key) => key !== but)
    .sort()
    .join(' ');
}

function same(found: unknown, wanted: unknown, what: string): void {
  if (found !== wanted) throw new Error(`${what}: found ${String(found)}, want ${String(wanted)}`);
}

export const STRANGERS: readonly ContractCase[] = [
  {
    name: 'programs that read every level hold up no restore over a newer snapshot whose fork is in use',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const monday = await snapshot(s, id);
      await scribble(s, id, 5);
      const tuesday = await snapshot(s, id);
      await scribble(s, id, 9);
      const look = await fork(s, tuesday);
      await scribble(s, look, 3);
      await s.rig.strangers.lookThroughout(async () => {
        await unstage(s, id);
        await restore(s, id, monday);
        await stage(s, id);
        await scribble(s, id, 2);
        await finish(s);
        await scribble(s, look, 7);
      });
      await right(s);
      await tidy(s, 4);
    },
  },
  {
    name: 'what somebody keeps open fails no unstaging, shows errors from then on, and goes when it is closed',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const base = await snapshot(s, id);
      const before = await present(s);
      const made = await fork(s, base);
      const view = deviceKey(made, 'view');
      const release = await s.rig.strangers.hold(view);
      await unstage(s, made);
      same(await shown(s, view), 'error', 'the view of a fork that is held open');
      same(await present(s, view), before, 'all other devices and stores');
      await scribble(s, id, 4);
      // It comes back while it is held open, and goes again.
      await stage(s, made);
      await scribble(s, made, 6);
      await right(s);
      await unstage(s, made);
      same(await shown(s, view), 'error', 'the view of a fork that is held open again');
      await release();
      await s.engine.retry();
      same(await shown(s, view), undefined, 'the view that nobody holds open any more');
      await right(s);
    },
  },
  {
    name: 'what is left of a family that is gone goes when it is closed',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const view = deviceKey(id, 'view');
      const release = await s.rig.strangers.hold(view);
      await unstage(s, id);
      await s.engine.deleteVolume(id);
      s.model.volumes.delete(id);
      await finish(s);
      same(await shown(s, view), 'error', 'the view of a volume that is gone');
      await release();
      await s.engine.retry();
      same(await shown(s, view), undefined, 'the view that nobody holds open any more');
    },
  },
  {
    name: 'a store that somebody keeps open fails no deletion, snapshot, restore, staging or expansion, and goes when it is closed',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const monday = await snapshot(s, id);
      const first = await storeOf(s, monday);
      const releases = [await s.rig.strangers.hold(first)];
      await scribble(s, id, 5);
      const tuesday = await snapshot(s, id);
      await scribble(s, id, 9);
      releases.push(await s.rig.strangers.hold(await storeOf(s, tuesday)));
      // Nothing reads it: it goes, but for its store.
      await drop(s, monday);
      await right(s);
      await scribble(s, id, 2);
      const wednesday = await snapshot(s, id);
      await scribble(s, id, 7);
      await grow(s, id);
      await right(s);
      // Merged away, and held open: the restore ends all the same.
      await unstage(s, id);
      await restore(s, id, tuesday);
      await stage(s, id);
      await finish(s);
      await right(s);
      const look = await fork(s, wednesday);
      await scribble(s, look, 3);
      await drop(s, look);
      await right(s);
      // What is left of them is nobody's, also for a driver that starts anew.
      await killDriver(s);
      await right(s);
      for (const release of releases) await release();
      await s.engine.retry();
      same(await isThere(s, first), false, 'the store of what was deleted, when nobody holds it open any more');
      await right(s);
      await tidy(s, 3);
    },
  },
  {
    name: 'a promoted fork whose old store somebody keeps open is deleted, and its snapshot takes its place',
    run: async (s) => {
      const id = await volume(s);
      await scribble(s, id);
      const base = await snapshot(s, id);
      await unstage(s, id);
      const made = await fork(s, base);
      await scribble(s, made, 5);
      const release = await s.rig.strangers.hold(await storeOf(s, made));
      await restore(s, made, base, { mode: 'snapshot', keep: false });
      await finish(s);
      await right(s);
      // Its snapshot alone reads through it from then on, and is merged into the store that was the origin's.
      const taken = await snapshot(s, made);
      await scribble(s, made, 9);
      await drop(s, made);
      await finish(s);
      await right(s);
      await killDriver(s);
      await finish(s);
      await right(s);
      await release();
      await s.engine.retry();
      await right(s);
      await drop(s, taken);
      await finish(s);
      await right(s);
      same((await s.rig.lvm.report()).stores.length, 0, 'stores, when all has been deleted');
    },
  },
];

/** With stores that can grow, and so have tails. */
export const WITH_TAILS = { unit: mib(4), leastHeadroom: kib(128) } as const;

/** For scenarios WITH_TAILS: what reads a store's end is answered, and holds the device open as long as it likes. */
export const ENDS: readonly ContractCase[] = [
  {
    name: 'whoever reads the end of a store is answered, keeps no writer waiting, and fails no snapshot, restore or staging',
    run: async (s) => {
      const id = await volume(s);
      const monday = await snapshot(s, id);
      const store = await storeOf(s, monday);
      await s.rig.strangers.readEnd(storeDevice(store, 'cow'));
      const tail = await tailOf(s, store);
      await s.rig.strangers.readEnd(tail);
      const releases = [await s.rig.strangers.hold(tail), await s.rig.strangers.hold(storeDevice(store, 'cow'))];
      const before = await sizeOf(s, store);
      // Extended again and again, and what nests is to be laid flat.
      await trickle(s, id, 0, 200);
      if ((await sizeOf(s, store)) <= before) throw new Error('The store was never extended');
      await right(s);
      const tuesday = await snapshot(s, id);
      await trickle(s, id, 100, 300);
      await right(s);
      await unstage(s, id);
      await restore(s, id, monday);
      await stage(s, id);
      await finish(s);
      await right(s);
      await drop(s, tuesday);
      await drop(s, monday);
      await unstage(s, id);
      await finish(s);
      await right(s);
      for (const release of releases) await release();
    },
  },
  {
    name: 'the tail of an earlier version, errors that stand still, holds writers and not readers once a driver has started',
    run: async (s) => {
      const id = await volume(s);
      const tail = await tailOf(s, await storeOf(s, await snapshot(s, id)));
      const { live = [], readOnly = false } = (await s.rig.kernel.observe()).devices.get(tail) ?? {};
      await s.rig.kernel.apply([
        { do: 'swap', device: tail, table: errors(lengthOf(live)), readOnly },
        { do: 'suspend', device: tail },
      ]);
      await killDriver(s);
      await finish(s);
      same(await shown(s, tail), 'hold', 'the tail');
      await s.rig.strangers.readEnd(tail);
      await trickle(s, id, 0, 100);
      await right(s);
    },
  },
];

async function tailOf(s: Scenario, store: StoreName): Promise<DeviceKey> {
  const { devices } = await s.rig.kernel.observe();
  const tail = [...devices.keys()].find((key) => isTail(key) && storeOfKey(key) === store);
  if (tail === undefined) throw new Error(`Store '${store}' has no tail`);
  return tail;
}

/** Writes a chunk at a time, with what the monitor and the background do meanwhile. */
async function trickle(s: Scenario, id: VolumeId, from: number, until: number): Promise<void> {
  const blocks = s.model.volumes.get(id)?.blocks ?? [];
  for (let block = from; block < until; block += 4) {
    const tag = s.nextTag++;
    blocks[block] = tag;
    await s.rig.write(deviceKey(id, 'top'), [{ block, tags: [tag] }]);
    // Slow enough for an extension to be a small one.
    s.clockMs += 10_000;
    await s.engine.look();
    await s.engine.settle();
  }
}

async function sizeOf(s: Scenario, store: StoreName): Promise<bigint> {
  return (await s.rig.lvm.report()).stores.find((one) => one.store === store)?.size ?? 0n;
}

/** Of an image that is shown. */
async function storeOf(s: Scenario, id: EntityId): Promise<StoreName> {
  const [store] = heldStores((await s.rig.kernel.observe()).devices.get(deviceKey(id, 'view'))?.live);
  if (store === undefined) throw new Error(`The view of '${id}' holds no store`);
  return store;
}

async function isThere(s: Scenario, store: StoreName): Promise<boolean> {
  return (await s.rig.lvm.report()).stores.some((one) => one.store === store);
}
