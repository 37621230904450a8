// Records -> what the use cases answer with. Pure.

import type { Family, Node } from '../../records/family.ts';
import { ancestorsOf } from '../../records/family.ts';
import type { VolumeId } from '../../vocabulary/ids.ts';
import type { PoolReport } from '../../lvm/lvm.ts';
import type { Entity, Name, RestoreMark, RestoreWish, RestoredMark } from '../../records/record.ts';
import { isLost } from '../../records/record.ts';
import { bytes } from '../../vocabulary/units.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import type { Health, Restore, Snapshot, Volume } from '../engine.ts';

type VolumeEntity = Extract<Entity, { kind: 'volume' }>;
type SnapshotEntity = Extract<Entity, { kind: 'snapshot' }>;

export function presentVolume(entity: VolumeEntity, active: boolean, health: Health): Volume {
  const { id, size, createdMs, parameters, source } = entity;
  return { id, name: textOf(entity.name), size, createdMs, parameters, source, active, health };
}

export function presentSnapshot(
  entity: SnapshotEntity,
  { lost, pending }: Pick<Snapshot, 'lost' | 'pending'>,
): Snapshot {
  const { id, volume, size, createdMs } = entity;
  return { id, name: textOf(entity.name), volume, size, createdMs, lost, pending };
}

function textOf(name: Name): string | undefined {
  return name.as === 'text' ? name.text : undefined;
}

export function restoreId(token: string): string {
  return `r-${token}`;
}

export function presentWish(volume: VolumeId, wish: RestoreWish, reason: string): Restore {
  const { token, mode, snapshot, keepSnapshot, askedMs } = wish;
  const until =
    mode === 'onactivate' ? 'It begins when the volume is next staged' : 'It begins when nothing is in the way';
  return {
    id: restoreId(token),
    volume,
    snapshot,
    mode,
    keepSnapshot,
    safetySnapshot: undefined,
    phase: 'waiting',
    totalBytes: bytes(0),
    remainingBytes: bytes(0),
    remainingChunks: undefined,
    bytesPerSecond: undefined,
    startedMs: askedMs,
    endedMs: undefined,
    message: reason === '' ? until : `${until}: ${reason}`,
  };
}

/** What stands in the way of a restore that runs; empty when nothing does. */
export interface Trouble {
  readonly reason: string;
  /** It will not go on, whatever becomes of its disks. */
  readonly isFinal: boolean;
}

export const NO_TROUBLE: Trouble = { reason: '', isFinal: false };

/** What the merges of a restore still have to do. */
export interface Progress {
  readonly bytes: Bytes;
  readonly chunks: number;
  readonly bytesPerSecond: number | undefined;
}

export function presentRunning(
  volume: VolumeId,
  mark: RestoreMark,
  progress?: Progress,
  { reason, isFinal }: Trouble = NO_TROUBLE,
): Restore {
  return {
    ...presentMark(volume, mark),
    phase: isFinal ? 'failed' : 'merging',
    remainingBytes: progress?.bytes ?? mark.totalBytes,
    remainingChunks: progress?.chunks,
    bytesPerSecond: progress?.bytesPerSecond,
    endedMs: undefined,
    message: reason,
  };
}

export function presentEnded(volume: VolumeId, mark: RestoredMark): Restore {
  return {
    ...presentMark(volume, mark),
    phase: 'done',
    remainingBytes: bytes(0),
    remainingChunks: 0,
    bytesPerSecond: undefined,
    endedMs: mark.endedMs,
    message: '',
  };
}

function presentMark(
  volume: VolumeId,
  { token, mode, snapshot, keepSnapshot, safetySnapshot, totalBytes, startedMs }: RestoreMark | RestoredMark,
): Pick<
  Restore,
  'id' | 'volume' | 'snapshot' | 'mode' | 'keepSnapshot' | 'safetySnapshot' | 'totalBytes' | 'startedMs'
> {
  return {
    id: restoreId(token),
    volume,
    snapshot,
    mode,
    keepSnapshot,
    safetySnapshot,
    totalBytes,
    startedMs,
  };
}

/** What is wrong with a volume: a disk under one of the stores it reads through, or a family that would not converge. */
export function healthOf(family: Family, node: Node, report: PoolReport, stuck: string | undefined): Health {
  const stores = new Map(report.stores.map((store) => [store.store, store]));
  for (const at of [node, ...ancestorsOf(family, node)]) {
    const { store } = at.record;
    if (isLost(at.record)) return { state: 'lost', reason: `The contents of store '${store}' of '${at.id}' are lost` };
    const found = stores.get(store);
    if (found?.damaged === true) {
      const reason = `A disk under store '${store}' of '${at.id}' is missing or has failed`;
      // The other half of a raid1 is read then.
      return { state: found.layout === 'raid1' ? 'degraded' : 'inaccessible', reason };
    }
  }
  return stuck === undefined ? { state: 'healthy' } : { state: 'degraded', reason: stuck };
}
