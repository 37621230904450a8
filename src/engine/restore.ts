// Restore of a volume to one of its snapshots by merge: everything is measured and prepared first, then one commit decides,
// and from there the background carries on, whatever happens to the driver or the node.

import { dataBytesIn, storeBytesFor } from '../dm/cow.ts';
import { devicesBelow } from '../dm/desired.ts';
import type { Family, Node } from '../dm/family.ts';
import { chainOf } from '../dm/family.ts';
import { mergeFinished } from '../dm/status.ts';
import { fail } from '../errors.ts';
import type { EntityId, SnapshotId } from '../ids.ts';
import { deviceKey } from '../ids.ts';
import type { PoolReport } from '../lvm/lvm.ts';
import type { RestoreMark, StoreRecord } from '../lvm/record.ts';
import { imageSize } from '../lvm/record.ts';
import { nameOf, restoreTag, sameName } from '../lvm/tags.ts';
import type { Bytes } from '../units.ts';
import { bytes, formatBytes, maxBytes, minBytes, roundUp, toBytes } from '../units.ts';
import { openersOf } from './activate.ts';
import type { Context, PoolState } from './context.ts';
import {
  commit,
  convergeFamily,
  copiesOf,
  drawStore,
  extendStore,
  firstCowSize,
  prepareStore,
  readFamily,
  settle,
  storeReport,
  withFamilyOf,
  withToken,
} from './context.ts';
import type { Restore, StartRestore } from './engine.ts';
import { presentRunning, restoreId } from './present.ts';
import { snapshotByName, takeSnapshot } from './snapshots.ts';

type FamilyState = PoolState & { readonly family: Family; readonly node: Node };

/**
 * Begins a restore in mode origin to the newest snapshot. `precondition` with what stands in the way; `exhausted` with the missing bytes when some store that will grow has no room.
 */
export async function startRestore(ctx: Context, request: StartRestore): Promise<Restore> {
  if (request.mode !== 'origin') {
    fail('precondition', `Cannot restore in mode '${request.mode}': this version restores in mode 'origin' only`);
  }
  if (ctx.settingUp.has(request.volume)) {
    fail('busy', `Cannot restore volume '${request.volume}': a restore of it is being set up already`);
  }
  ctx.settingUp.add(request.volume);
  try {
    return await withFamilyOf(ctx, request.volume, async (state) => {
      const running = state.node.record.restore;
      if (running !== undefined) refuseRunning(request, running);
      checkTarget(state, request);
      await checkUnused(ctx, request);
      return begin(ctx, await withSafetySnapshot(ctx, state, request));
    });
  } finally {
    ctx.settingUp.delete(request.volume);
  }
}

/** Also when the same is asked again: what was written since would be silently kept, or silently lost. */
function refuseRunning(request: StartRestore, mark: RestoreMark): never {
  return fail(
    'precondition',
    `Cannot restore volume '${request.volume}' to '${request.snapshot}': its restore '${restoreId(mark.token)}' to ` +
      `'${mark.snapshot}' is still merging`,
  );
}

function checkTarget({ family, node }: FamilyState, request: StartRestore): void {
  const doing = `Cannot restore volume '${request.volume}' to snapshot '${request.snapshot}'`;
  const target = family.nodes.get(request.snapshot);
  if (target === undefined || target.record.deleted) fail('not-found', `${doing}: there is no such snapshot`);
  const { entity } = target.record;
  if (entity.kind !== 'snapshot' || entity.volume !== request.volume) {
    fail('invalid', `${doing}: it is a snapshot of another volume`);
  }
  if (node.record.entity.parameters.scratch) {
    fail('precondition', `${doing}: the volume is a scratch fork; stage it anew and it is fresh`);
  }
  const path = pathTo(family, node, request.snapshot);
  if (path === undefined) {
    fail(
      'precondition',
      `${doing}: it no longer lies in the volume's own chain; make a volume from the snapshot instead`,
    );
  }
  const newer = path.slice(0, -1).filter((one) => !one.record.deleted && !isSafety(one, request));
  if (newer.length > 0) {
    const names = newer.map(({ id }) => `'${id}'`).join(', ');
    fail(
      'precondition',
      `${doing}: newer snapshots would have to be kept (${names}); this version restores to the newest one only`,
    );
  }
  const merging = [...family.nodes.values()].find(
    ({ record }) => record.merging !== undefined || record.restore !== undefined,
  );
  if (merging !== undefined) {
    fail('precondition', `${doing}: '${merging.id}' of the same family is still merging; try again when that is done`);
  }
}

