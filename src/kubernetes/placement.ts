// Claims that are made from a snapshot or from another claim can be made on one node only, and the scheduler, which chooses a
// node for their pod, is not told. With every node equal to it, it would choose a wrong one for ever. So the driver that
// holds the source writes its node onto a claim that somebody tries to make: from then on the scheduler sends the pod there.

import { z } from 'zod';
import { DRIVER_NAME } from '../controller/identity.ts';
import { locateSnapshot, locateVolume } from '../csi/handles.ts';
import { SnapmergeError, messageOf } from '../vocabulary/errors.ts';
import type { Pools } from '../pools/pools.ts';
import type { Clock, Log } from '../vocabulary/ports.ts';
import type { Cluster } from './api/cluster.ts';
import type { ApiServer } from './api/http.ts';
import { createQueue } from './api/queue.ts';
import { watchAll } from './api/watch.ts';
import type { Kind } from './api/watch.ts';

/** Where the scheduler writes the node of the first consumer's pod, which the node's provisioner then acts on. */
export const SELECTED_NODE = 'volume.kubernetes.io/selected-node';
/** Who is to make the volume: written when a node has been chosen for the first time, under either name. */
const PROVISIONER = ['volume.kubernetes.io/storage-provisioner', 'volume.beta.kubernetes.io/storage-provisioner'];

const source = z.object({ kind: z.string(), name: z.string(), namespace: z.string().optional() });

/** Of a claim only what decides; there may be many. */
export const pendingClaim = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    resourceVersion: z.string(),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
  spec: z.object({
    volumeName: z.string().default(''),
    dataSource: source.optional(),
    dataSourceRef: source.optional(),
  }),
});
export type PendingClaim = z.output<typeof pendingClaim>;

export type Source = { readonly from: 'snapshot' | 'claim'; readonly name: string };

const CLAIMS: Kind<PendingClaim> = {
  name: 'PersistentVolumeClaim',
  path: '/api/v1/persistentvolumeclaims',
  schema: pendingClaim,
};

/** What a claim is to be made from, where that has been tried and has not succeeded yet; undefined: nothing to place. */
export function sourceToPlace({ metadata: { annotations }, spec }: PendingClaim): Source | undefined {
  if (spec.volumeName !== '') return undefined;
  if (!PROVISIONER.some((key) => annotations[key] === DRIVER_NAME)) return undefined;
  const { kind, name, namespace } = spec.dataSourceRef ?? spec.dataSource ?? { kind: '', name: '' };
  // From another namespace nothing is made.
  if (namespace !== undefined && namespace !== '') return undefined;
  if (kind === 'VolumeSnapshot') return { from: 'snapshot', name };
  return kind === 'PersistentVolumeClaim' ? { from: 'claim', name } : undefined;
}

export interface PlacementOptions {
  readonly api: ApiServer;
  readonly cluster: Cluster;
  readonly pools: Pools;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Log;
}

const WORKERS = 2;
const FIRST_RETRY_MS = 200;
const MOST_RETRY_MS = 15_000;

/** Until the signal fires. Never rejects for what the cluster does. */
export async function runPlacement(options: PlacementOptions, signal: AbortSignal): Promise<void> {
  const { api, cluster, pools, node, clock, log } = options;
  const queue = createQueue({
    clock,
    workers: WORKERS,
    firstRetryMs: FIRST_RETRY_MS,
    mostRetryMs: MOST_RETRY_MS,
    work: async (key) => {
      const claim = claims.get(key);
      if (claim === undefined) return;
      const wanted = sourceToPlace(claim);
      const { namespace, name, resourceVersion, annotations } = claim.metadata;
      if (wanted === undefined || annotations[SELECTED_NODE] === node) return;
      if (!(await isHere(cluster, pools, namespace, wanted))) return;
      await cluster.selectNode(namespace, name, resourceVersion, node);
      log.info({ claim: key, source: wanted, scheduled: annotations[SELECTED_NODE], node }, 'claim placed');
    },
    failed: (key, error, againMs) => {
      // The scheduler or a provisioner has written it meanwhile: the watch will tell what.
      const isUsual = error instanceof SnapmergeError && (error.kind === 'busy' || error.kind === 'not-found');
      const fields = { claim: key, error: messageOf(error), againMs };
      if (isUsual) log.debug(fields, 'claim is looked at again');
      else log.warn(fields, 'claim cannot be placed');
    },
  });
  const claims = watchAll(CLAIMS, { api, clock, log, changed: (key) => queue.add(key, 0) });
  await Promise.all([claims.run(signal), queue.run(signal)]);
}

/** Does this node hold it? While its pool does not answer nobody does, and the claim waits anyway. */
async function isHere(cluster: Cluster, pools: Pools, namespace: string, { from, name }: Source): Promise<boolean> {
  if (from === 'claim') {
    const volumeName = (await cluster.claim(namespace, name))?.spec.volumeName;
    const csi = volumeName === undefined ? undefined : (await cluster.volume(volumeName))?.spec.csi;
    return csi?.driver === DRIVER_NAME && locateVolume(pools, csi.volumeHandle).at === 'here';
  }
  const bound = (await cluster.snapshot(namespace, name))?.status.boundVolumeSnapshotContentName;
  const content = bound === undefined ? undefined : await cluster.content(bound);
  if (content?.driver !== DRIVER_NAME || content.handle === undefined) return false;
  return locateSnapshot(pools, content.handle).at === 'here';
}
