// Looking: from a VolumeRestore to where its volume lives and what the node knows of it. Reads only; each round looks anew,
// so nothing is remembered that could be out of date.

import { DRIVER_NAME } from '../../controller/identity.ts';
import { locateRestore, locateSnapshot, locateVolume, restoreToken } from '../../csi/handles.ts';
import { restoreHandle } from '../../vocabulary/ids.ts';
import type { Found, Located } from '../../csi/handles.ts';
import { handleOf } from '../../csi/replies.ts';
import { TOPOLOGY_KEY } from '../../csi/topology.ts';
import type { Engine, Restore, Volume } from '../../engine/engine.ts';
import { SnapmergeError, unreachable } from '../../vocabulary/errors.ts';
import type { SnapshotId, VolumeId } from '../../vocabulary/ids.ts';
import type { Pools } from '../../pools/pools.ts';
import type { Cluster } from '../api/cluster.ts';
import { FINALIZER } from './decide.ts';
import type { Here, Sight } from './decide.ts';
import type { PersistentVolume, Pod, VolumeRestore } from '../api/objects.ts';
import type { Problem } from './reasons.ts';
import { fails, waits } from './reasons.ts';
import { hasBegun, isOver } from './status.ts';

export interface Looking {
  readonly cluster: Cluster;
  readonly pools: Pools;
  /** The name of this node. */
  readonly node: string;
  /** All objects that are known, of all namespaces. */
  readonly others: () => readonly VolumeRestore[];
}

/** What is needed to ask the node to begin. */
export interface Target {
  readonly engine: Engine;
  readonly volume: VolumeId;
  readonly volumeHandle: string;
  /** Undefined in the mode NameSnapshot: what the fork was made from. */
  readonly snapshot: SnapshotId | undefined;
}

export interface Look {
  readonly sight: Sight;
  /** Undefined while there is a problem. */
  readonly target: Target | undefined;
  /** The pool in which the restore is, or would be. */
  readonly engine: Engine | undefined;
}

export async function look(looking: Looking, object: VolumeRestore): Promise<Look> {
  const { status } = object;
  const recorded = status.node;
  if (recorded !== undefined && recorded !== looking.node) return elsewhere(looking, recorded);
  const way = sameVolume(object, await wayTo(looking, object));
  if (recorded === undefined) {
    if (way.at === 'nowhere') return unknown(way.problem);
    if (way.at === 'elsewhere') return elsewhere(looking, way.node);
  }
  const known = await knownRestore(looking, object, way);
  return { ...known, sight: { at: 'here', ...known.here } };
}

function unknown(problem: Problem): Look {
  return { sight: { at: 'unknown', problem }, target: undefined, engine: undefined };
}

async function elsewhere({ cluster }: Looking, node: string): Promise<Look> {
  const sight = { at: 'elsewhere', node, exists: await cluster.nodeExists(node) } as const;
  return { sight, target: undefined, engine: undefined };
}

/** From the claim to the volume's handle. */
type Way =
  | { readonly at: 'nowhere'; readonly problem: Problem }
  | { readonly at: 'elsewhere'; readonly node: string }
  | { readonly at: 'here'; readonly handle: string };

async function wayTo({ cluster, pools, node }: Looking, { metadata, spec }: VolumeRestore): Promise<Way> {
  const { namespace } = metadata;
  const name = spec.persistentVolumeClaimName;
  const nowhere = (problem: Problem): Way => ({ at: 'nowhere', problem });
  const claim = await cluster.claim(namespace, name);
  if (claim === undefined) {
    const message = `There is no PersistentVolumeClaim '${name}' in namespace '${namespace}'; a VolumeRestore, its claim and its snapshot have to be in one namespace`;
    return nowhere(waits('ClaimNotFound', message));
  }
  const bound = claim.spec.volumeName;
  if (bound === undefined || claim.status.phase !== 'Bound') {
    const message = `Claim '${name}' is ${claim.status.phase ?? 'Pending'}; a volume is made for it when a pod that uses it is scheduled`;
    return nowhere(waits('ClaimNotBound', message));
  }
  const volume = await cluster.volume(bound);
  if (volume === undefined) {
    return nowhere(waits('ClaimNotBound', `PersistentVolume '${bound}' of claim '${name}' does not exist`));
  }
  const { csi } = volume.spec;
  if (csi?.driver !== DRIVER_NAME) {
    const message = `The volume of claim '${name}' is one of ${csi?.driver ?? 'no CSI driver'}; only those of ${DRIVER_NAME} can be restored in place`;
    return nowhere(fails('WrongDriver', message));
  }
  const named = nodeOf(volume);
  if (named === node) return { at: 'here', handle: csi.volumeHandle };
  if (named !== undefined) return { at: 'elsewhere', node: named };
  if (locateVolume(pools, csi.volumeHandle).at === 'here') return { at: 'here', handle: csi.volumeHandle };
  const message = `PersistentVolume '${bound}' names no node by ${TOPOLOGY_KEY}, and no node that answers has volume '${csi.volumeHandle}'`;
  return nowhere(waits('ClaimNotBound', message));
}

