// Tails are changed by one at a time: a converge, or an extension.

import type { VolumeId } from '../../vocabulary/ids.ts';
import type { Context } from '../state/context.ts';

/** Tails are changed by one at a time: a converge, or an extension. */
export async function aloneWithTails<T>(ctx: Context, family: VolumeId, work: () => Promise<T>): Promise<T> {
  return ctx.locks.run(`tails:${family}`, work);
}

/** A converge holds the tails for a moment only, unless it hangs in the kernel for want of what the extension brings. */
const PATIENCE_MS = 5000;

/** Like the others, but not for ever. */
export async function aloneOrAnyway(ctx: Context, family: VolumeId, work: () => Promise<void>): Promise<void> {
  const ending = new AbortController();
  let begun: Promise<void> | undefined;
  const once = (): Promise<void> => {
    ending.abort();
    begun ??= work();
    return begun;
  };
  await Promise.race([aloneWithTails(ctx, family, once), ctx.clock.sleep(PATIENCE_MS, ending.signal)]);
  await once();
}
