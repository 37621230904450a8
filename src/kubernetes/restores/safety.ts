// The safety snapshot as Kubernetes sees it. The engine takes it in the same step as it begins the restore, whatever the
// mode, so it shows exactly what the volume showed last; afterwards it is made an ordinary VolumeSnapshot, bound to a
// VolumeSnapshotContent of our own making. Pure: names and objects.

import { DRIVER_NAME } from '../../controller/identity.ts';
import { SNAPSHOT_GROUP } from '../api/cluster.ts';
import type { VolumeRestore } from '../api/objects.ts';

/** By its CSI name: what a first try has left is found again, and never taken for anybody else's. */
export function safetyName({ metadata: { uid } }: VolumeRestore): string {
  return `safety-${uid}`;
}

const MAX_NAME = 253;

export interface NewObject {
  /** Of the collection. */
  readonly path: string;
  readonly body: unknown;
}

export interface SafetyObjects {
  readonly name: string;
  readonly snapshot: NewObject;
  readonly content: NewObject;
}

/**
 * `handle`: the snapshot's CSI id; `volumeMode`: the claim's. The snapshot comes first: in a namespace that is being
 * deleted it is refused, and no content is left behind.
 */
export function safetyObjects(
  { metadata: { namespace, name: restore, uid } }: VolumeRestore,
  handle: string,
  volumeMode: string,
  node: string,
): SafetyObjects {
  const suffix = `-safety-${uid.slice(0, 5)}`;
  const name = `${restore.slice(0, MAX_NAME - suffix.length)}${suffix}`;
  const contentName = `snapmerge-safety-${uid}`;
  const labels = { 'snapmerge.io/safety-of': uid };
  const apiVersion = 'snapshot.storage.k8s.io/v1';
  return {
    name,
    snapshot: {
      path: `${SNAPSHOT_GROUP}/namespaces/${namespace}/volumesnapshots`,
      body: {
        apiVersion,
        kind: 'VolumeSnapshot',
        metadata: { name, namespace, labels, annotations: { 'snapmerge.io/volume-restore': restore } },
        spec: { source: { volumeSnapshotContentName: contentName } },
      },
    },
    content: {
      path: `${SNAPSHOT_GROUP}/volumesnapshotcontents`,
      body: {
        apiVersion,
        kind: 'VolumeSnapshotContent',
        metadata: {
          name: contentName,
          // By this label each node's csi-snapshotter knows which contents are its own.
          labels: { ...labels, 'snapshot.storage.kubernetes.io/managed-by': node },
        },
        spec: {
          driver: DRIVER_NAME,
          deletionPolicy: 'Delete',
          source: { snapshotHandle: handle },
          sourceVolumeMode: volumeMode,
          volumeSnapshotRef: { apiVersion, kind: 'VolumeSnapshot', name, namespace },
        },
      },
    },
  };
}
