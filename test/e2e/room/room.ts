// A namespace for one test file, with manifests as a user would write them. Opened before its tests; afterwards it is
// deleted and nothing of it may be left, in the API, in LVM or in device-mapper. When a test fails, it shows what a person
// would look at.

import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect } from 'vitest';
import { waitFor } from '../../../vm/wait.ts';
import { kubectl, shell, tryKubectl } from './cluster.ts';
import { driverLogs, holdings } from './driver.ts';

export interface Room {
  readonly namespace: string;
  /** kubectl in the namespace. */
  readonly kubectl: (...args: readonly string[]) => Promise<string>;
  /** Applies files of `manifests/`, unchanged. */
  readonly apply: (...files: readonly string[]) => Promise<void>;
  /** Applies a manifest that a test has made. */
  readonly create: (manifest: string) => Promise<void>;
  /** Waits for a condition such as `Ready`. */
  readonly condition: (object: string, condition: string, limitSeconds?: number) => Promise<void>;
  /** Waits until a field has this value, as in `field('pvc/shop', '.status.phase', 'Bound')`. */
  readonly field: (object: string, path: string, value: string, limitSeconds?: number) => Promise<void>;
  /** Its value now; empty where it is not set. */
  readonly value: (object: string, path: string) => Promise<string>;
  readonly ready: (...pods: readonly string[]) => Promise<void>;
  /** A line as a person types it, in the folder of the manifests; `kubectl` is the one of the cluster, in the namespace. */
  readonly shell: (line: string) => Promise<string>;
  /** Standard output of a command in a pod. */
  readonly exec: (pod: string, ...argv: readonly string[]) => Promise<string>;
  /** Deletes, and waits until they are gone. */
  readonly remove: (...objects: readonly string[]) => Promise<void>;
  /** Waits for an event about an object whose message contains these words. */
  readonly event: (object: string, words: string, limitSeconds?: number) => Promise<void>;
  /** Remembers the stores of the objects of now, so that the end can see them gone. */
  readonly remember: () => Promise<void>;
}

const MANIFESTS = join(import.meta.dirname, '../manifests');
/** For one step of one object on an emulated node that has much else to do. */
export const STEP_LIMIT_SECONDS = 240;
export const TEST_LIMIT_MS = 10 * 60_000;
const END_LIMIT_MS = 5 * 60_000;
/** Each look is a process here, and for what nodes hold one more in a pod of each: both take time from what is waited for. */
const LOOK_EVERY_MS = 1_000;
const LOOK_IN_NODES_EVERY_MS = 5_000;

/** The part of a handle that LVM's tags and device-mapper's names have too. */
const idOf = (handle: string): string => handle.slice(handle.lastIndexOf('.') + 1);

const words = (text: string): readonly string[] => text.split(/\s+/).filter((word) => word !== '');

/** Handles of the volumes and snapshots that belong to a namespace. */
const handlesOf = async (namespace: string): Promise<readonly string[]> => {
  const volumes = `{range .items[?(@.spec.claimRef.namespace=="${namespace}")]}{.spec.csi.volumeHandle} {end}`;
  const contents = `{range .items[?(@.spec.volumeSnapshotRef.namespace=="${namespace}")]}{.status.snapshotHandle} {end}`;
  const [first, second] = await Promise.all([
    kubectl(['get', 'persistentvolumes', `--output=jsonpath=${volumes}`]),
    kubectl(['get', 'volumesnapshotcontents', `--output=jsonpath=${contents}`]),
  ]);
  return words(`${first} ${second}`);
};

const show = async (namespace: string): Promise<void> => {
  const look = async (...args: readonly string[]): Promise<string> =>
    `--- kubectl ${args.join(' ')}\n${(await tryKubectl([...args, `--namespace=${namespace}`])).stdout}`;
  const parts = [
    await look('get', 'pods,pvc,volumesnapshots', '--output=wide'),
    await look('describe', 'pods,pvc,volumesnapshots'),
    await look('get', 'events', '--sort-by=.lastTimestamp'),
    await driverLogs(),
    JSON.stringify(await holdings().catch(String), undefined, 1),
  ];
  process.stdout.write(`${parts.join('\n')}\n`);
};

