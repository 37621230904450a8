// One pool's engine: puts the use cases over one shared context, and runs the background that goes on with merges, sweeps
// and extensions.

import { MOST_NESTED, depthsOf } from '../converge/depth.ts';
import { desired } from '../converge/desired.ts';
import type { Family } from '../records/family.ts';
import { ancestorsOf } from '../records/family.ts';
import type { Kernel, Observed } from '../dm/kernel.ts';
import { ofFamily } from '../converge/converge.ts';
import { plan } from '../converge/plan.ts';
import { nested } from '../converge/tails.ts';
import type { ErrorKind } from '../vocabulary/errors.ts';
import { SnapmergeError, messageOf } from '../vocabulary/errors.ts';
import type { Host } from '../host/host.ts';
import type { DrawId, EntityId, PoolName, SnapshotId, VgUuid, VolumeId } from '../vocabulary/ids.ts';
import { deviceKey, entityOf, isTop, isVolumeId } from '../vocabulary/ids.ts';
import type { Lvm } from '../lvm/lvm.ts';
import type { StoreRecord } from '../records/record.ts';
import { isLost } from '../records/record.ts';
import { largest, most } from '../lvm/room.ts';
import type { Clock, Log } from '../vocabulary/ports.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { bytes, formatBytes, minBytes, roundDown } from '../vocabulary/units.ts';
import { activate, active, deactivate, stage } from './activate.ts';
import { advance } from './advance.ts';
import { createBackground } from './background.ts';
import type { Context, FamilyState, PoolState } from './context.ts';
import { convergeFamily, inUseOf } from './shown.ts';
import { copiesOf, freeForNew, hasMetadataRoom, sizeUnit } from './stores.ts';
import { livingNode, livingNodes, readFamily, readPool, refuseTroubled } from './context.ts';
import { LESS_BELOW } from './depth.ts';
import type { Capacity, Engine, Health, Layout, PoolHealth, Snapshot, Volume } from './engine.ts';
import { expandVolume } from './expand.ts';
import { inspect } from './inspect.ts';
import { createLocks } from './locks.ts';
import type { Monitor } from './monitor.ts';
import { createMonitor } from './monitor.ts';
import { healthOf, presentSnapshot, presentVolume } from './present.ts';
import { deleteSnapshot, deleteVolume } from './remove.ts';
import { removeOrphans } from './orphans.ts';
import { noteUntaken } from './redate.ts';
import { oweFlushes } from './owed.ts';
import { shareReports } from './recent.ts';
import { startRestore } from './restore.ts';
import { cancelRestore, getRestore, listRestores, watchRestore } from './restores.ts';
import { createSnapshot, snapshotByName } from './snapshots.ts';
import type { FoundVolume } from './volumes.ts';
import { createVolume, volumeByName, volumeEntity } from './volumes.ts';

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
        (state) => volumeByName(state, request.name) !== undefined,
      ),
    deleteVolume: (id) => durable(() => deleteVolume(ctx, id)),
    getVolume: (id) => getVolume(ctx, monitor, id),
    findVolume: async (name) => {
      const state = await readPool(ctx);
      const entity = volumeByName(state, name);
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
        (state) => snapshotByName(state, name) !== undefined,
      ),
    deleteSnapshot: (id) => durable(() => deleteSnapshot(ctx, id)),
    getSnapshot: (id) => getSnapshot(ctx, id),
    findSnapshot: async (name) => {
      const entity = snapshotByName(await readPool(ctx), name);
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

/** What is staged is what has a top device: the kernel remembers it for as long as it must be remembered. */
async function begin(ctx: Context): Promise<void> {
  const { report, forest } = await readPool(ctx);
  for (const { family, reason, stores } of forest.troubles)
    ctx.log.error({ family, stores, reason }, 'family is left alone');
  const observed = await ctx.kernel.observe('without-statuses');
  for (const key of observed.devices.keys()) {
    const id = entityOf(key);
    if (isTop(key) && id !== undefined && isVolumeId(id)) ctx.active.add(id);
  }
  await removeOrphans(ctx, forest, observed);
  ctx.log.info(
    {
      families: forest.families.size,
      active: ctx.active.size,
      stores: report.stores.length,
      strangers: report.strangers,
    },
    'pool read',
  );
  for (const family of forest.families.values()) beginFamily(ctx, family, observed);
}

/** Whoever comes before the background puts right what a driver that died has left. */
function beginFamily(ctx: Context, family: Family, observed: Observed): void {
  try {
    if (nested(ofFamily(observed, family)).length > 0) ctx.nested.add(family.id);
    noteUntaken(ctx, family, ofFamily(observed, family));
    if (hasWork(ctx, family, observed)) {
      ctx.unsettled.add(family.id);
      ctx.goOn(family.id);
    }
    for (const id of inUseOf(ctx, family).volumes) {
      const depth = stagedDepth(ctx, family, id);
      if (depth > MOST_NESTED)
        ctx.log.warn({ volume: id, depth, most: MOST_NESTED }, 'volume lies too deep and is left so');
    }
  } catch (error) {
    ctx.stuck.set(family.id, messageOf(error));
    ctx.log.error({ family: family.id, error: messageOf(error) }, 'family cannot be begun');
  }
}

/** Not exactly as it should be, or on its way somewhere. */
function hasWork(ctx: Context, family: Family, observed: Observed): boolean {
  const leftovers = family.rubbish.length + family.undecided.length + family.settled.length;
  const unfinished = [...family.nodes.values()].some(
    ({ record, readers }) =>
      record.wish !== undefined ||
      record.restore !== undefined ||
      record.merging !== undefined ||
      (record.deleted && readers.length === 1),
  );
  const steps = plan(ofFamily(observed, family), desired(family, inUseOf(ctx, family)));
  return leftovers > 0 || unfinished || steps.length > 0 || ofFamily(observed, family).devices.size > 0;
}

async function getVolume(ctx: Context, monitor: Monitor, id: VolumeId): Promise<Volume | undefined> {
  const state = await readPool(ctx);
  const found = volumeEntity(state, id);
  if (found === undefined) refuseTroubled(state.forest, id);
  return found === undefined ? undefined : present(ctx, monitor, state, found.entity);
}

function present(ctx: Context, monitor: Monitor, state: PoolState, entity: FoundVolume['entity']): Volume {
  return presentVolume(entity, ctx.active.has(entity.id), volumeHealth(ctx, monitor, state, entity.id));
}

const BY_GRAVITY: readonly Health['state'][] = ['healthy', 'degraded', 'inaccessible', 'lost'];

/** The gravest of all that is known; of several alike the first. */
function volumeHealth(ctx: Context, monitor: Monitor, state: PoolState, id: VolumeId): Health {
  const found = livingNode(state.forest, id);
  if (found === undefined) return { state: 'healthy' };
  const recorded = healthOf(found.family, found.node, state.report, ctx.stuck.get(found.family.id));
  const all = [seenNow(ctx, monitor, found, id), recorded];
  return all.reduce((worst, one) => (BY_GRAVITY.indexOf(one.state) > BY_GRAVITY.indexOf(worst.state) ? one : worst));
}

/** What the kernel says, and what a volume in use waits for. */
function seenNow(ctx: Context, monitor: Monitor, found: Pick<FamilyState, 'family' | 'node'>, id: VolumeId): Health {
  for (const at of [found.node, ...ancestorsOf(found.family, found.node)]) {
    for (const [key, { state }] of monitor.last()) {
      if (entityOf(key) !== at.id || state === 'counts') continue;
      const reason = `The kernel says '${state}' of '${at.id}', which the volume reads through`;
      // Its word alone is no proof of a loss; and what a failed merge moves, which begins anew, is still there.
      return { state: state === 'invalid' || state === 'overflow' ? 'inaccessible' : 'degraded', reason };
    }
  }
  const depth = stagedDepth(ctx, found.family, id);
  if (depth > MOST_NESTED) {
    const reason = `It is shown by ${depth} devices on top of each other, and more than ${MOST_NESTED} could bring the kernel down: ${LESS_BELOW}`;
    return { state: 'degraded', reason };
  }
  const full = [...ctx.full.values()].find(({ volume }) => volume === id);
  if (full !== undefined) {
    const reason = `Writers wait for room: pool '${ctx.pool}' needs ${formatBytes(full.missing)} more free space`;
    return { state: 'degraded', reason };
  }
  return { state: 'healthy' };
}

/** Of a volume that is not staged 0. */
function stagedDepth(ctx: Context, family: Family, id: VolumeId): number {
  if (!ctx.active.has(id)) return 0;
  const shown = desired(family, { volumes: new Set([id]), pinned: new Set() });
  return depthsOf(shown.devices).get(deviceKey(id, 'top')) ?? 0;
}

async function listVolumes(ctx: Context, monitor: Monitor): Promise<readonly Volume[]> {
  const state = await readPool(ctx);
  return livingNodes(state.forest)
    .flatMap(({ record }) => (record.entity.kind === 'volume' ? [record.entity] : []))
    .map((entity) => present(ctx, monitor, state, entity))
    .sort(byAge);
}

async function listSnapshots(ctx: Context): Promise<readonly Snapshot[]> {
  const { forest } = await readPool(ctx);
  return livingNodes(forest)
    .flatMap(({ record }) => snapshotOf(ctx, record) ?? [])
    .sort(byAge);
}

function byAge(
  a: { readonly createdMs: number; readonly id: string },
  b: { readonly createdMs: number; readonly id: string },
): number {
  return a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1);
}

