// StartRestore, in its three modes: what is asked for is checked, and then begun, or written down as a wish that is carried
// out when nothing stands in the way any more, or when the volume is next staged.

import { devicesBelow } from '../../converge/device.ts';
import { MOST_NESTED_NEW } from '../../converge/depth.ts';
import type { Node } from '../../records/family.ts';
import { SnapmergeError, fail } from '../../vocabulary/errors.ts';
import type { ErrorKind } from '../../vocabulary/errors.ts';
import type { EntityId, VolumeId } from '../../vocabulary/ids.ts';
import { deviceKey } from '../../vocabulary/ids.ts';
import type { RestoreWish } from '../../records/record.ts';
import { beginRestore, refuseTakenName } from './begin.ts';
import type { Context, FamilyState } from '../state/context.ts';
import { commitRecord } from '../families/commit.ts';
import { readFamily, withFamilyOf } from '../state/context.ts';
import { LEAST_OVER_LEVELS, restoreTooDeep, tooMany } from '../families/depth.ts';
import type { Restore, StartRestore } from '../engine.ts';
import { openedBy } from '../families/open-count.ts';
import { presentEnded, presentRunning, presentWish, restoreId } from '../families/present.ts';
import { putRight } from '../families/repair.ts';
import { inTheWay, rollback } from './rollback.ts';
import type { Rollback } from './rollback.ts';

/**
 * Begins a restore, or notes it where it has to wait; see `StartRestore`. `precondition` with what stands in the way;
 * `exhausted` with the missing bytes when a store that will grow has no room.
 */
export async function startRestore(ctx: Context, request: StartRestore): Promise<Restore> {
  if (ctx.settingUp.has(request.volume)) {
    fail('busy', `Cannot restore volume '${request.volume}': a restore of it is being set up already`);
  }
  ctx.settingUp.add(request.volume);
  try {
    return await withFamilyOf(ctx, request.volume, (state) => startNow(ctx, state, request));
  } finally {
    ctx.settingUp.delete(request.volume);
  }
}

async function startNow(ctx: Context, state: FamilyState, request: StartRestore): Promise<Restore> {
  const { node } = state;
  const known = request.token === undefined ? undefined : restoreOfToken(node, request.token);
  if (known !== undefined) {
    // Decided, and perhaps not shown: the answer says that it is.
    await putRight(ctx, state);
    return known;
  }
  const { restore, wish: present } = node.record;
  if (present !== undefined && !request.replace) return sameWish(request, present);
  refuseSafety(state, request);
  const plan = rollback(state.family, node, request);
  const { entity: target, deleted } = plan.target.record;
  if (target.kind !== 'snapshot') return fail('invalid', `Cannot restore to '${target.id}': it is a volume`);
  if (deleted && request.mode !== 'snapshot') {
    fail('not-found', `Cannot restore volume '${request.volume}': there is no snapshot '${request.snapshot}'`);
  }
  const wish: RestoreWish = {
    token: request.token ?? ctx.drawId(),
    mode: request.mode,
    snapshot: target.id,
    keepSnapshot: request.keepSnapshot,
    safetySnapshotName: request.safetySnapshotName,
    askedMs: ctx.clock.nowMs(),
  };
  const levels = plan.path.length + (wish.safetySnapshotName === undefined ? 0 : 1);
  if (request.mode === 'onactivate') return noteWish(ctx, state, wish, levels);
  await checkUnused(ctx, plan, wish);
  if (restore !== undefined || inTheWay(plan, state.family) !== undefined) return noteWish(ctx, state, wish, levels);
  return beginRestore(ctx, state, wish);
}

/** Before anything is noted: what waits is to begin without anybody. */
function refuseSafety(state: FamilyState, { volume, mode, safetySnapshotName: name }: StartRestore): void {
  if (name === undefined) return;
  if (mode === 'snapshot') {
    fail(
      'invalid',
      `Cannot promote volume '${volume}' with safety snapshot '${name}': its contents stay as they are, and its origin ` +
        `is given up`,
    );
  }
  refuseTakenName(state, name, volume);
}

/** What a request of this token has come to, if there was one: asked again, it is not done again. */
function restoreOfToken({ record }: Node, token: string): Restore | undefined {
  const { entity, wish, restore, restored } = record;
  if (entity.kind !== 'volume') return undefined;
  if (wish?.token === token) return presentWish(entity.id, wish, '');
  if (restore?.token === token) return presentRunning(entity.id, restore);
  return restored?.token === token ? presentEnded(entity.id, restored) : undefined;
}

function sameWish(request: StartRestore, wish: RestoreWish): Restore {
  const isSame =
    wish.mode === request.mode &&
    wish.snapshot === (request.snapshot ?? wish.snapshot) &&
    wish.keepSnapshot === request.keepSnapshot &&
    wish.safetySnapshotName === request.safetySnapshotName &&
    request.token === undefined;
  if (isSame) return presentWish(request.volume, wish, '');
  return fail(
    'precondition',
    `Cannot restore volume '${request.volume}': restore '${restoreId(wish.token)}' to '${wish.snapshot}' waits already; ` +
      `cancel it, or ask for this one in its place`,
  );
}

/** `levels`: how many stores will be merged, each a device on top of the other. What may lie on them is seen when it begins. */
async function noteWish(ctx: Context, state: FamilyState, wish: RestoreWish, levels: number): Promise<Restore> {
  if (levels + LEAST_OVER_LEVELS > MOST_NESTED_NEW) {
    const { doing, helps } = restoreTooDeep(wish, state.node.id);
    const depth = levels + LEAST_OVER_LEVELS;
    fail('precondition', `${doing}: it ${tooMany(depth, MOST_NESTED_NEW)}; ${helps}`);
  }
  const { record } = state.node;
  await commitRecord(ctx, record, { ...record, wish });
  ctx.goOn(state.family.id);
  const { entity } = record;
  if (entity.kind !== 'volume') return fail('invalid', `Cannot restore '${entity.id}': it is a snapshot`);
  return presentWish(entity.id, wish, '');
}

