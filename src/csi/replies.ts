// Volumes and snapshots as CSI shows them. Pure.

import type { Snapshot as SnapshotReply } from '#proto/csi/v1/Snapshot.ts';
import type { Volume as VolumeReply } from '#proto/csi/v1/Volume.ts';
import type { VolumeContentSource } from '#proto/csi/v1/VolumeContentSource.ts';
import type { VolumeHealth } from '#proto/csi/v1/VolumeHealth.ts';
import { FS_TYPE_CONTEXT } from './fstype.ts';
import type { FsType } from './fstype.ts';
import { topologyOf } from './topology.ts';
import { timestamp } from '../transport/timestamp.ts';
import type { Engine, Snapshot, Volume } from '../engine/engine.ts';
import { handleText } from '../vocabulary/ids.ts';
import type { SnapshotId, VolumeId } from '../vocabulary/ids.ts';
import type { VolumeSource } from '../vocabulary/parameters.ts';
import { unreachable } from '../vocabulary/errors.ts';

/** One thing that is wrong with a volume. */
export type HealthEntry = NonNullable<VolumeHealth['health_statuses']>[number];

type At = Pick<Engine, 'pool' | 'vg'>;

export function handleOf({ pool, vg }: At, id: VolumeId | SnapshotId): string {
  return handleText(pool, vg, id);
}

/** `context`: what the volume carries to the node beside its file system. */
export function volumeReply(
  at: At,
  volume: Volume,
  nodeName: string,
  fsType?: FsType,
  context: Readonly<Record<string, string>> = {},
): VolumeReply {
  return {
    volume_id: handleOf(at, volume.id),
    capacity_bytes: volume.size.toString(),
    volume_context: { ...context, ...(fsType === undefined ? {} : { [FS_TYPE_CONTEXT]: fsType }) },
    content_source: volume.source === undefined ? null : sourceReply(at, volume.source),
    accessible_topology: [topologyOf(nodeName)],
  };
}

function sourceReply(at: At, source: VolumeSource): VolumeContentSource {
  switch (source.from) {
    case 'snapshot':
      return { snapshot: { snapshot_id: handleOf(at, source.snapshot) } };
    case 'volume':
      return { volume: { volume_id: handleOf(at, source.volume) } };
    default:
      return unreachable(source);
  }
}

export function snapshotReply(at: At, snapshot: Snapshot): SnapshotReply {
  return {
    snapshot_id: handleOf(at, snapshot.id),
    source_volume_id: handleOf(at, snapshot.volume),
    size_bytes: snapshot.size.toString(),
    creation_time: timestamp(snapshot.createdMs),
    ready_to_use: !snapshot.lost && !snapshot.pending,
  };
}

const ILL = {
  degraded: { status: 'DEGRADED', reason: 'Degraded' },
  inaccessible: { status: 'INACCESSIBLE', reason: 'DiskMissing' },
  lost: { status: 'DATA_LOSS', reason: 'ContentsLost' },
} as const;

/** What is wrong with a volume, in the words of the volume health calls; an empty list when nothing is known. */
export function healthReply(at: At, volume: Volume, more: readonly HealthEntry[] = []): VolumeHealth {
  const { health } = volume;
  const ill = health.state === 'healthy' ? [] : [{ ...ILL[health.state], message: health.reason }];
  return { volume_id: handleOf(at, volume.id), health_statuses: [...ill, ...more] };
}
