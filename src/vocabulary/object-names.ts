// Names of Kubernetes objects that come along with calls, for people who read logs: the sidecars add them to parameters on
// request (--extra-create-metadata), the kubelet to a volume's context (podInfoOnMount). They decide nothing. Pure.

const STANDARD = 'csi.storage.k8s.io/';

/** In the context that a volume carries from its creation to the node: its claim. */
const CLAIM = 'snapmerge.io/claim';

/** What external-provisioner and external-snapshotter add to parameters. */
export const METADATA_KEYS: ReadonlySet<string> = new Set(
  [
    'pvc/name',
    'pvc/namespace',
    'pv/name',
    'volumesnapshot/name',
    'volumesnapshot/namespace',
    'volumesnapshotcontent/name',
  ].map((key) => STANDARD + key),
);

type Texts = Readonly<Record<string, string>>;

/** What a new volume is to carry, so that the node's calls can name its claim too. */
export function claimContext(parameters: Texts): Texts {
  const claim = namespaced(new Map(Object.entries(parameters)), 'pvc/namespace', 'pvc/name');
  return claim === undefined ? {} : { [CLAIM]: claim };
}

/** The objects that a call is about, as `namespace/name`, by what they are. */
export function namedObjects(parameters: Texts, context: Texts): Texts {
  const given = new Map(Object.entries({ ...context, ...parameters }));
  const names: readonly (readonly [string, string | undefined])[] = [
    ['claim', namespaced(given, 'pvc/namespace', 'pvc/name') ?? given.get(CLAIM)],
    ['persistentVolume', given.get(`${STANDARD}pv/name`)],
    ['volumeSnapshot', namespaced(given, 'volumesnapshot/namespace', 'volumesnapshot/name')],
    ['volumeSnapshotContent', given.get(`${STANDARD}volumesnapshotcontent/name`)],
    ['pod', namespaced(given, 'pod.namespace', 'pod.name')],
  ];
  return Object.fromEntries(names.flatMap(([what, name]) => (name === undefined ? [] : [[what, name.slice(0, 512)]])));
}

function namespaced(given: ReadonlyMap<string, string>, namespace: string, name: string): string | undefined {
  const [inside, named] = [given.get(STANDARD + namespace), given.get(STANDARD + name)];
  return inside === undefined || named === undefined ? undefined : `${inside}/${named}`;
}
