// What a test does with the API server: objects as the provisioner and the snapshotter leave them, VolumeRestores as users
// write them, and waiting for what becomes of those.

import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import { TOPOLOGY_KEY } from '../../src/csi/topology.ts';
import { connectTo } from '../../src/kubernetes/api/http.ts';
import { volumeRestore } from '../../src/kubernetes/api/objects.ts';
import type { VolumeRestore } from '../../src/kubernetes/api/objects.ts';
import type { ControlPlane } from '../../tools/cluster/control-plane.ts';

const CORE = '/api/v1';
const RESTORES = '/apis/snapmerge.io/v1alpha1';
const SNAPSHOTS = '/apis/snapshot.storage.k8s.io/v1';
const LIMIT_MS = 40_000;

export interface NewClaim {
  readonly namespace: string;
  readonly claim: string;
  readonly pv: string;
  readonly driver: string;
  readonly handle: string;
  /** Undefined: it names no node. */
  readonly node: string | undefined;
}

export interface NewSnapshot {
  readonly namespace: string;
  readonly snapshot: string;
  readonly driver: string;
  readonly handle: string;
  readonly ready?: boolean;
}

export interface Told {
  readonly kind: string;
  readonly name: string;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
}

export interface Api {
  readonly kubeconfigPath: string;
  readonly namespace: (name: string) => Promise<void>;
  readonly claim: (claim: NewClaim) => Promise<void>;
  /** A claim that waits for its first pod. */
  readonly unbound: (namespace: string, name: string) => Promise<void>;
  readonly snapshot: (snapshot: NewSnapshot) => Promise<void>;
  readonly pod: (namespace: string, name: string, claim: string, node: string) => Promise<void>;
  readonly node: (name: string) => Promise<void>;
  /** Creates a VolumeRestore; rejects with what the server has against it. */
  readonly restore: (
    namespace: string,
    name: string,
    spec: Readonly<Record<string, unknown>>,
  ) => Promise<VolumeRestore>;
  readonly get: (path: string) => Promise<unknown>;
  readonly remove: (path: string) => Promise<void>;
  readonly patch: (path: string, body: unknown) => Promise<unknown>;
  readonly look: (namespace: string, name: string) => Promise<VolumeRestore | undefined>;
  /** Until it is as wanted. */
  readonly untilSo: (
    namespace: string,
    name: string,
    isSo: (object: VolumeRestore) => boolean,
  ) => Promise<VolumeRestore>;
  /** Until it is in that phase, with that reason if one is given. */
  readonly until: (namespace: string, name: string, phase: string, reason?: string) => Promise<VolumeRestore>;
  readonly untilGone: (namespace: string, name: string) => Promise<void>;
  readonly events: (namespace: string) => Promise<readonly Told[]>;
}

export function restorePath(namespace: string, name: string): string {
  return `${RESTORES}/namespaces/${namespace}/volumerestores/${name}`;
}