/** What was asked for was asked of one volume, whatever the claim is bound to by now. */
function sameVolume({ metadata, spec, status }: VolumeRestore, way: Way): Way {
  if (way.at !== 'here' || status.askedTime === undefined || status.restoreID === undefined) return way;
  if (status.restoreID.endsWith(`r-${restoreToken(way.handle, metadata.uid)}`)) return way;
  const message =
    `Claim '${spec.persistentVolumeClaimName}' has been bound to another volume since this was asked for; create another ` +
    `VolumeRestore if that is to be restored`;
  return { at: 'nowhere', problem: fails('ClaimChanged', message) };
}

/** The node that a volume can be reached on; undefined where that is not said, or said in another way. */
export function nodeOf({ spec }: PersistentVolume): string | undefined {
  const terms = spec.nodeAffinity?.required?.nodeSelectorTerms ?? [];
  const places = terms.flatMap(({ matchExpressions }) =>
    matchExpressions.filter(({ key, operator }) => key === TOPOLOGY_KEY && operator === 'In'),
  );
  const values = [...new Set(places.flatMap(({ values }) => values))];
  return values.length === 1 ? values[0] : undefined;
}

interface Known extends Omit<Look, 'sight'> {
  readonly here: Here;
}

const NOBODY: Here = {
  restoreID: undefined,
  known: undefined,
  outdone: false,
  problem: undefined,
  pods: [],
  inUse: false,
  originClaimName: undefined,
  before: undefined,
};

/** Where on this node: in which pool, under which id, and which volume as far as that is known. */
type Place =
  | { readonly at: 'nowhere'; readonly problem: Problem }
  | { readonly at: 'here'; readonly engine: Engine; readonly restore: string; readonly volume: VolumeId | undefined };

async function knownRestore(looking: Looking, object: VolumeRestore, way: Way): Promise<Known> {
  const place = placeOf(looking.pools, object, way);
  if (place.at === 'nowhere')
    return { here: { ...NOBODY, problem: place.problem }, target: undefined, engine: undefined };
  const { engine, restore } = place;
  const restoreID = restoreHandle(engine.pool, engine.vg, restore);
  const answer = await fromNode(async () => nodeView(place, object.spec.mode));
  if ('problem' in answer)
    return { engine, target: undefined, here: { ...NOBODY, restoreID, problem: answer.problem } };
  const { view } = answer;
  const known = view.restores.find(({ id }) => id === restore);
  if (known !== undefined && known.phase !== 'waiting')
    return { engine, target: undefined, here: { ...NOBODY, restoreID, known } };
  const { status, spec } = object;
  const askedMs = status.askedTime === undefined ? Infinity : Date.parse(status.askedTime);
  const outdone = view.restores.some(
    ({ id, volume, phase, startedMs }) =>
      id !== restore && volume === view.volume?.id && phase !== 'waiting' && startedMs > askedMs,
  );
  const origin = spec.mode === 'NameSnapshot' ? await claimOf(looking, engine, view.origin) : undefined;
  const { namespace } = object.metadata;
  const user = spec.mode === 'NameSnapshot' ? origin : { namespace, name: spec.persistentVolumeClaimName };
  const here: Here = {
    ...NOBODY,
    restoreID,
    known,
    outdone,
    pods: user === undefined ? [] : await holders(looking, user.namespace, user.name, namespace),
    inUse: view.inUse,
    originClaimName: origin?.namespace === namespace ? origin.name : undefined,
    before: firstOf(looking.others(), object),
  };
  if (known !== undefined) return { engine, target: undefined, here: { ...here, problem: finalOf(way) } };
  if (way.at !== 'here') return { engine, target: undefined, here: { ...here, problem: problemOf(way) } };
  if (origin !== undefined && origin.namespace !== namespace) {
    const message = `What would be given up is the volume of claim '${origin.namespace}/${origin.name}', of another namespace`;
    return { engine, target: undefined, here: { ...here, problem: fails('OtherNamespace', message) } };
  }
  const found = await targetOf(looking, object, { engine, handle: way.handle, volume: view.volume });
  if ('problem' in found) return { engine, target: undefined, here: { ...here, problem: found.problem } };
  return { engine, target: found.target, here };
}

