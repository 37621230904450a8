// Refusing what would lie deeper than a kernel bears, before anything of it is committed: the family as it would be, shown as
// it would be shown. Converge has the last word (dm/converge.ts); here it is said in words that help, and in time.

import { ofFamily } from '../../converge/converge.ts';
import { MOST_NESTED, deepest, depthsOf } from '../../converge/depth.ts';
import type { Nested } from '../../converge/depth.ts';
import { desired } from '../../converge/desired.ts';
import type { Family } from '../../records/family.ts';
import { buildFamily } from '../../records/build-forest.ts';
import { fail } from '../../vocabulary/errors.ts';
import type { DeviceKey, EntityId, VolumeId } from '../../vocabulary/ids.ts';
import { deviceKey, entityOf } from '../../vocabulary/ids.ts';
import type { RestoreWish, StoreRecord } from '../../records/record.ts';
import { bytes } from '../../vocabulary/units.ts';
import type { Context } from '../state/context.ts';
import { inUseOf } from './in-use.ts';

/** What helps where something that is there would lie too deep. */
export const LESS_BELOW =
  'delete snapshots that it reads through and nothing else needs: they are merged then, and each is a device less';

/** A view and the top over the levels of a restore, and below them the store that may grow. */
export const LEAST_OVER_LEVELS = 4;

export function tooMany(depth: number, most: number): string {
  return `would be shown by ${depth} devices on top of each other, and more than ${most} could bring the kernel down`;
}

/** The words for a restore or a promotion. */
export function restoreTooDeep({ mode, snapshot }: Pick<RestoreWish, 'mode' | 'snapshot'>, volume: EntityId): Words {
  return mode === 'snapshot'
    ? { doing: `Cannot promote volume '${volume}'`, helps: LESS_BELOW }
    : {
        doing: `Cannot restore volume '${volume}' to snapshot '${snapshot}'`,
        helps:
          'restore to a newer snapshot first, or delete some in between that nothing else needs: they are merged then',
      };
}

/** The family once these records are committed, each in the place of what its store says now. */
export function withRecords(family: Family, ...changed: readonly StoreRecord[]): Family {
  const records = new Map(family.records);
  // What is not made yet counts as a store that may grow, which lies a tail deeper than one that is as long as it can be.
  const sizes = new Map(family.sizes);
  for (const record of changed) {
    records.set(record.store, record);
    if (!sizes.has(record.store)) sizes.set(record.store, bytes(0));
  }
  return buildFamily(family.id, [...records.values()], sizes);
}

interface Words {
  /** `Cannot stage volume 'v-...'` */
  readonly doing: string;
  /** What who asked for it can do. */
  readonly helps: string;
}

export interface Shown {
  /** So deep `volumes` and `images` may lie; nothing else deeper than is safe. */
  readonly most: number;
  /** Merges as snapshots, which they are for a moment when one has failed: over a store that may grow, and so deeper. */
  readonly holdsMerges?: boolean;
  /** To be in use, besides those that are. */
  readonly volumes?: readonly VolumeId[];
  /** To be shown, besides those that are. */
  readonly images?: readonly EntityId[];
}

/** The deepest device that would be shown, deeper than it lies now and than it may; undefined when all is well. */
export async function tooDeep(
  ctx: Context,
  later: Family,
  { most, volumes = [], images = [], holdsMerges = false }: Shown,
): Promise<Nested | undefined> {
  const { volumes: used, pinned } = inUseOf(ctx, later, images);
  const wanted = desired(later, { volumes: new Set([...used, ...volumes]), pinned, holdsMerges });
  const asked = new Set<EntityId | undefined>([...volumes, ...images]);
  const mostOf = (key: DeviceKey): number => (asked.has(entityOf(key)) ? most : MOST_NESTED);
  if (deepest(wanted, undefined, mostOf) === undefined) return undefined;
  return deepest(wanted, ofFamily(await ctx.kernel.observe('without-statuses'), later), mostOf);
}

/** `precondition`, with what would lie too deep, and what helps. */
export async function refuseTooDeep(ctx: Context, later: Family, shown: Shown, { doing, helps }: Words): Promise<void> {
  const found = await tooDeep(ctx, later, shown);
  if (found === undefined) return;
  const { key, depth, most } = found;
  const id = entityOf(key);
  const entity = id === undefined ? undefined : later.nodes.get(id)?.record.entity;
  const name = entity?.name.as === 'text' ? `${entity.kind} '${entity.name.text}'` : `'${id ?? key}'`;
  fail('precondition', `${doing}: ${name} ${tooMany(depth, most)}; ${helps}`);
}

/** Of a volume that is not staged 0. */
export function stagedDepth(ctx: Context, family: Family, id: VolumeId): number {
  if (!ctx.active.has(id)) return 0;
  const shown = desired(family, { volumes: new Set([id]), pinned: new Set() });
  return depthsOf(shown.devices).get(deviceKey(id, 'top')) ?? 0;
}