const roomOf = (namespace: string, handles: Set<string>): Room => {
  const inside = (...args: readonly string[]): Promise<string> => kubectl([...args, `--namespace=${namespace}`]);
  const wait = async (limitSeconds: number, ...args: readonly string[]): Promise<void> => {
    await inside('wait', `--timeout=${limitSeconds}s`, ...args);
  };
  const room: Room = {
    namespace,
    kubectl: inside,
    apply: async (...files) => {
      await inside('apply', ...files.map((file) => `--filename=${join(MANIFESTS, file)}`));
    },
    create: async (manifest) => {
      await kubectl(['apply', `--namespace=${namespace}`, '--filename=-'], { input: manifest });
    },
    condition: (object, condition, limitSeconds = STEP_LIMIT_SECONDS) =>
      wait(limitSeconds, `--for=condition=${condition}`, object),
    field: (object, path, value, limitSeconds = STEP_LIMIT_SECONDS) =>
      wait(limitSeconds, `--for=jsonpath={${path}}=${value}`, object),
    value: (object, path) => inside('get', object, `--output=jsonpath={${path}}`),
    ready: async (...pods) => {
      await wait(STEP_LIMIT_SECONDS, '--for=condition=Ready', ...pods.map((pod) => `pod/${pod}`));
      await room.remember();
    },
    shell: (line) => shell(`kubectl() { command "$KUBECTL" --namespace=${namespace} "$@"; }\n${line}`, MANIFESTS),
    exec: (pod, ...argv) => kubectl(['exec', `--namespace=${namespace}`, pod, '--', ...argv]),
    remove: async (...objects) => {
      await inside('delete', ...objects, '--wait=true', `--timeout=${STEP_LIMIT_SECONDS}s`);
    },
    event: async (object, text, limitSeconds = STEP_LIMIT_SECONDS) => {
      const [kind = '', name = ''] = object.split('/');
      const about = `--field-selector=involvedObject.kind=${kind},involvedObject.name=${name}`;
      const look = async (): Promise<true | undefined> => {
        const messages = await inside('get', 'events', about, '--output=jsonpath={.items[*].message}');
        return messages.includes(text) ? true : undefined;
      };
      const found = await waitFor(limitSeconds * 1000, look, LOOK_EVERY_MS);
      expect(found, `an event about ${object} that says '${text}'`).toBe(true);
    },
    remember: async () => {
      for (const handle of await handlesOf(namespace)) handles.add(handle);
    },
  };
  return room;
};

/** Until nothing of these handles is in LVM or device-mapper of any node. */
const nothingLeft = async (handles: ReadonlySet<string>): Promise<void> => {
  const ids = [...handles].map(idOf);
  const ours = (name: string): boolean => ids.some((id) => name.includes(id));
  const left = async () =>
    (await holdings())
      .map(({ node, stores, devices }) => ({ node, stores: stores.filter(ours), devices: devices.filter(ours) }))
      .filter(({ stores, devices }) => stores.length + devices.length > 0);
  const look = async (): Promise<true | undefined> => ((await left()).length === 0 ? true : undefined);
  const gone = await waitFor(END_LIMIT_MS, look, LOOK_IN_NODES_EVERY_MS);
  if (gone !== true) expect(await left()).toEqual([]);
};

/** Called once at the top of a test file. */
export const openRoom = (name: string): Room => {
  const namespace = `e2e-${name}`;
  const handles = new Set<string>();
  const room = roomOf(namespace, handles);
  beforeAll(async () => {
    // What an earlier run left behind, if it was killed.
    await kubectl(['delete', 'namespace', namespace, '--ignore-not-found', '--wait=true']);
    await kubectl(['create', 'namespace', namespace]);
    await kubectl(['wait', '--for=create', 'serviceaccount/default', `--namespace=${namespace}`, '--timeout=60s']);
  }, TEST_LIMIT_MS);
  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') await show(namespace);
  }, TEST_LIMIT_MS);
  afterAll(async () => {
    await room.remember();
    await kubectl(['delete', 'namespace', namespace, '--wait=true', '--timeout=300s']);
    const look = async (): Promise<true | undefined> => ((await handlesOf(namespace)).length === 0 ? true : undefined);
    const apiIsEmpty = await waitFor(END_LIMIT_MS, look, LOOK_EVERY_MS);
    if (apiIsEmpty !== true) expect(await handlesOf(namespace)).toEqual([]);
    await nothingLeft(handles);
  }, 2 * TEST_LIMIT_MS);
  return room;
};