function placeOf(pools: Pools, { metadata, status }: VolumeRestore, way: Way): Place {
  if (way.at === 'here') {
    const found = locateVolume(pools, way.handle);
    if (found.at !== 'here') return { at: 'nowhere', problem: notHere(found, way.handle) };
    const restore = `r-${restoreToken(way.handle, metadata.uid)}`;
    return { at: 'here', engine: found.engine, restore, volume: found.id };
  }
  // The claim may be gone, and the node have noted what it asked for all the same.
  if (status.restoreID === undefined) return { at: 'nowhere', problem: problemOf(way) };
  const found = locateRestore(pools, status.restoreID);
  if (found.at !== 'here') return { at: 'nowhere', problem: notHere(found, status.restoreID) };
  return { at: 'here', engine: found.engine, restore: found.id, volume: undefined };
}

/** Why what is noted is not to be done any more. */
function finalOf(way: Way): Problem | undefined {
  return way.at === 'nowhere' && way.problem.reason === 'ClaimChanged' ? way.problem : undefined;
}

function problemOf(way: Exclude<Way, { at: 'here' }>): Problem {
  if (way.at === 'nowhere') return way.problem;
  return waits('PoolMissing', `The volume of the claim is on node '${way.node}' now`);
}

function notHere(found: Exclude<Found<unknown>, { at: 'here' }>, handle: string): Problem {
  switch (found.at) {
    case 'waiting':
      return waits('PoolUnavailable', `Pool '${found.pool}' does not answer: ${found.why}`);
    case 'elsewhere':
      return waits(
        'PoolMissing',
        `The volume group of '${handle}' is no pool of its node; see the driver's configuration`,
      );
    case 'nowhere':
      return fails('VolumeGone', `'${handle}' is no id of this driver`);
    default:
      return unreachable(found);
  }
}

interface NodeView {
  readonly restores: readonly Restore[];
  readonly volume: Volume | undefined;
  /** What a fork was forked from. */
  readonly origin: Volume | undefined;
  /** The volume is staged, or in the mode NameSnapshot its origin. */
  readonly inUse: boolean;
}

async function nodeView(
  { engine, restore, volume: named }: Extract<Place, { at: 'here' }>,
  mode: VolumeRestore['spec']['mode'],
): Promise<NodeView> {
  const restores = await engine.listRestores();
  const id = named ?? restores.find((one) => one.id === restore)?.volume;
  const volume = id === undefined ? undefined : await engine.getVolume(id);
  const origin = mode === 'NameSnapshot' && volume !== undefined ? await originOf(engine, volume) : undefined;
  const user = mode === 'NameSnapshot' ? origin : volume;
  return { restores, volume, origin, inUse: user?.active ?? false };
}

async function originOf(engine: Engine, { source }: Volume): Promise<Volume | undefined> {
  if (source === undefined) return undefined;
  const id = source.from === 'volume' ? source.volume : (await engine.getSnapshot(source.snapshot))?.volume;
  return id === undefined ? undefined : engine.getVolume(id);
}

async function fromNode(
  ask: () => Promise<NodeView>,
): Promise<{ readonly view: NodeView } | { readonly problem: Problem }> {
  try {
    return { view: await ask() };
  } catch (error) {
    if (!(error instanceof SnapmergeError)) throw error;
    return { problem: waits('NodeError', error.message) };
  }
}

/** A PersistentVolume has the name under which the provisioner asked for the volume. */
async function claimOf(
  { cluster }: Looking,
  engine: Engine,
  volume: Volume | undefined,
): Promise<{ readonly namespace: string; readonly name: string } | undefined> {
  if (volume?.name === undefined) return undefined;
  const found = await cluster.volume(volume.name);
  const isIt = found?.spec.csi?.volumeHandle === handleOf(engine, volume.id);
  return isIt ? found.spec.claimRef : undefined;
}

async function holders({ cluster, node }: Looking, namespace: string, claim: string, home: string): Promise<string[]> {
  const pods = await cluster.podsOn(namespace, node);
  const names = pods.filter((pod) => uses(pod, claim)).map(({ metadata: { name } }) => name);
  return names.toSorted().map((name) => (namespace === home ? name : `${namespace}/${name}`));
}

/** Has it mounted, or is about to: what has ended has let go of its volumes. */
export function uses({ metadata, spec, status }: Pod, claim: string): boolean {
  if (status.phase === 'Succeeded' || status.phase === 'Failed') return false;
  return spec.volumes.some(
    ({ name, persistentVolumeClaim, ephemeral }) =>
      persistentVolumeClaim?.claimName === claim || (ephemeral !== undefined && `${metadata.name}-${name}` === claim),
  );
}

