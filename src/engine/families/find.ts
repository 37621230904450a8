// Volumes and snapshots by id and by name, among what their users have not deleted.

import type { Family, Node } from '../../records/family.ts';
import type { VolumeId } from '../../vocabulary/ids.ts';
import type { Entity } from '../../records/record.ts';
import { nameOf, sameName } from '../../records/tags.ts';
import type { PoolState } from '../state/context.ts';
import { livingNode, livingNodes, refuseTroubledName } from '../state/context.ts';

export type VolumeEntity = Extract<Entity, { kind: 'volume' }>;

export type SnapshotEntity = Extract<Entity, { kind: 'snapshot' }>;

/** Throws `contradiction` where a family that cannot be trusted has the name. */
export function entityByName<K extends Entity['kind']>(
  state: PoolState,
  kind: K,
  name: string,
): Extract<Entity, { kind: K }> | undefined {
  const wanted = nameOf(name);
  const isOfKind = (entity: Entity): entity is Extract<Entity, { kind: K }> => entity.kind === kind;
  for (const { record } of livingNodes(state.forest)) {
    if (isOfKind(record.entity) && sameName(record.entity.name, wanted)) return record.entity;
  }
  refuseTroubledName(state.forest, kind, wanted);
  return undefined;
}

export interface FoundVolume {
  readonly family: Family;
  readonly node: Node;
  readonly entity: VolumeEntity;
}

export function volumeEntity(state: PoolState, id: VolumeId): FoundVolume | undefined {
  const found = livingNode(state.forest, id);
  if (found === undefined) return undefined;
  const { entity } = found.node.record;
  return entity.kind === 'volume' ? { ...found, entity } : undefined;
}
