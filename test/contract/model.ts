// What every volume and snapshot must show: the whole truth of a scenario, kept as plain arrays. It knows nothing of
// stores, chains or merges.

import type { Restore, RestoreMode } from '../../src/engine/engine.ts';
import type { EntityId, SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';

/** A restore that was asked for and has not begun. */
export interface ModelWish {
  /** The restore's id. */
  readonly id: string;
  readonly mode: RestoreMode;
  readonly snapshot: SnapshotId;
  /** What the snapshot showed: it may be deleted before the restore begins. */
  readonly blocks: readonly number[];
  /** Whose snapshot it was: what a promotion gives up. */
  readonly origin: VolumeId;
  readonly keepSnapshot: boolean;
}

export interface ModelVolume {
  readonly id: VolumeId;
  /** What a fork was made from. */
  source: SnapshotId | undefined;
  wish: ModelWish | undefined;
  blocks: number[];
  active: boolean;
  /** What it is again after it was taken away: scratch forks only. */
  readonly fresh: readonly number[] | undefined;
  /** From this block on the contents are one of its own past states, which one is not promised; undefined: all is exact. */
  unsureFrom: number | undefined;
  /** Every tag that it ever showed. */
  readonly past: Set<number>;
}

export interface ModelSnapshot {
  readonly id: SnapshotId;
  readonly volume: VolumeId;
  readonly blocks: readonly number[];
}

export interface Model {
  readonly volumes: Map<VolumeId, ModelVolume>;
  readonly snapshots: Map<SnapshotId, ModelSnapshot>;
}

export function createModel(): Model {
  return { volumes: new Map(), snapshots: new Map() };
}

export function modelVolume(
  id: VolumeId,
  blocks: number[],
  { fresh, source }: { readonly fresh?: readonly number[] | undefined; readonly source?: SnapshotId } = {},
): ModelVolume {
  const past = new Set([0, ...blocks]);
  return { id, source, wish: undefined, blocks, active: false, fresh, unsureFrom: undefined, past };
}

/** What a restore makes of the model in the moment it begins. */
export function beginRestore(model: Model, volume: ModelVolume, wish: ModelWish, restore: Restore): void {
  const { safetySnapshot: id } = restore;
  if (id !== undefined) model.snapshots.set(id, { id, volume: volume.id, blocks: [...volume.blocks] });
  volume.wish = undefined;
  const target = model.snapshots.get(wish.snapshot);
  if (wish.mode === 'snapshot') {
    volume.source = undefined;
    model.volumes.delete(target?.volume ?? wish.origin);
    if (target !== undefined) model.snapshots.set(target.id, { ...target, volume: volume.id });
  } else {
    wish.blocks.forEach((tag, index) => {
      volume.blocks[index] = tag;
    });
    if (wish.blocks.length < volume.blocks.length) volume.unsureFrom = wish.blocks.length;
  }
  if (!wish.keepSnapshot) model.snapshots.delete(wish.snapshot);
}

/** Whether a volume has contents that must be looked at before anything is copied from it. */
export function isUnsure({ volumes }: Model): boolean {
  return [...volumes.values()].some(({ unsureFrom }) => unsureFrom !== undefined);
}

/** A volume's contents after its device went away and came back. */
export function refresh(volume: ModelVolume): void {
  if (volume.fresh === undefined) return;
  volume.blocks = volume.blocks.map((_, index) => volume.fresh?.[index] ?? 0);
}

/** Learns the part that was not promised, once, from what is shown; complains of what was never the volume's. */
export function learnTail(volume: ModelVolume, shown: readonly number[]): string | undefined {
  const { unsureFrom } = volume;
  if (unsureFrom === undefined) return undefined;
  volume.unsureFrom = undefined;
  for (let block = unsureFrom; block < volume.blocks.length; block += 1) {
    const tag = shown[block] ?? -1;
    if (!volume.past.has(tag)) return `${volume.id}: block ${block} shows ${tag}, which was never there`;
    volume.blocks[block] = tag;
  }
  return undefined;
}

export function wanted(model: Model): ReadonlyMap<EntityId, readonly number[]> {
  const all = new Map<EntityId, readonly number[]>();
  for (const { id, blocks } of model.volumes.values()) all.set(id, blocks);
  for (const { id, blocks } of model.snapshots.values()) all.set(id, blocks);
  return all;
}

/** Positions where two images differ, as one line for a person; undefined when they do not. */
export function difference(name: string, got: readonly number[], want: readonly number[]): string | undefined {
  const wrong = want.flatMap((tag, index) => (got[index] === tag ? [] : [index]));
  if (wrong.length === 0 && got.length >= want.length) return undefined;
  const [first = 0] = wrong;
  return `${name}: ${wrong.length} of ${want.length} blocks differ, the first is ${first}: got ${got[first]}, want ${want[first]}`;
}
