// Stores that somebody has made smaller than what they use.

import { waitsWhenFull } from '../../records/family.ts';
import type { Family, Node } from '../../records/family.ts';
import type { SnapshotStatus } from '../../dm/status.ts';
import type { StoreName } from '../../vocabulary/ids.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { formatBytes, toBytes } from '../../vocabulary/units.ts';
import type { Context } from '../state/context.ts';

/**
 * What is wrong with a store that ends before what it uses, and into which nothing is written that could wait at its end: a
 * larger one would show other bytes in the place of what was cut off, and a merge would move them.
 */
export function cutOff(ctx: Context, store: StoreName, used: Bytes): string | undefined {
  const size = ctx.sizes.get(store);
  if (size === undefined || used <= size) return undefined;
  return (
    `store '${store}' has ${formatBytes(size)} and uses ${formatBytes(used)}: it has been cut, or the metadata of pool ` +
    `'${ctx.pool}' is that of an earlier time`
  );
}

/** The same of a node that is shown, by its status; what a writer may wait for at the end of its store is not cut off. */
export function cutOffShown(
  ctx: Context,
  family: Family,
  node: Node,
  status: SnapshotStatus | undefined,
): string | undefined {
  if (status?.state !== 'counts' || waitsWhenFull(family, node)) return undefined;
  return cutOff(ctx, node.record.store, toBytes(status.used));
}
