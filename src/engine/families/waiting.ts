// Writers that wait for room, and what must not be begun meanwhile: a freeze would wait with them.

import { fail } from '../../vocabulary/errors.ts';
import type { StoreName, VolumeId } from '../../vocabulary/ids.ts';
import { formatBytes } from '../../vocabulary/units.ts';
import type { Context, FullStore } from '../state/context.ts';

/** A store of the family for which writers wait; what is given up is not waited for. */
export function fullIn(
  ctx: Context,
  family: VolumeId,
  givenUp: ReadonlySet<StoreName> = new Set(),
): readonly [StoreName, FullStore] | undefined {
  return [...ctx.full].find(([store, { family: of }]) => of === family && !givenUp.has(store));
}

/** A freeze would wait for what the writers wait for, and nobody could stop it. */
export function refuseFull(ctx: Context, family: VolumeId, givenUp?: ReadonlySet<StoreName>): void {
  const stuck = fullIn(ctx, family, givenUp);
  if (stuck === undefined) return;
  const [store, { volume, missing }] = stuck;
  fail(
    'precondition',
    `Cannot freeze volume '${volume}' now: its writers wait for room in store '${store}'; pool '${ctx.pool}' needs ` +
      `${formatBytes(missing)} more free space (delete snapshots, or extend the volume group)`,
  );
}