/** The kernel's open count, not the mount table: a process or another namespace may hold the device. */
async function checkUnused(ctx: Context, { volume, base, target }: Rollback, { mode }: RestoreWish): Promise<void> {
  const doing = mode === 'snapshot' ? `Cannot promote volume '${volume.id}'` : `Cannot restore volume '${volume.id}'`;
  const { entity } = base.record;
  if (entity.kind === 'volume') {
    const openers = await openedBy(ctx, entity.id);
    const isIt = base.id === volume.id ? 'it' : `its origin '${base.id}'`;
    if (ctx.staging.has(entity.id)) fail('precondition', `${doing}: ${isIt} is being staged; try again in a moment`);
    if (openers !== undefined) fail('precondition', `${doing}: ${isIt} is in use: ${openers}`);
    if (base.id !== volume.id && ctx.active.has(entity.id)) {
      fail('precondition', `${doing}: its origin '${base.id}' is staged on this node; unstage it first`);
    }
  }
  const { devices } = await ctx.kernel.observe('without-statuses');
  const view = devices.get(deviceKey(target.id, 'view'));
  const byTables = [...devices.values()]
    .flatMap(({ live, inactive }) => [live ?? [], inactive ?? []])
    .filter((table) => devicesBelow(table).includes(deviceKey(target.id, 'view'))).length;
  if (view !== undefined && view.openCount > byTables) {
    fail('precondition', `${doing}: somebody holds the device of snapshot '${target.id}' open`);
  }
}

/**
 * Under the family's lock, before the volume gets a device: begins what was to begin now. A volume that waits to be
 * restored shows contents that are to go, so nobody gets it before.
 */
export async function restoreOnActivate(ctx: Context, state: FamilyState): Promise<FamilyState> {
  const { node, family } = state;
  const { wish } = node.record;
  if (wish === undefined || wish.mode === 'snapshot') return state;
  const plan = rollback(family, node, { volume: volumeOf(node), ...wish });
  const reason = inTheWay(plan, family);
  if (reason !== undefined) {
    fail(
      'precondition',
      `Cannot stage volume '${node.id}': its restore '${restoreId(wish.token)}' to '${wish.snapshot}' has to begin first, ` +
        `and ${reason}; try again when that is done, or cancel the restore`,
    );
  }
  await beginRestore(ctx, state, wish);
  const after = await readFamily(ctx, family.id);
  const again = after.family.nodes.get(node.id);
  return again === undefined ? fail('not-found', `Cannot find volume '${node.id}'`) : { ...after, node: again };
}

function volumeOf({ id, record: { entity } }: Node): VolumeId {
  return entity.kind === 'volume' ? entity.id : fail('internal', `Cannot restore '${id}': it is a snapshot`);
}

/**
 * Under the family's lock: begins one restore that waited for others to end. True when one was begun. What still stands
 * in the way is noted, for those who ask.
 */
export async function beginWaiting(ctx: Context, state: Omit<FamilyState, 'node'>): Promise<boolean> {
  for (const node of state.family.nodes.values()) {
    const { wish, deleted } = node.record;
    if (wish === undefined || deleted || wish.mode === 'onactivate') continue;
    const reason = await tryToBegin(ctx, { ...state, node }, wish);
    if (reason === undefined) return true;
    ctx.whyWaiting.set(wish.token, reason);
    ctx.waiting.add(state.family.id);
  }
  return false;
}

/** What somebody can clear away, or what ends by itself; the rest stops the family. */
const HINDRANCES: ReadonlySet<ErrorKind> = new Set(['precondition', 'exhausted', 'invalid', 'exists', 'busy']);

async function tryToBegin(ctx: Context, state: FamilyState, wish: RestoreWish): Promise<string | undefined> {
  const id: EntityId = state.node.id;
  try {
    const plan = rollback(state.family, state.node, { volume: volumeOf(state.node), ...wish });
    const reason = inTheWay(plan, state.family);
    if (reason !== undefined) return reason;
    await checkUnused(ctx, plan, wish);
    await beginRestore(ctx, state, wish);
    return undefined;
  } catch (error) {
    if (!(error instanceof SnapmergeError)) throw error;
    if (!HINDRANCES.has(error.kind)) throw error;
    ctx.log.warn({ volume: id, reason: error.message }, 'a restore waits, or cannot be shown yet');
    // What was committed on the way is to be known before anything else is done in the family.
    return (await hasChanged(ctx, state, wish)) ? undefined : error.message;
  }
}

/** It has been decided, or a snapshot has been taken for it. */
async function hasChanged(ctx: Context, { family, node }: FamilyState, { token }: RestoreWish): Promise<boolean> {
  const now = (await readFamily(ctx, family.id)).family;
  return now.nodes.get(node.id)?.record.restore?.token === token || now.nodes.size !== family.nodes.size;
}

/** Takes back what has not begun; false when it has. */
export async function cancelWish(ctx: Context, volume: VolumeId, id: string): Promise<boolean> {
  return withFamilyOf(ctx, volume, async ({ family, node }) => {
    const { wish } = node.record;
    if (wish === undefined || restoreId(wish.token) !== id) return false;
    await commitRecord(ctx, node.record, { ...node.record, wish: undefined });
    ctx.whyWaiting.delete(wish.token);
    ctx.goOn(family.id);
    return true;
  });
}
