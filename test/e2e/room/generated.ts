// Manifests that differ only in numbers: claims of a size on a chosen node, and many of them at once.

export interface Claim {
  readonly name: string;
  readonly size: string;
  readonly volumeMode: 'Filesystem' | 'Block';
  /** The snapshot that it is a fork of. */
  readonly snapshot?: string;
}

const claimOf = ({ name, size, volumeMode, snapshot }: Claim): object => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: { name },
  spec: {
    storageClassName: 'snapmerge',
    volumeMode,
    accessModes: ['ReadWriteOnce'],
    resources: { requests: { storage: size } },
    ...(snapshot === undefined
      ? {}
      : { dataSource: { apiGroup: 'snapshot.storage.k8s.io', kind: 'VolumeSnapshot', name: snapshot } }),
  },
});

/** Claims, and one pod on this node that uses all of them, at /data/NAME or as /dev/NAME, once `first` has run in it. */
export const podWithClaims = (
  pod: string,
  node: string,
  claims: readonly Claim[],
  first: readonly string[] = [],
): string => {
  const blocks = claims.filter(({ volumeMode }) => volumeMode === 'Block');
  const files = claims.filter(({ volumeMode }) => volumeMode === 'Filesystem');
  const container = {
    name: 'main',
    image: 'busybox:1.37',
    command: ['sleep', '86400'],
    volumeMounts: files.map(({ name }) => ({ name, mountPath: `/data/${name}` })),
    volumeDevices: blocks.map(({ name }) => ({ name, devicePath: `/dev/${name}` })),
  };
  const volumes = claims.map(({ name }) => ({ name, persistentVolumeClaim: { claimName: name } }));
  const nodeSelector = { 'kubernetes.io/hostname': node };
  const initContainers = first.length === 0 ? [] : [{ ...container, name: 'first', command: first }];
  const spec = { terminationGracePeriodSeconds: 1, nodeSelector, initContainers, containers: [container], volumes };
  return list([...claims.map(claimOf), { apiVersion: 'v1', kind: 'Pod', metadata: { name: pod }, spec }]);
};

/** A snapshot of each of these claims, named `CLAIM-snapshot`. */
export const snapshotsOf = (claims: readonly string[]): string =>
  list(
    claims.map((name) => ({
      apiVersion: 'snapshot.storage.k8s.io/v1',
      kind: 'VolumeSnapshot',
      metadata: { name: `${name}-snapshot` },
      spec: { volumeSnapshotClassName: 'snapmerge', source: { persistentVolumeClaimName: name } },
    })),
  );

/** A restore of a claim to a snapshot. */
export const restoreOf = (name: string, claim: string, snapshot: string): string =>
  JSON.stringify({
    apiVersion: 'snapmerge.io/v1alpha1',
    kind: 'VolumeRestore',
    metadata: { name },
    spec: { persistentVolumeClaimName: claim, volumeSnapshotName: snapshot },
  });

const list = (items: readonly object[]): string => JSON.stringify({ apiVersion: 'v1', kind: 'List', items });
