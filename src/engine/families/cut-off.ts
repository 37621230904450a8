// Stores that somebody has made smaller than what they use.

import { waitsWhenFull } from '../../records/family.ts';
import type { Family, Node } from '../../records/family.ts';
import { desired, isFilled } from '../../converge/desired.ts';
import type { SnapshotStatus } from '../../dm/status.ts';
import { fail } from '../../vocabulary/errors.ts';
import type { DeviceKey, StoreName, VolumeId } from '../../vocabulary/ids.ts';
import { entityOf } from '../../vocabulary/ids.ts';
import { inUseOf } from './in-use.ts';
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

/** The same of a node that is shown, by its status; what a writer waits for at the end of its store is not cut off. */
export function cutOffShown(
  ctx: Context,
  family: Family,
  node: Node,
  status: SnapshotStatus | undefined,
): string | undefined {
  if (status?.state !== 'counts') return undefined;
  if (waitsWhenFull(family, node) && isFilled(family, node, inUseOf(ctx, family))) return undefined;
  return cutOff(ctx, node.record.store, toBytes(status.used));
}

export interface ShownThrough {
  readonly key: DeviceKey;
  readonly node: Node;
}

/** What a volume is shown through that could have been cut; a data store that is too short is refused by the kernel. */
export function shownThrough(family: Family, volume: VolumeId): readonly ShownThrough[] {
  const { devices } = desired(family, { volumes: new Set(), pinned: new Set(), prepared: new Set([volume]) });
  return devices.flatMap(({ key, table }) => {
    const id = entityOf(key);
    const node = id === undefined ? undefined : family.nodes.get(id);
    return node === undefined || table[0]?.type !== 'snapshot' ? [] : [{ key, node }];
  });
}

/**
 * Before a volume has its top: `precondition` where something has been cut off, `unavailable` where the kernel does not say how
 * much is used.
 */
export async function refuseCutOff(
  ctx: Context,
  family: Family,
  volume: VolumeId,
  through: readonly ShownThrough[],
): Promise<void> {
  const statuses = await ctx.kernel.statuses();
  for (const { key, node } of through) {
    const status = statuses.get(key);
    if (status === undefined) fail('unavailable', `Cannot stage volume '${volume}': '${key}' has no status yet`);
    const cut = cutOffShown(ctx, family, node, status);
    if (cut === undefined) continue;
    const { kind } = node.record.entity;
    fail('precondition', `Cannot stage volume '${volume}': ${kind} '${node.id}' is not whole: ${cut}`);
  }
}