export function apiOf(plane: ControlPlane): Api {
  const server = connectTo(plane.kubeconfigPath);
  const post = async (path: string, body: unknown): Promise<unknown> => server.request({ method: 'POST', path, body });
  const patch = async (path: string, body: unknown): Promise<unknown> =>
    server.request({ method: 'PATCH', path, body });
  const get = async (path: string): Promise<unknown> => {
    try {
      return await server.request({ method: 'GET', path });
    } catch (error) {
      if (error instanceof SnapmergeError && error.kind === 'not-found') return undefined;
      throw error;
    }
  };
  const look = async (namespace: string, name: string): Promise<VolumeRestore | undefined> => {
    const found = await get(restorePath(namespace, name));
    return found === undefined ? undefined : volumeRestore.parse(found);
  };
  const untilSo: Api['untilSo'] = async (namespace, name, isSo) => {
    let last: VolumeRestore | undefined;
    for (const end = Date.now() + LIMIT_MS; Date.now() < end; await sleep(100)) {
      last = await look(namespace, name);
      if (last !== undefined && isSo(last)) return last;
    }
    throw new Error(`Cannot see ${name} as wanted: ${JSON.stringify(last?.status, null, 1)}`);
  };
  const remove = async (path: string): Promise<void> => {
    await server.request({ method: 'DELETE', path });
  };
  return {
    kubeconfigPath: plane.kubeconfigPath,
    get,
    patch,
    remove,
    look,
    namespace: async (name) => {
      await post(`${CORE}/namespaces`, { metadata: { name } });
      // What a controller would make.
      await post(`${CORE}/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } });
    },
    node: async (name) => {
      await post(`${CORE}/nodes`, { metadata: { name, labels: { [TOPOLOGY_KEY]: name } } });
    },
    claim: async ({ namespace, claim, pv, driver, handle, node }) => {
      const capacity = { storage: '4Mi' };
      const accessModes = ['ReadWriteOnce'];
      const matchExpressions = [{ key: TOPOLOGY_KEY, operator: 'In', values: [node] }];
      const nodeAffinity = node === undefined ? undefined : { required: { nodeSelectorTerms: [{ matchExpressions }] } };
      await post(`${CORE}/persistentvolumes`, {
        metadata: { name: pv },
        spec: {
          capacity,
          accessModes,
          persistentVolumeReclaimPolicy: 'Delete',
          csi: { driver, volumeHandle: handle },
          claimRef: { apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name: claim },
          nodeAffinity,
        },
      });
      await post(`${CORE}/namespaces/${namespace}/persistentvolumeclaims`, {
        metadata: { name: claim },
        spec: { accessModes, resources: { requests: capacity }, volumeName: pv, storageClassName: '' },
      });
      const path = `${CORE}/namespaces/${namespace}/persistentvolumeclaims/${claim}/status`;
      await patch(path, { status: { phase: 'Bound', capacity, accessModes } });
    },
    unbound: async (namespace, name) => {
      await post(`${CORE}/namespaces/${namespace}/persistentvolumeclaims`, {
        metadata: { name },
        spec: { accessModes: ['ReadWriteOnce'], resources: { requests: { storage: '4Mi' } }, storageClassName: 'none' },
      });
    },
    snapshot: async ({ namespace, snapshot, driver, handle, ready = true }) => {
      const content = `content-${namespace}-${snapshot}`;
      await post(`${SNAPSHOTS}/volumesnapshotcontents`, {
        apiVersion: 'snapshot.storage.k8s.io/v1',
        kind: 'VolumeSnapshotContent',
        metadata: { name: content },
        spec: {
          driver,
          deletionPolicy: 'Delete',
          source: { snapshotHandle: handle },
          volumeSnapshotRef: { name: snapshot, namespace },
        },
      });
      await patch(`${SNAPSHOTS}/volumesnapshotcontents/${content}/status`, { status: { snapshotHandle: handle } });
      await post(`${SNAPSHOTS}/namespaces/${namespace}/volumesnapshots`, {
        apiVersion: 'snapshot.storage.k8s.io/v1',
        kind: 'VolumeSnapshot',
        metadata: { name: snapshot },
        spec: { source: { volumeSnapshotContentName: content } },
      });
      const path = `${SNAPSHOTS}/namespaces/${namespace}/volumesnapshots/${snapshot}/status`;
      await patch(path, { status: { boundVolumeSnapshotContentName: content, readyToUse: ready } });
    },
    pod: async (namespace, name, claim, node) => {
      await post(`${CORE}/namespaces/${namespace}/pods`, {
        metadata: { name },
        spec: {
          nodeName: node,
          containers: [{ name: 'c', image: 'none' }],
          volumes: [{ name: 'v', persistentVolumeClaim: { claimName: claim } }],
        },
      });
    },
    restore: async (namespace, name, spec) => {
      const made = await post(`${RESTORES}/namespaces/${namespace}/volumerestores`, {
        apiVersion: 'snapmerge.io/v1alpha1',
        kind: 'VolumeRestore',
        metadata: { name },
        spec,
      });
      return volumeRestore.parse(made);
    },
    untilSo,
    until: (namespace, name, phase, reason) =>
      untilSo(
        namespace,
        name,
        ({ status }) => status.phase === phase && (reason === undefined || status.reason === reason),
      ),
    untilGone: async (namespace, name) => {
      let last: VolumeRestore | undefined;
      for (const end = Date.now() + LIMIT_MS; Date.now() < end; await sleep(100)) {
        last = await look(namespace, name);
        if (last === undefined) return;
      }
      throw new Error(`Cannot see ${name} go: ${JSON.stringify(last, null, 1)}`);
    },
    events: async (namespace) => {
      const events = z.object({
        items: z.array(
          z.object({
            involvedObject: z.object({ kind: z.string(), name: z.string() }),
            reason: z.string(),
            message: z.string(),
            count: z.number(),
          }),
        ),
      });
      const { items } = events.parse(await get(`${CORE}/namespaces/${namespace}/events`));
      return items.map(({ involvedObject, ...event }) => ({ ...involvedObject, ...event }));
    },
  };
}
