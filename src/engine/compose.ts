// One pool's engine: puts the use cases over one shared context, and runs the background that goes on with merges, sweeps
// and extensions.

import type { Kernel } from '../dm/kernel.ts';
import type { ErrorKind } from '../vocabulary/errors.ts';
import { SnapmergeError, messageOf } from '../vocabulary/errors.ts';
import type { Host } from '../host/host.ts';
import type { DrawId, EntityId, PoolName, VgUuid, VolumeId } from '../vocabulary/ids.ts';
import type { Lvm } from '../lvm/lvm.ts';
import type { Clock, Log } from '../vocabulary/ports.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { bytes } from '../vocabulary/units.ts';
import { activate, active, deactivate, stage } from './stage.ts';
import { advance } from './background/advance.ts';
import { createBackground } from './background/scheduler.ts';
import type { Context, PoolState } from './state/context.ts';
import { convergeFamily } from './families/converge-family.ts';
import { readFamily, readPool } from './state/context.ts';
import type { Engine } from './engine.ts';
import { expandVolume } from './operations/expand.ts';
import { inspect } from './queries/inspect.ts';
import { createLocks } from '../system/locks.ts';
import { createMonitor } from './background/monitor.ts';
import { deleteSnapshot, deleteVolume } from './operations/delete.ts';
import { oweFlushes } from './ports/durable-commits.ts';
import { shareReports } from './ports/shared-reports.ts';
import { startRestore } from './restore/start.ts';
import { cancelRestore, getRestore, listRestores, watchRestore } from './restore/query.ts';
import { createSnapshot } from './operations/create-snapshot.ts';
import { entityByName, volumeEntity } from './families/find.ts';
import { createVolume } from './operations/create-volume.ts';
import { begin } from './boot.ts';
import { capacity, getSnapshot, getVolume, health, listSnapshots, listVolumes, present } from './queries/queries.ts';

export interface PoolPorts {
  readonly pool: PoolName;
  readonly vg: VgUuid;
  readonly lvm: Lvm;
  readonly kernel: Kernel;
  readonly host: Host;
  readonly clock: Clock;
  readonly drawId: DrawId;
  readonly log: Log;
  /** Share of the pool, in percent, that new volumes may not take. */
  readonly reservePercent: number;
  /** Bytes kept free in a store that is being filled; when not given, by the pool's size. */
  readonly leastHeadroom?: Bytes | undefined;
  /** Hears of every look of the monitor. */
  readonly looked?: ((ok: boolean, seconds: number) => void) | undefined;
}

/** An engine whose background can also be driven by hand: `settle` runs all that is due now, `look` is one monitor round. */
export interface PoolEngine extends Engine {
  /** Shows exactly these images (their view devices) although nobody uses them; snapshots are shown read-only. */
  readonly show: (images: ReadonlySet<EntityId>) => Promise<void>;
  /** Start without the background. */
  readonly open: () => Promise<void>;
  readonly settle: () => Promise<void>;
  /** The same with what would be tried again in a while. */
  readonly retry: () => Promise<void>;
  readonly look: () => Promise<number>;
}

/** A request may take so long to find that there is no room. */
const ROOM_LIMIT_MS = 20_000;

/** And one for what there is to be had, which is asked right after a deletion: what goes counts as gone. */
const CAPACITY_LIMIT_MS = 5_000;

/** What may go wrong after a commit; other kinds of error are found before it. */
const FAILS_LATE: ReadonlySet<ErrorKind> = new Set(['internal', 'precondition', 'contradiction', 'exhausted']);

