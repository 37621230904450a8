// Snapshots that no node takes: a snapshot-controller without distributed snapshotting leaves away the label by which each
// node's csi-snapshotter knows its own, and they never get ready, without a word. The driver that holds the volume says so,
// with the remedy, in its log and in an event on the VolumeSnapshot.

import { z } from 'zod';
import { DRIVER_NAME } from '../controller/identity.ts';
import { locateSnapshot, locateVolume } from '../csi/handles.ts';
import { SnapmergeError, messageOf } from '../vocabulary/errors.ts';
import type { Pools } from '../pools/pools.ts';
import type { Clock, Log } from '../vocabulary/ports.ts';
import { SNAPSHOT_GROUP, checked } from './api/cluster.ts';
import type { Cluster } from './api/cluster.ts';
import type { EventText } from './restores/events.ts';
import type { ApiServer } from './api/http.ts';

export const MANAGED_BY = 'snapshot.storage.kubernetes.io/managed-by';
const CONTENTS_PATH = `${SNAPSHOT_GROUP}/volumesnapshotcontents`;

/** Nobody who watches for a snapshot waits longer to be told, and a cluster of many nodes is not bothered. */
const LOOK_MS = 60_000;
/** The label comes with the object. What is younger may have been listed from a cache that is behind. */
const PATIENCE_MS = 30_000;

const content = z.object({
  metadata: z.object({
    name: z.string(),
    uid: z.string(),
    creationTimestamp: z.iso.datetime({ offset: true }),
    deletionTimestamp: z.string().optional(),
  }),
  spec: z.object({
    driver: z.string(),
    source: z.object({ volumeHandle: z.string().optional(), snapshotHandle: z.string().optional() }),
    volumeSnapshotRef: z.object({
      namespace: z.string().optional(),
      name: z.string().optional(),
      uid: z.string().optional(),
    }),
  }),
  status: z.object({ readyToUse: z.boolean().optional() }).default({}),
});
export type UnclaimedContent = z.output<typeof content>;
const list = z.object({ items: z.array(content) });

export interface UnclaimedOptions {
  readonly api: ApiServer;
  readonly cluster: Pick<Cluster, 'tell'>;
  readonly pools: Pools;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 to 1. */
  readonly random: () => number;
}

/** Until the signal fires. Never rejects for what the cluster does. */
export async function watchUnclaimed(options: UnclaimedOptions, signal: AbortSignal): Promise<void> {
  const { clock, log, random } = options;
  const told = new Set<string>();
  while (!signal.aborted) {
    // Not all nodes at once, also after an upgrade of all.
    await clock.sleep(LOOK_MS * (0.5 + random()), signal);
    if (signal.aborted) return;
    try {
      await lookOnce(options, told);
    } catch (error) {
      // A cluster without VolumeSnapshots has none that wait.
      const isUsual = error instanceof SnapmergeError && (error.kind === 'not-found' || error.kind === 'unavailable');
      const fields = { error: messageOf(error) };
      if (isUsual) log.debug(fields, 'snapshots not looked at');
      else log.warn(fields, 'snapshots not looked at');
    }
  }
}

/** Each is told once; those that have gone are forgotten. */
async function lookOnce({ api, cluster, pools, node, clock, log }: UnclaimedOptions, told: Set<string>): Promise<void> {
  const query = { labelSelector: `!${MANAGED_BY}`, resourceVersion: '0' };
  const found = checked(list, await api.request({ method: 'GET', path: CONTENTS_PATH, query }), CONTENTS_PATH);
  const ours = found.items.filter((one) => isUnclaimed(one, clock.nowMs()) && isHere(pools, one));
  const uids = new Set(ours.map(({ metadata: { uid } }) => uid));
  for (const uid of told) if (!uids.has(uid)) told.delete(uid);
  for (const one of ours.filter(({ metadata: { uid } }) => !told.has(uid))) {
    const { namespace, name, uid } = one.spec.volumeSnapshotRef;
    const event = remedy(one, node);
    const volumeSnapshot = `${namespace ?? ''}/${name ?? ''}`;
    log.error({ volumeSnapshot, content: one.metadata.name, remedy: event.message }, 'no node takes this snapshot');
    if (namespace !== undefined && name !== undefined) {
      const subject = { apiVersion: 'snapshot.storage.k8s.io/v1', kind: 'VolumeSnapshot', namespace, name, uid };
      await cluster.tell(subject, event);
    }
    told.add(one.metadata.uid);
  }
}

/** Ours, not ready, and old enough for somebody to have taken it. */
export function isUnclaimed({ metadata, spec, status }: UnclaimedContent, nowMs: number): boolean {
  if (spec.driver !== DRIVER_NAME || status.readyToUse === true || metadata.deletionTimestamp !== undefined)
    return false;
  return nowMs - Date.parse(metadata.creationTimestamp) >= PATIENCE_MS;
}

function isHere(pools: Pools, { spec: { source } }: UnclaimedContent): boolean {
  if (source.volumeHandle !== undefined) return locateVolume(pools, source.volumeHandle).at === 'here';
  return source.snapshotHandle !== undefined && locateSnapshot(pools, source.snapshotHandle).at === 'here';
}

const FLAG = '--enable-distributed-snapshotting';

/** Contents that the cluster made want another controller, those that a person made want the label. */
export function remedy({ metadata: { name }, spec: { source } }: UnclaimedContent, node: string): EventText {
  const label = `kubectl label volumesnapshotcontent ${name} ${MANAGED_BY}=${node}`;
  const message =
    source.volumeHandle === undefined
      ? `No node takes this snapshot, because its VolumeSnapshotContent does not say whose it is: ${label}`
      : 'No node takes this snapshot, because the snapshot-controller of this cluster does not say whose it is. Give it ' +
        `the right to read nodes, and only then ${FLAG}: with the flag alone it serves no snapshot of any driver. The lines ` +
        `for both are in docs/install.md, "The snapshot-controller". This one is taken after: ${label}`;
  return { type: 'Warning', reason: 'DistributedSnapshottingOff', message };
}
