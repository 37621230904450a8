// Staging and unstaging as the engine sees them: a volume's top device appears with all it reads through, and goes with
// whatever nothing else needs.

import { deviceNode } from '../dm/observed.ts';
import { MOST_NESTED } from '../converge/depth.ts';
import type { Family } from '../records/family.ts';
import { fail, isOfRecords, messageOf } from '../vocabulary/errors.ts';
import type { VolumeId } from '../vocabulary/ids.ts';
import { deviceKey } from '../vocabulary/ids.ts';
import { bytes } from '../vocabulary/units.ts';
import type { Bytes } from '../vocabulary/units.ts';
import type { Context } from './state/context.ts';
import { LESS_BELOW, refuseTooDeep } from './families/depth.ts';
import { convergeFamily } from './families/converge-family.ts';
import { refuseCutOff, shownThrough } from './families/cut-off.ts';
import { readFamily, readPool, withFamily, withFamilyOf } from './state/context.ts';
import { isStaged, openedBy } from './families/open-count.ts';
import { restoreOnActivate } from './restore/start.ts';
import type { ActiveVolume } from './engine.ts';

/** `work` makes something of what the volume holds: no restore begins before that has ended. */
export async function stage<T>(ctx: Context, id: VolumeId, work: () => Promise<T>): Promise<T> {
  refuseSettingUp(ctx, id);
  ctx.staging.add(id);
  try {
    return await work();
  } finally {
    ctx.staging.delete(id);
  }
}

function refuseSettingUp(ctx: Context, id: VolumeId): void {
  if (!ctx.settingUp.has(id)) return;
  fail(
    'precondition',
    `Cannot stage or publish volume '${id}': a restore of it is being set up; try again in a moment`,
  );
}

export async function activate(ctx: Context, id: VolumeId): Promise<ActiveVolume> {
  refuseSettingUp(ctx, id);
  return withFamilyOf(ctx, id, async (state) => {
    const known = await isStaged(ctx, id);
    const { family, node } = known ? state : await restoreOnActivate(ctx, state);
    const shown = { most: MOST_NESTED, volumes: [id] };
    await refuseTooDeep(ctx, family, shown, { doing: `Cannot stage volume '${id}'`, helps: LESS_BELOW });
    if (!known) await prepare(ctx, family, id);
    ctx.lettingGo.delete(id);
    ctx.active.add(id);
    try {
      await convergeFamily(ctx, family);
      if (known) await ctx.keepAhead(family.id);
    } catch (error) {
      // Nobody has been given its device.
      if (!known) letGo(ctx, id);
      throw error;
    }
    const top = await shownAs(ctx, id, node.record.entity.size);
    return top ?? fail('internal', `Cannot find the device of volume '${id}' after making it`);
  });
}

/** All but the top, and nobody is given what is not whole. What is shown when this fails goes with the next converge. */
async function prepare(ctx: Context, family: Family, id: VolumeId): Promise<void> {
  const through = shownThrough(family, id);
  if (through.length === 0) return;
  await convergeFamily(ctx, family, { prepared: id });
  await refuseCutOff(ctx, family, id, through);
  // Before anybody writes: the store may have been made small while nothing fed it.
  await ctx.keepAhead(family.id);
}

export async function active(ctx: Context, id: VolumeId, size: Bytes): Promise<ActiveVolume | undefined> {
  return ctx.active.has(id) || ctx.lettingGo.has(id) ? shownAs(ctx, id, size) : undefined;
}

async function shownAs(ctx: Context, id: VolumeId, size: Bytes): Promise<ActiveVolume | undefined> {
  const top = (await ctx.kernel.observe('without-statuses')).devices.get(deviceKey(id, 'top'));
  if (top === undefined) return undefined;
  return { path: deviceNode(top.majorMinor), majorMinor: top.majorMinor, size: bytes(size) };
}

/** A volume that is not active, or not there, is no error; one whose device somebody holds open is `precondition`. */
export async function deactivate(ctx: Context, id: VolumeId): Promise<void> {
  try {
    const { forest } = await readPool(ctx);
    // Also of one that the records call deleted: nothing else takes its device away.
    const family = [...forest.families.values()].find(({ nodes }) => nodes.has(id));
    if (family !== undefined) return await deactivateIn(ctx, family.id, id);
  } catch (error) {
    // LVM does not answer, or the family is in trouble.
    if (!isOfRecords(error)) throw error;
    ctx.log.warn({ volume: id, error: messageOf(error) }, 'only the device of a volume can be taken away');
  }
  await removeTop(ctx, id);
}

async function deactivateIn(ctx: Context, of: VolumeId, id: VolumeId): Promise<void> {
  await withFamily(ctx, of, async () => {
    const { family } = await readFamily(ctx, of);
    if (!family.nodes.has(id) || !(await isStaged(ctx, id))) return;
    await refuseOpen(ctx, id);
    // With its device goes what the kernel knows of a store that was lost.
    await ctx.keepAhead(family.id);
    letGo(ctx, id);
    try {
      await convergeFamily(ctx, family);
    } catch (error) {
      if (await hasTop(ctx, id)) throw error;
      // What lies below it goes another time, which is nobody's failure.
      ctx.unsettled.add(family.id);
      ctx.goOn(family.id);
      ctx.log.warn({ volume: id, error: messageOf(error) }, 'a volume is put down, and not all below it');
    }
    if ([...family.nodes.values()].some(({ record }) => record.wish !== undefined)) ctx.goOn(family.id);
  });
}

async function hasTop(ctx: Context, id: VolumeId): Promise<boolean> {
  return (await ctx.kernel.observe('without-statuses')).devices.has(deviceKey(id, 'top'));
}

async function refuseOpen(ctx: Context, id: VolumeId): Promise<void> {
  const openers = await openedBy(ctx, id);
  if (openers !== undefined) fail('precondition', `Cannot take volume '${id}' away: its device is ${openers}`);
}

/**
 * Nothing but what was mounted: it lies on all else and holds nothing, so this touches no data, whatever is wrong with the
 * family. What lies below stays as it is until the family can be trusted again.
 */
async function removeTop(ctx: Context, id: VolumeId): Promise<void> {
  if (await hasTop(ctx, id)) {
    await refuseOpen(ctx, id);
    await ctx.kernel.apply([{ do: 'remove', device: deviceKey(id, 'top') }]);
  }
  ctx.active.delete(id);
  const family = ctx.lastRead.state?.forest.families.values().find(({ nodes }) => nodes.has(id));
  if (family !== undefined) ctx.goOn(family.id);
}

/** From here on its device may be taken away, by whoever converges the family: this one, or the next where it fails. */
function letGo(ctx: Context, id: VolumeId): void {
  ctx.active.delete(id);
  ctx.lettingGo.add(id);
}