/** Of several that ask for the same volume the one that the node has been asked for comes first, then the oldest. */
export function firstOf(others: readonly VolumeRestore[], object: VolumeRestore): string | undefined {
  const { metadata, spec } = object;
  const isEarlier = ({ metadata: one }: VolumeRestore): boolean => {
    const isHeld = one.finalizers.includes(FINALIZER);
    if (isHeld !== metadata.finalizers.includes(FINALIZER)) return isHeld;
    if (one.creationTimestamp !== metadata.creationTimestamp) return one.creationTimestamp < metadata.creationTimestamp;
    return one.uid < metadata.uid;
  };
  return others
    .filter(
      (one) =>
        one.metadata.namespace === metadata.namespace &&
        one.spec.persistentVolumeClaimName === spec.persistentVolumeClaimName &&
        one.metadata.uid !== metadata.uid &&
        isEarlier(one) &&
        !hasBegun(one) &&
        !(isOver(one) && !one.metadata.finalizers.includes(FINALIZER)),
    )
    .map((one) => one.metadata.name)
    .toSorted()[0];
}

interface At {
  readonly engine: Engine;
  readonly handle: string;
  readonly volume: Volume | undefined;
}

async function targetOf(
  { cluster, pools }: Looking,
  { metadata, spec }: VolumeRestore,
  { engine, handle, volume }: At,
): Promise<{ readonly target: Target } | { readonly problem: Problem }> {
  const name = spec.persistentVolumeClaimName;
  if (volume === undefined) {
    return { problem: fails('VolumeGone', `The volume '${handle}' of claim '${name}' does not exist any more`) };
  }
  if (volume.parameters.scratch) {
    const message = `The volume of claim '${name}' is a scratch fork: it is fresh whenever it is staged`;
    return { problem: fails('ScratchVolume', message) };
  }
  if (spec.mode === 'NameSnapshot' && volume.source === undefined) {
    const message = `The volume of claim '${name}' is no fork; name the claim of the fork that is to take over its origin's storage`;
    return { problem: fails('NotAFork', message) };
  }
  const target = { engine, volume: volume.id, volumeHandle: handle };
  if (spec.volumeSnapshotName === undefined) return { target: { ...target, snapshot: undefined } };
  const found = await snapshotOf(cluster, pools, metadata.namespace, spec.volumeSnapshotName);
  if ('problem' in found) return found;
  if (found.engine !== engine) {
    const message = `VolumeSnapshot '${spec.volumeSnapshotName}' is in pool '${found.engine.pool}', the volume of claim '${name}' in '${engine.pool}'`;
    return { problem: fails('WrongSnapshot', message) };
  }
  return { target: { ...target, snapshot: found.id } };
}

async function snapshotOf(
  cluster: Cluster,
  pools: Pools,
  namespace: string,
  name: string,
): Promise<Located<SnapshotId> | { readonly problem: Problem }> {
  const what = `VolumeSnapshot '${name}'`;
  const snapshot = await cluster.snapshot(namespace, name);
  if (snapshot === undefined) {
    const message = `There is no ${what} in namespace '${namespace}'; a VolumeRestore, its claim and its snapshot have to be in one namespace`;
    return { problem: waits('SnapshotNotFound', message) };
  }
  const { boundVolumeSnapshotContentName: bound, readyToUse, error } = snapshot.status;
  const content = bound === undefined ? undefined : await cluster.content(bound);
  if (content !== undefined && content.driver !== DRIVER_NAME) {
    const message = `${what} is one of ${content.driver}; a volume of ${DRIVER_NAME} can be restored to its own snapshots only`;
    return { problem: fails('WrongDriver', message) };
  }
  if (content?.handle === undefined || readyToUse !== true) {
    const why = error?.message === undefined ? '' : `: ${error.message}`;
    return { problem: waits('SnapshotNotReady', `${what} is not ready to use${why}`) };
  }
  const found = locateSnapshot(pools, content.handle);
  if (found.at === 'elsewhere') {
    const message = `${what} is on another node than the volume, so it is a snapshot of another volume`;
    return { problem: fails('WrongSnapshot', message) };
  }
  if (found.at !== 'here') return { problem: notHere(found, content.handle) };
  if ((await found.engine.getSnapshot(found.id)) === undefined) {
    return { problem: fails('SnapshotGone', `The snapshot '${content.handle}' of ${what} does not exist any more`) };
  }
  return found;
}