/** Chain members from the one nearest to the volume to the target, the target last; undefined when it is not among them. */
function pathTo(family: Family, node: Node, target: SnapshotId): readonly Node[] | undefined {
  const { entity } = node.record;
  if (entity.kind !== 'volume') return undefined;
  const chain = chainOf(family, entity.id);
  const index = chain.findIndex(({ id }) => id === target);
  return index < 0 ? undefined : chain.slice(0, index + 1);
}

/** The kernel's open count, not the mount table: a process or another namespace may hold the device. */
async function checkUnused(ctx: Context, request: StartRestore): Promise<void> {
  const openers = await openersOf(ctx, request.volume);
  if (openers > 0) {
    fail(
      'precondition',
      `Cannot restore volume '${request.volume}': it is in use (open count ${openers}); unmount it first`,
    );
  }
  const { devices } = await ctx.kernel.observe();
  const view = devices.get(deviceKey(request.snapshot, 'view'));
  const byTables = [...devices.values()]
    .flatMap(({ live, inactive }) => [live ?? [], inactive ?? []])
    .filter((table) => devicesBelow(table).includes(deviceKey(request.snapshot, 'view'))).length;
  if (view !== undefined && view.openCount > byTables) {
    fail(
      'precondition',
      `Cannot restore volume '${request.volume}': somebody holds the device of snapshot '${request.snapshot}' open`,
    );
  }
}

interface Ready {
  readonly state: FamilyState;
  readonly request: StartRestore;
  readonly safety: SnapshotId | undefined;
}

function isSafety({ record }: Node, { safetySnapshotName }: StartRestore): boolean {
  return safetySnapshotName !== undefined && sameName(record.entity.name, nameOf(safetySnapshotName));
}

async function withSafetySnapshot(ctx: Context, state: FamilyState, request: StartRestore): Promise<Ready> {
  if (request.safetySnapshotName === undefined) return { state, request, safety: undefined };
  const existing = snapshotByName(state, request.safetySnapshotName);
  const taken = existing ?? (await takeSnapshot(ctx, state, request.safetySnapshotName));
  if (existing !== undefined) await checkSafety(ctx, state, request, existing.id);
  const after = await readFamily(ctx, state.family.id);
  const node = after.family.nodes.get(request.volume);
  if (node === undefined) return fail('not-found', `Cannot find volume '${request.volume}' after its safety snapshot`);
  return { state: { ...after, node }, request, safety: taken.id };
}

/** A first try that died after its safety snapshot is carried on with, if the snapshot still is what the volume shows. */
async function checkSafety(ctx: Context, state: FamilyState, request: StartRestore, id: SnapshotId): Promise<void> {
  const { family, node } = state;
  const [nearest] = chainOf(family, request.volume);
  const isWhole = nearest?.record.entity.size === node.record.entity.size;
  if (nearest?.id === id && isWhole && id !== request.snapshot) {
    await convergeFamily(ctx, family, [id]);
    const status = (await ctx.kernel.statuses()).get(deviceKey(id, 'view'));
    if (status !== undefined && mergeFinished(status)) return;
  }
  fail(
    'exists',
    `Cannot take safety snapshot '${request.safetySnapshotName}' of volume '${request.volume}': a snapshot of that ` +
      `name exists, and it is not what the volume shows now`,
  );
}

async function begin(ctx: Context, { state, request, safety }: Ready): Promise<Restore> {
  const { family, node, report } = state;
  const path = pathTo(family, node, request.snapshot) ?? [];
  const data = await measurePath(ctx, state, path);
  const token = ctx.drawId();
  const fresh = freshStores(ctx, report, { path, data, token, volume: node, request });
  const total = bytes(data.reduce((sum, one) => sum + one, 0n));
  const base = baseGrowth(report, node, path, total);
  const missing = roomMissing(report, fresh, base);
  if (missing > 0n) {
    fail(
      'exhausted',
      `Cannot restore volume '${request.volume}': the stores that will grow need ${formatBytes(missing)} more ` +
        `than pool '${ctx.pool}' has free`,
    );
  }
  const mark: RestoreMark = {
    token,
    snapshot: request.snapshot,
    stack: path.map(({ record }) => record.store),
    keepSnapshot: request.keepSnapshot,
    safetySnapshot: safety,
    totalBytes: total,
    startedMs: ctx.clock.nowMs(),
  };
  return withToken(ctx, token, async () => {
    if (base.size > base.present) await extendStore(ctx, node.record.store, base.size);
    for (const { record, size } of fresh) await prepareStore(ctx, record, size);
    await commit(ctx, node.record.store, [restoreTag(mark)], []);
    const after = await readFamily(ctx, family.id);
    await convergeFamily(ctx, after.family);
    await settle(ctx, after.family);
    ctx.goOn(family.id);
    return presentRunning(request.volume, mark, total, '');
  });
}

