// One look at a pool for those who show it: LVM and the kernel read anew, with what the driver knows beside. Changes
// nothing and waits for no lock, so that it also answers while something is stuck.

import type { Look } from '../../inspect/pool.ts';
import type { Context } from '../state/context.ts';
import { noteSizes } from '../state/context.ts';
import { reserved } from '../families/room.ts';

export async function inspect(ctx: Context): Promise<Look> {
  const [report, observed] = await Promise.all([ctx.lvm.report(), ctx.kernel.observe()]);
  noteSizes(ctx, report);
  return {
    report,
    observed,
    known: {
      active: new Set(ctx.active),
      pinned: new Set(ctx.pinned),
      stuck: new Map(ctx.stuck),
      waiting: new Set(ctx.waiting),
      whyWaiting: new Map(ctx.whyWaiting),
      full: new Map([...ctx.full].map(([store, { volume, missing }]) => [store, { writer: volume, missing }])),
      busy: (family) => ctx.locks.isHeld(`family:${family}`),
      underWay: new Set(ctx.underWay),
      measured: new Map([...ctx.measured].map(([store, { used }]) => [store, used])),
      reserve: reserved(ctx, report),
    },
  };
}
