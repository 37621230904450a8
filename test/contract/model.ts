// What every volume and snapshot must show: the whole truth of a scenario, kept as plain arrays. It knows nothing of
// stores, chains or merges.

import type { EntityId, SnapshotId, VolumeId } from '../../src/ids.ts';

export interface ModelVolume {
  readonly id: VolumeId;
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

export function modelVolume(id: VolumeId, blocks: number[], fresh?: readonly number[]): ModelVolume {
  return { id, blocks, active: false, fresh, unsureFrom: undefined, past: new Set([0, ...blocks]) };
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
