// Whether anybody uses a volume: mounts and processes hold its device open, and staging has given it one.

import { fail } from '../errors.ts';
import type { VolumeId } from '../ids.ts';
import { deviceKey } from '../ids.ts';
import type { Context } from './context.ts';

/** Open count of the top device: mounts and processes. */
export async function openersOf(ctx: Context, id: VolumeId): Promise<number> {
  return (await ctx.kernel.observe('without-statuses')).devices.get(deviceKey(id, 'top'))?.openCount ?? 0;
}

export function refuseInUse(ctx: Context, id: VolumeId, doing: string): void {
  if (ctx.active.has(id)) fail('precondition', `Cannot ${doing} volume '${id}': it is staged on this node`);
  if (ctx.settingUp.has(id)) fail('precondition', `Cannot ${doing} volume '${id}': a restore of it is being set up`);
}
