// One pool's engine: puts the use cases over one shared context, and runs the background that goes on with merges, sweeps
// and extensions.

import type { Kernel } from '../dm/kernel.ts';
import { messageOf } from '../vocabulary/errors.ts';
import type { Host } from '../host/host.ts';
import type { DrawId, EntityId, PoolName, VgUuid, VolumeId } from '../vocabulary/ids.ts';
import type { Lvm } from '../lvm/lvm.ts';
import type { Clock, Log } from '../vocabulary/ports.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { activate, active, deactivate, stage } from './stage.ts';
import { advance } from './background/advance.ts';
import { createBackground } from './background/scheduler.ts';
import type { Context } from './state/context.ts';
import { newContext } from './state/new-context.ts';
import { wrapping } from './wrapping.ts';
import { convergeFamily } from './families/converge-family.ts';
import { readFamily, readPool } from './state/context.ts';
import type { Engine } from './engine.ts';
import { expandVolume } from './operations/expand.ts';
import { inspect } from './queries/inspect.ts';
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

/** And one for what there is to be had, which is asked right after a deletion: what goes counts as gone. */
const CAPACITY_LIMIT_MS = 5_000;

export function createPoolEngine(ports: PoolPorts): PoolEngine {
  const { lvm: owing, flushOwed } = oweFlushes(ports.lvm);
  const { lvm, kernel, recent, forget } = shareReports(owing, ports.kernel, () => ports.clock.monotonicMs());
  const ctx: Context = newContext({
    ...ports,
    lvm,
    kernel,
    recentReport: recent,
    log: ports.log.child({ pool: ports.pool }),
    lookNow: () => background.lookNow(),
    keepAhead: (family) => monitor.lookAt(family),
    goOn: (family) => background.goOn(family),
  });
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

  const { durable, withRoom, making } = wrapping({ ctx, quiet: background.quiet, forget, flushOwed });
  return {
    pool: ctx.pool,
    vg: ctx.vg,
    createVolume: (request) =>
      making(
        () => createVolume(ctx, request),
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
    expandVolume: (id, required, limit) => withRoom(() => expandVolume(ctx, id, required, limit)),
    capacity: async (layout) => {
      await background.quiet(CAPACITY_LIMIT_MS);
      return capacity(ctx, layout);
    },
    createSnapshot: (volume, name) =>
      making(
        () => createSnapshot(ctx, volume, name),
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
    startRestore: (request) => withRoom(() => startRestore(ctx, request)),
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
