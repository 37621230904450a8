// Whether anybody uses a volume: mounts and processes hold its device open, and staging has given it one.

import { stagedIn } from '../../converge/refusals.ts';
import { fail } from '../../vocabulary/errors.ts';
import { heldBy } from '../../system/holders.ts';
import type { VolumeId } from '../../vocabulary/ids.ts';
import { deviceKey } from '../../vocabulary/ids.ts';
import type { Context } from '../state/context.ts';

/** A probe that opens every device lets go by itself: a look is not a use. */
const LOOKS = 4;
const LOOK_AGAIN_MS = 200;

/** In words, who has the top device open: a mount or a process, and for longer than a look takes; undefined for nobody. */
export async function openedBy(ctx: Context, id: VolumeId): Promise<string | undefined> {
  for (let look = 1; ; look += 1) {
    const top = (await ctx.kernel.observe('without-statuses')).devices.get(deviceKey(id, 'top'));
    if (top === undefined || top.openCount === 0) return undefined;
    if (look >= LOOKS) return heldBy(await ctx.host.holders(top.majorMinor), top.majorMinor);
    await ctx.clock.sleep(LOOK_AGAIN_MS, new AbortController().signal);
  }
}

/** Also where this process knows nothing of it, because somebody else has made the device: who looks takes it over. */
export async function isStaged(ctx: Context, id: VolumeId): Promise<boolean> {
  if (ctx.active.has(id)) return true;
  if (!stagedIn(await ctx.kernel.observe('without-statuses')).includes(id)) return false;
  // One whose unstaging has failed is staged until its device has gone.
  if (!ctx.lettingGo.has(id)) takeForStaged(ctx, id);
  return true;
}

export function takeForStaged(ctx: Context, id: VolumeId): void {
  ctx.active.add(id);
  ctx.log.warn({ volume: id }, 'a device that this process has not made: its volume is taken for staged');
}

export async function refuseInUse(ctx: Context, id: VolumeId, doing: string): Promise<void> {
  if (await isStaged(ctx, id)) fail('precondition', `Cannot ${doing} volume '${id}': it is staged on this node`);
  if (ctx.settingUp.has(id)) fail('precondition', `Cannot ${doing} volume '${id}': a restore of it is being set up`);
}
