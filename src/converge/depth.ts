// How many devices lie on each other under an image, and how many may. The kernel ends an I/O through all of them in one
// nest of calls, and where its stack is over, the node is: docs/kernel-rules.md has what was measured. Pure.

import type { DeviceKey, EntityId } from '../vocabulary/ids.ts';
import { deviceKey, isTail, isVolumeId } from '../vocabulary/ids.ts';
import type { Desired } from './device.ts';
import { bottomUp, devicesBelow } from './device.ts';
import { desired } from './desired.ts';
import type { Family } from '../records/family.ts';
import type { Observed } from '../dm/kernel.ts';
import type { Table } from '../dm/table.ts';

/**
 * Deeper than this nothing is shown that is not there already. What lies below a store (crypt, raid, a loop, the disk's own
 * driver) takes stack too, and kernels differ in how much one level takes.
 */
export const MOST_NESTED = 48;

/**
 * Deeper than this nothing new is asked for: each snapshot that is taken puts one more level below all that reads through
 * the older ones, and what was made must bear some of them.
 */
export const MOST_NESTED_NEW = 32;

/** How many devices of ours lie on each other in each of these, itself counted and its store not. */
export function depthsOf(
  devices: readonly { readonly key: DeviceKey; readonly table: Table }[],
): ReadonlyMap<DeviceKey, number> {
  const depths = new Map<DeviceKey, number>();
  for (const { key, table } of bottomUp(devices)) {
    const below = devicesBelow(table).map((device) => depths.get(device) ?? 0);
    depths.set(key, 1 + Math.max(0, ...below));
  }
  return depths;
}

/** The same for what the kernel holds, with all tails of a store as one: that others lie below it now makes nothing less deep. */
export function liveDepths({ devices }: Observed): ReadonlyMap<DeviceKey, number> {
  return depthsOf([...devices.values()].map(({ key, live }) => ({ key, table: isTail(key) ? [] : (live ?? []) })));
}

/** How deep each image lies, or would lie if it were shown; a volume as what is mounted. */
export function imageDepths(family: Family): ReadonlyMap<EntityId, number> {
  const pinned = new Set(family.nodes.keys());
  const volumes = new Set([...pinned].filter(isVolumeId));
  const depths = depthsOf(desired(family, { volumes, pinned }).devices);
  const of = (id: EntityId): number => depths.get(deviceKey(id, 'top')) ?? depths.get(deviceKey(id, 'view')) ?? 0;
  return new Map([...pinned].map((id) => [id, of(id)]));
}

export interface Nested {
  readonly key: DeviceKey;
  readonly depth: number;
  /** So deep it may lie. */
  readonly most: number;
}

/** The deepest of what would lie deeper than it may, and deeper than it lies now. */
export function deepest(
  wanted: Desired,
  observed: Observed | undefined,
  mostOf: (key: DeviceKey) => number = () => MOST_NESTED,
): Nested | undefined {
  const found = [...depthsOf(wanted.devices)]
    .map(([key, depth]): Nested => ({ key, depth, most: mostOf(key) }))
    .filter(({ depth, most }) => depth > most)
    .sort((a, b) => b.depth - a.depth);
  if (found.length === 0 || observed === undefined) return found[0];
  const now = liveDepths(observed);
  return found.find(({ key, depth }) => depth > (now.get(key) ?? 0));
}
