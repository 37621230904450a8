// The port to the cluster: the objects that a restore reads, and what it writes. What is not there is undefined; everything
// else that goes wrong is an error of http.ts, or `internal` where an object is not what its kind has.

import { z } from 'zod';
import { SnapmergeError, fail, messageOf } from '../../vocabulary/errors.ts';
import type { EventText, Subject } from '../restores/events.ts';
import { eventBody, eventName } from '../restores/events.ts';
import type { ApiServer } from './http.ts';
import type { Claim, PersistentVolume, Pod, Status, VolumeRestore, VolumeSnapshot } from './objects.ts';
import {
  STATUS_FIELDS,
  claim,
  persistentVolume,
  pod,
  volumeRestore,
  volumeSnapshot,
  volumeSnapshotContent,
} from './objects.ts';

export interface SnapshotContent {
  readonly driver: string;
  /** Undefined until it has been taken. */
  readonly handle: string | undefined;
}

export interface Cluster {
  readonly restore: (namespace: string, name: string) => Promise<VolumeRestore | undefined>;
  readonly claim: (namespace: string, name: string) => Promise<Claim | undefined>;
  readonly volume: (name: string) => Promise<PersistentVolume | undefined>;
  readonly snapshot: (namespace: string, name: string) => Promise<VolumeSnapshot | undefined>;
  readonly content: (name: string) => Promise<SnapshotContent | undefined>;
  /** Those of the namespace that are on the node. */
  readonly podsOn: (namespace: string, node: string) => Promise<readonly Pod[]>;
  readonly nodeExists: (name: string) => Promise<boolean>;

  /** Both are `busy` if the object has changed since it was read, and answer with what it is now. */
  readonly writeStatus: (object: VolumeRestore, status: Status) => Promise<VolumeRestore>;
  readonly writeFinalizers: (object: VolumeRestore, finalizers: readonly string[]) => Promise<VolumeRestore>;
  /** Any object; one that is there already is left as it is. */
  readonly create: (path: string, body: unknown) => Promise<void>;
  /** That object and none made since under its name; gone already is done. */
  readonly deleteSnapshot: (snapshot: VolumeSnapshot) => Promise<void>;
  /** Writes onto a claim which node is to make its volume; `busy` if the claim has changed since it was read. */
  readonly selectNode: (namespace: string, name: string, resourceVersion: string, node: string) => Promise<void>;
  readonly tell: (subject: Subject, event: EventText) => Promise<void>;
}

export const RESTORES_PATH = '/apis/snapmerge.io/v1alpha1/volumerestores';
export const SNAPSHOT_GROUP = '/apis/snapshot.storage.k8s.io/v1';

export function restorePath({ metadata: { namespace, name } }: VolumeRestore): string {
  return `/apis/snapmerge.io/v1alpha1/namespaces/${namespace}/volumerestores/${name}`;
}

export function createCluster(api: ApiServer, nowMs: () => number, instance: string): Cluster {
  const get = async <S extends z.ZodType>(schema: S, path: string): Promise<z.output<S> | undefined> => {
    const found = await unlessMissing(async () => api.request({ method: 'GET', path }));
    return found === undefined ? undefined : checked(schema, found, path);
  };
  const patch = async (path: string, body: unknown): Promise<VolumeRestore> =>
    checked(volumeRestore, await api.request({ method: 'PATCH', path, body }), path);
  const create = async (path: string, body: unknown): Promise<boolean> => {
    try {
      await api.request({ method: 'POST', path, body });
      return true;
    } catch (error) {
      if (error instanceof SnapmergeError && error.kind === 'exists') return false;
      throw error;
    }
  };
  return {
    restore: (namespace, name) =>
      get(volumeRestore, `/apis/snapmerge.io/v1alpha1/namespaces/${namespace}/volumerestores/${name}`),
    claim: (namespace, name) => get(claim, `/api/v1/namespaces/${namespace}/persistentvolumeclaims/${name}`),
    volume: (name) => get(persistentVolume, `/api/v1/persistentvolumes/${name}`),
    snapshot: (namespace, name) =>
      get(volumeSnapshot, `${SNAPSHOT_GROUP}/namespaces/${namespace}/volumesnapshots/${name}`),
    content: async (name) => {
      const found = await get(volumeSnapshotContent, `${SNAPSHOT_GROUP}/volumesnapshotcontents/${name}`);
      return found === undefined ? undefined : { driver: found.spec.driver, handle: found.status.snapshotHandle };
    },
    podsOn: async (namespace, node) => {
      const path = `/api/v1/namespaces/${namespace}/pods`;
      const query = { fieldSelector: `spec.nodeName=${node}`, resourceVersion: '0' };
      const list = z.object({ items: z.array(pod) });
      return checked(list, await api.request({ method: 'GET', path, query }), path).items;
    },
    nodeExists: async (name) => (await get(z.unknown(), `/api/v1/nodes/${name}`)) !== undefined,
    writeStatus: (object, status) => {
      const cleared = Object.fromEntries(STATUS_FIELDS.map((field) => [field, null]));
      const { resourceVersion } = object.metadata;
      const body = { metadata: { resourceVersion }, status: { ...cleared, ...status } };
      return patch(`${restorePath(object)}/status`, body);
    },
    writeFinalizers: (object, finalizers) => {
      const { resourceVersion } = object.metadata;
      return patch(restorePath(object), { metadata: { resourceVersion, finalizers } });
    },
    create: async (path, body) => {
      await create(path, body);
    },
    deleteSnapshot: async ({ metadata: { namespace, name, uid } }) => {
      const path = `${SNAPSHOT_GROUP}/namespaces/${namespace}/volumesnapshots/${name}`;
      await unlessMissing(async () => api.request({ method: 'DELETE', path, body: { preconditions: { uid } } }));
    },
    selectNode: async (namespace, name, resourceVersion, node) => {
      const path = `/api/v1/namespaces/${namespace}/persistentvolumeclaims/${name}`;
      const annotations = { 'volume.kubernetes.io/selected-node': node };
      await api.request({ method: 'PATCH', path, body: { metadata: { resourceVersion, annotations } } });
    },
    tell: async (subject, event) => {
      const path = `/api/v1/namespaces/${subject.namespace}/events`;
      const body = eventBody(subject, event, nowMs(), instance);
      if (await create(path, body)) return;
      // The same once more: counted, as kubectl shows it.
      const one = `${path}/${eventName(subject, event)}`;
      const known = await get(z.object({ count: z.number().default(1) }), one);
      if (known === undefined) return;
      const { lastTimestamp } = body;
      await api.request({ method: 'PATCH', path: one, body: { count: known.count + 1, lastTimestamp } });
    },
  };
}

async function unlessMissing(ask: () => Promise<unknown>): Promise<unknown> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof SnapmergeError && error.kind === 'not-found') return undefined;
    throw error;
  }
}

export function checked<S extends z.ZodType>(schema: S, value: unknown, path: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  return fail('internal', `Cannot read ${path}: ${messageOf(z.prettifyError(result.error))}`);
}
