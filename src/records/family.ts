// A family: the images that hang together, and what each of them reads through, feeds and merges into. As build-forest.ts makes
// it of records. Pure.

import type { EntityId, StoreName, VolumeId } from '../vocabulary/ids.ts';
import type { StoreRecord } from './record.ts';
import type { Bytes } from '../vocabulary/units.ts';

/** One image of a family: a volume, a snapshot, or the ghost of either. */
export interface Node {
  readonly id: EntityId;
  /** Its home store. */
  readonly record: StoreRecord;
  /** The node whose image this one reads through; undefined for a data store. */
  readonly parent: EntityId | undefined;
  /** When set, it hangs on that level of its parent's running restore, not on the parent's view. */
  readonly level: number | undefined;
  /** Nodes that read through this one. */
  readonly readers: readonly EntityId[];
}

export interface Family {
  readonly id: VolumeId;
  readonly nodes: ReadonlyMap<EntityId, Node>;
  /** Stores that show nothing any more and are to be removed: superseded homes, and ghosts that nothing reads. */
  readonly rubbish: readonly StoreName[];
  /** Prepared by an operation that has not been decided. Rubbish too, unless that operation still runs. */
  readonly undecided: readonly { readonly store: StoreName; readonly token: string }[];
  /** Stores to make unconditional: what they waited for has been decided. */
  readonly settled: readonly StoreRecord[];
  /** All records by store, whatever became of them. */
  readonly records: ReadonlyMap<StoreName, StoreRecord>;
  /** How large each store is. */
  readonly sizes: ReadonlyMap<StoreName, Bytes>;
}

export interface Trouble {
  /** Undefined when not even the family can be read. */
  readonly family: VolumeId | undefined;
  readonly stores: readonly StoreName[];
  /** The volumes and snapshots that its stores name, as far as the tags could be read. */
  readonly entities: ReadonlySet<string>;
  /** Their names, as `namedAs` writes them: nobody else may take one meanwhile. */
  readonly names: ReadonlySet<string>;
  readonly reason: string;
}

export interface Forest {
  readonly families: ReadonlyMap<VolumeId, Family>;
  readonly troubles: readonly Trouble[];
}

/** What an image reads through directly. */
export function parentOf({ nodes }: Pick<Family, 'nodes'>, { parent }: Node): Node | undefined {
  return parent === undefined ? undefined : nodes.get(parent);
}

/** All that an image reads through, the nearest first; records that hang in a circle have been refused. */
export function ancestorsOf(family: Pick<Family, 'nodes'>, node: Node): readonly Node[] {
  const above: Node[] = [];
  for (let at = parentOf(family, node); at !== undefined; at = parentOf(family, at)) above.push(at);
  return above;
}

/** The volume whose image this is, or was once: itself, or the nearest that it reads through. */
export function nearestVolume(family: Pick<Family, 'nodes'>, node: Node): Node | undefined {
  return [node, ...ancestorsOf(family, node)].find(({ record }) => record.entity.kind === 'volume');
}

/**
 * The lowest and highest number that any store has, or had, in the chain of `volume`, whatever became of it: what is swept
 * later still has its number. `undefined` for none.
 */
export function chainNumbers(
  family: Family,
  volume: VolumeId,
): { readonly low: number; readonly high: number } | undefined {
  const seqs = [...family.records.values()].flatMap(({ place }) =>
    place.kind === 'chain' && place.volume === volume ? [place.seq] : [],
  );
  return seqs.length === 0 ? undefined : { low: Math.min(...seqs), high: Math.max(...seqs) };
}

/** Members of the chain of `volume`, nearest to it first. */
export function chainOf(family: Family, volume: VolumeId): readonly Node[] {
  return [...family.nodes.values()]
    .flatMap((node) => {
      const { place } = node.record;
      return place.kind === 'chain' && place.volume === volume ? [{ node, seq: place.seq }] : [];
    })
    .sort((a, b) => b.seq - a.seq)
    .map(({ node }) => node);
}

/** The child that is being merged into this node, if any. */
export function absorbing(family: Family, node: Node): Node | undefined {
  return node.readers.map((id) => family.nodes.get(id)).find((reader) => reader?.record.merging === node.record.store);
}

/** What directly takes the old contents when this node's view is written: the nearest member of its chain. */
export function fedBy(family: Family, node: Node): Node | undefined {
  const volumes = anchoredVolumes(node);
  for (const volume of volumes) {
    const nearest = chainOf(family, volume).find((member) => member.parent === node.id && member.level === undefined);
    if (nearest !== undefined) return nearest;
  }
  return undefined;
}

function anchoredVolumes(node: Node): readonly VolumeId[] {
  const { entity, anchors } = node.record;
  return entity.kind === 'volume' ? [entity.id, ...anchors] : anchors;
}

/**
 * Whether more can come into a node's own store, so that a write without room has to wait: a fork's by its own writes, a
 * fed snapshot's, and one that another is merged into. `drop` is for what nothing else depends on.
 */
export function waitsWhenFull(family: Family, node: Node): boolean {
  const { place, entity } = node.record;
  if (place.kind === 'root') return false;
  const merges = absorbing(family, node) !== undefined;
  if (entity.kind === 'snapshot' && !merges && !isFed(family, node)) return false;
  // A fork is nothing that could be dropped for its own writes.
  if (entity.kind === 'volume') return true;
  return entity.parameters.onFull === 'wait' || merges || node.level !== undefined || node.readers.length > 0;
}

/** Whether what its parent shows is written, and the old contents come here. */
export function isFed(family: Family, node: Node): boolean {
  const parent = parentOf(family, node);
  return parent !== undefined && (node.level !== undefined || fedBy(family, parent)?.id === node.id);
}