export function createPoolEngine(ports: PoolPorts): PoolEngine {
  const { lvm: owing, flushOwed } = oweFlushes(ports.lvm);
  const { lvm, kernel, recent, forget } = shareReports(owing, ports.kernel, () => ports.clock.monotonicMs());
  const ctx: Context = {
    ...ports,
    lvm,
    kernel,
    recentReport: recent,
    log: ports.log.child({ pool: ports.pool }),
    locks: createLocks(),
    active: new Set(),
    lettingGo: new Set(),
    pinned: new Set(),
    settingUp: new Set(),
    staging: new Set(),
    underWay: new Set(),
    zeroing: new Map(),
    measured: new Map(),
    sizes: new Map(),
    extent: { size: bytes(4194304) },
    watched: new Map(),
    watch: (family, stores) => {
      if (stores.length > 0) ctx.watched.set(family, stores);
      else ctx.watched.delete(family);
      // Of a store that nobody watches nobody would say that it is full no more.
      const watched = new Set(stores.map(({ store }) => store));
      for (const [store, full] of ctx.full) if (full.family === family && !watched.has(store)) ctx.full.delete(store);
      background.lookNow();
    },
    promised: { size: bytes(0) },
    headroom: { size: bytes(0) },
    lost: new Set(),
    lastRead: { state: undefined, lost: 0 },
    suspects: new Set(),
    waiting: new Set(),
    whyWaiting: new Map(),
    mergeRates: new Map(),
    failedMerges: new Map(),
    tailChanges: new Map(),
    nested: new Set(),
    reliefs: new Map(),
    unrelieved: new Set(),
    untouched: new Map(),
    unsettled: new Set(),
    full: new Map(),
    stuck: new Map(),
    left: new Map(),
    unswept: new Set(),
    unshrinkable: new Map(),
    unshown: new Map(),
    keepAhead: (family) => monitor.lookAt(family),
    goOn: (family) => background.goOn(family),
  };
  const monitor = createMonitor(ctx);
  const retried = (): readonly VolumeId[] => [
    ...ctx.stuck.keys(),
    ...ctx.waiting,
    ...ctx.unsettled,
    ...ctx.left.keys(),
    ...ctx.unswept,
  ];
  const background = createBackground({
    clock: ctx.clock,
    log: ctx.log,
    advance: (family) => advanceFamily(ctx, family),
    retried,
    look: monitor.look,
    looked: ports.looked,
  });

  /**
   * What has been deleted or merged gives its room back a moment later: who lacks room asks again when that has been done. And
   * others give theirs back without a word, so nobody is refused by what was read before.
   */
  const withRoom = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof SnapmergeError && error.kind === 'exhausted')) throw error;
      await background.quiet(ROOM_LIMIT_MS);
      forget();
      return work();
    }
  };

  // What is answered is on the disks, also where it was committed by a call whose flush failed, or a driver that died.
  const durable = async <T>(work: () => Promise<T>): Promise<T> => {
    const result = await work();
    await flushOwed();
    return result;
  };

  /**
   * Once a thing is decided, its making fails for good no more: whoever asked would believe that there is nothing, and nobody
   * would ever delete it. Asked again, it is there.
   */
  const decided = async <T>(work: () => Promise<T>, isThere: (state: PoolState) => boolean): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof SnapmergeError) || !FAILS_LATE.has(error.kind)) throw error;
      const found = await readPool(ctx)
        .then(isThere)
        // Also where its records contradict each other: it is there, and a final answer would leave it to nobody.
        .catch(() => true);
      if (!found) throw error;
      throw new SnapmergeError('unavailable', error.message, { cause: error });
    }
  };

  return {
    pool: ctx.pool,
    vg: ctx.vg,
    createVolume: (request) =>
      decided(
        () => durable(() => withRoom(() => createVolume(ctx, request))),
        (state) => entityByName(state, 'volume', request.name) !== undefined,
      ),
    deleteVolume: (id) => durable(() => deleteVolume(ctx, id)),
    getVolume: (id) => getVolume(ctx, monitor, id),
    findVolume: async (name) => {
      const state = await readPool(ctx);
      const entity = entityByName(state, 'volume', name);
      return entity === undefined ? undefined : present(ctx, monitor, state, entity);
    },
    listVolumes: () => listVolumes(ctx, monitor),
    expandVolume: (id, required, limit) => durable(() => withRoom(() => expandVolume(ctx, id, required, limit))),
    capacity: async (layout) => {
      await background.quiet(CAPACITY_LIMIT_MS);
      return capacity(ctx, layout);
    },
    createSnapshot: (volume, name) =>
      decided(
        () => durable(() => withRoom(() => createSnapshot(ctx, volume, name))),
        (state) => entityByName(state, 'snapshot', name) !== undefined,
      ),
    deleteSnapshot: (id) => durable(() => deleteSnapshot(ctx, id)),
    getSnapshot: (id) => getSnapshot(ctx, id),
    findSnapshot: async (name) => {
      const entity = entityByName(await readPool(ctx), 'snapshot', name);
      return (await listSnapshots(ctx)).find(({ id }) => id === entity?.id);
    },
    listSnapshots: () => listSnapshots(ctx),
    stage: (id, work) => stage(ctx, id, work),
    activate: (id) => activate(ctx, id),
    active: async (id) => {
      const found = volumeEntity(await readPool(ctx), id);
      return found === undefined ? undefined : active(ctx, id, found.entity.size);
    },
    deactivate: (id) => deactivate(ctx, id),
    startRestore: (request) => durable(() => withRoom(() => startRestore(ctx, request))),
    getRestore: (id) => getRestore(ctx, id),
    listRestores: () => listRestores(ctx),
    watchRestore: (id, signal) => watchRestore(ctx, id, signal),
    cancelRestore: (id) => durable(() => cancelRestore(ctx, id)),
    health: () => health(ctx),
    waiting: async () => {
      for (const family of new Set([...ctx.full.values()].map((full) => full.family))) await monitor.lookAt(family);
      return [...ctx.full].map(([store, { volume, missing, sinceMs }]) => ({
        volume,
        store,
        missingBytes: missing,
        sinceMs,
      }));
    },
    inspect: () => inspect(ctx),
    show: (images) => show(ctx, images),
    open: async () => {
      await begin(ctx);
      await background.advanceDue();
    },
    settle: background.advanceDue,
    retry: async () => {
      for (const family of retried()) background.goOn(family);
      await background.advanceDue();
    },
    look: monitor.look,
    // What families have to do goes on behind it: one that hangs in the kernel keeps no other from being served, nor stores
    // from being extended, for which it may hang.
    start: async () => {
      await begin(ctx);
      background.start();
    },
    stop: async () => {
      await background.stop();
      await ctx.locks.idle();
    },
  };
}

/** False when it could not be brought to where it should be. */
async function advanceFamily(ctx: Context, family: VolumeId): Promise<boolean> {
  try {
    await advance(ctx, family);
    return true;
  } catch (error) {
    ctx.stuck.set(family, messageOf(error));
    ctx.unsettled.add(family);
    ctx.log.error({ family, error: messageOf(error) }, 'family cannot go on');
    return false;
  }
}

async function show(ctx: Context, images: ReadonlySet<EntityId>): Promise<void> {
  const changed = new Set([...ctx.pinned, ...images]);
  ctx.pinned.clear();
  for (const id of images) ctx.pinned.add(id);
  const { forest } = await readPool(ctx);
  for (const family of forest.families.values()) {
    if (![...changed].some((id) => family.nodes.has(id))) continue;
    await ctx.locks.run(`family:${family.id}`, async () => {
      await convergeFamily(ctx, (await readFamily(ctx, family.id)).family);
    });
  }
}