async function getSnapshot(ctx: Context, id: SnapshotId): Promise<Snapshot | undefined> {
  const { forest } = await readPool(ctx);
  const record = livingNode(forest, id)?.node.record;
  if (record === undefined) refuseTroubled(forest, id);
  return record === undefined ? undefined : snapshotOf(ctx, record);
}

function snapshotOf(ctx: Context, record: StoreRecord): Snapshot | undefined {
  const { entity } = record;
  if (entity.kind !== 'snapshot') return undefined;
  return presentSnapshot(entity, { lost: isLost(record), pending: ctx.unshown.has(entity.id) });
}

async function capacity(ctx: Context, layout: Layout): Promise<Capacity> {
  const { report } = await readPool(ctx);
  const unit = sizeUnit(report);
  const free = bytes(freeForNew(ctx, report) / copiesOf(layout));
  // A commit needs room, too.
  if (!hasMetadataRoom(report)) return { available: bytes(0), maximumVolume: bytes(0), minimumVolume: unit };
  // What is free on disks of other sizes than each other's may be of no use to a layout.
  return {
    available: minBytes(free, most(report, layout)),
    maximumVolume: roundDown(minBytes(free, largest(report, layout)), unit),
    minimumVolume: unit,
  };
}

async function health(ctx: Context): Promise<PoolHealth> {
  const silent: string[] = [];
  const ask = async <T>(what: string, question: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await question();
    } catch (error) {
      silent.push(`${what} of pool '${ctx.pool}' does not answer: ${messageOf(error)}`);
      return undefined;
    }
  };
  const report = await ask('LVM', () => ctx.lvm.report());
  await ask('Device-mapper', () => ctx.kernel.statuses());
  const missing = report?.physicalVolumes.filter((pv) => pv.missing).length ?? 0;
  const gone = missing === 0 ? [] : [`${missing} disks of volume group '${report?.vgName}' are missing`];
  const problems = [...silent, ...gone];
  return { ready: problems.length === 0, reachable: silent.length === 0, problems };
}