/** Bytes of data in each store of the path, at most: shown for a moment and asked, so that a dormant store is known too. */
async function measurePath(
  ctx: Context,
  { family, report }: FamilyState,
  path: readonly Node[],
): Promise<readonly Bytes[]> {
  const pinned: readonly EntityId[] = path.map(({ id }) => id);
  await convergeFamily(ctx, family, pinned);
  const statuses = await ctx.kernel.statuses();
  return path.map(({ id, record }) => {
    const status = statuses.get(deviceKey(id, 'view'));
    if (status?.state === 'invalid' || status?.state === 'overflow') {
      fail('precondition', `Cannot restore to snapshot '${id}': its store has overflowed and its contents are lost`);
    }
    const used = status?.state === 'counts' ? toBytes(status.used) : storeReport(report, record.store).size;
    return dataBytesIn(used, record.chunk ?? record.entity.parameters.chunk);
  });
}

interface Fresh {
  readonly record: StoreRecord;
  readonly size: Bytes;
}

interface Plan {
  readonly path: readonly Node[];
  readonly data: readonly Bytes[];
  readonly token: string;
  readonly volume: Node;
  readonly request: StartRestore;
}

/**
 * The new home of each snapshot on the path. The restored one stays next to the volume and is fed by it. A newer one
 * hangs on its level while the merges above it run, which feed it, and on the restored snapshot from then on: that image
 * never changes, so nothing feeds it any more.
 */
function freshStores(ctx: Context, report: PoolReport, { path, data, token, volume, request }: Plan): readonly Fresh[] {
  return path.map((node, index): Fresh => {
    const { record } = node;
    const { entity, generation } = record;
    const { chunk } = volume.record.entity.parameters;
    const isTarget = index === path.length - 1;
    // What is kept beside the volume shows the volume's present length, because larger snapshots will read through it.
    const image = isTarget ? maxBytes(imageSize(record), volume.record.entity.size) : imageSize(record);
    const most = storeBytesFor(image, chunk);
    const moved = bytes(data.slice(index + 1).reduce((sum, one) => sum + one, 0n));
    const fed = minBytes(storeBytesFor(worstCase(moved, chunk, path), chunk), most);
    const first = firstCowSize(ctx, report, entity.size, entity.parameters.snapshotReservePercent, most);
    return {
      size: roundUp(maxBytes(first, fed), report.extent),
      record: {
        ...record,
        store: drawStore(ctx),
        generation: generation + 1,
        chunk,
        window: image,
        image: image === entity.size ? undefined : image,
        place: isTarget ? record.place : { kind: 'fork', snapshot: request.snapshot },
        level: isTarget ? undefined : { token, index: index + 1 },
        pending: token,
        decides: undefined,
        deleted: record.deleted || (isTarget && !request.keepSnapshot),
      },
    };
  });
}

/** A moved chunk that is smaller than the chunk it feeds costs a whole one of those. */
function worstCase(moved: Bytes, chunk: Bytes, path: readonly Node[]): Bytes {
  const smallest = path.reduce((least, { record }) => minBytes(least, record.chunk ?? least), chunk);
  return bytes((moved / smallest) * chunk);
}

interface Growth {
  readonly present: Bytes;
  readonly size: Bytes;
  readonly copies: bigint;
}

/** A fork's own store takes what is merged into it. */
function baseGrowth(report: PoolReport, node: Node, path: readonly Node[], total: Bytes): Growth {
  const { store, chunk, entity, place } = node.record;
  const present = storeReport(report, store).size;
  const copies = copiesOf(entity.parameters.layout);
  if (place.kind === 'root' || chunk === undefined) return { present, size: present, copies };
  const most = storeBytesFor(entity.size, chunk);
  const grown = minBytes(bytes(present + storeBytesFor(worstCase(total, chunk, path), chunk)), most);
  return { present, size: roundUp(maxBytes(present, grown), report.extent), copies };
}

function roomMissing(report: PoolReport, fresh: readonly Fresh[], base: Growth): bigint {
  const stores = fresh.reduce((sum, { size, record }) => sum + size * copiesOf(record.entity.parameters.layout), 0n);
  const needed = stores + (base.size - base.present) * base.copies;
  return needed > report.free ? needed - report.free : 0n;
}
