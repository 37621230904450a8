// A node: a guest with kubelet and containerd, registered with a control plane. It reaches nothing but the API, under the
// address of its service, and the API reaches its kubelet, for logs and exec.

import { readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startGuest } from '../../vm/guest.ts';
import type { Guest, GuestOptions } from '../../vm/guest.ts';
import { freePort } from '../../vm/ports.ts';
import type { BedKind } from '../../vm/state.ts';
import { waitFor } from '../../vm/wait.ts';
import { ToolError } from '../fault.ts';
import { step } from '../progress.ts';
import { tar } from '../tar.ts';
import { API_SERVICE_ADDRESS } from './control-plane.ts';
import type { ControlPlane } from './control-plane.ts';

export interface NodeOptions {
  /** Which of the cluster's nodes: the first is 1. */
  readonly number: number;
  readonly bed: BedKind;
  /** What `nodeDisk` made. */
  readonly disk: string;
  /** The volume group that the operator has made on the pool disks, or none. */
  readonly volumeGroup: string | undefined;
  readonly diskSizeBytes: number;
  readonly memoryMiB: number;
  readonly cpus: number;
  readonly detached: boolean;
}

export interface ClusterNode {
  readonly name: string;
  readonly guest: Guest;
}

const FILES_DIR = join(import.meta.dirname, 'node');
const KUBELET_PORT = 10250;
const READY_LIMIT_MS = 300_000;
/** Each look is a process, on the machine that the node is emulated on. */
const LOOK_EVERY_MS = 1_000;
const LOG_LINES = '40';

export const nodeName = (number: number): string => `worker-${number}`;
/** Guests of all clusters of a machine have names of their own. */
export const nodeGuestName = (cluster: string, number: number): string => `${cluster}-${nodeName(number)}`;
const addressOf = (number: number): string => `10.0.2.${14 + number}`;

/** Where the files of `node/` go; the rest goes into the folder of settings. */
const PLACES: Readonly<Record<string, string>> = {
  'guest-start.sh': 'usr/local/sbin/guest-start',
  'node-daemon.sh': 'usr/local/sbin/node-daemon',
};

const POD_ADDRESSES = 34;
const podAddresses = (number: number): readonly string[] =>
  Array.from({ length: POD_ADDRESSES }, (_, index) => `10.0.2.${100 + 40 * number + index}`);

/** Pods have addresses of the node's own network and the node answers for them, so nothing needs to be translated. */
const podNetwork = (number: number): string => {
  const [rangeStart, rangeEnd] = [podAddresses(number).at(0), podAddresses(number).at(-1)];
  const gateway = `10.0.2.${100 + 40 * number + POD_ADDRESSES}`;
  const ranges = [[{ subnet: '10.0.2.0/24', rangeStart, rangeEnd, gateway }]];
  const ipam = { type: 'host-local', dataDir: '/run/cni', ranges, routes: [{ dst: '0.0.0.0/0' }] };
  return JSON.stringify({ cniVersion: '1.0.0', name: 'pods', plugins: [{ type: 'ptp', ipam }] });
};

const settingsTar = async (plane: ControlPlane, { number, volumeGroup }: NodeOptions): Promise<string> => {
  const name = nodeName(number);
  const files = await Promise.all(
    (await readdir(FILES_DIR)).toSorted().map(async (file) => ({
      path: PLACES[file] ?? `etc/snapmerge-node/${file}`,
      content: await readFile(join(FILES_DIR, file)),
      executable: file.endsWith('.sh'),
    })),
  );
  const settings = `NAME=${name}\nADDRESS=${addressOf(number)}\nPOOL=${volumeGroup ?? 'none'}\n`;
  const kubeconfig = await plane.kubeconfig(`system:node:${name}`, `https://${API_SERVICE_ADDRESS}`);
  const path = join(plane.dir, `${name}.tar`);
  await writeFile(
    path,
    tar([
      ...files,
      { path: 'etc/snapmerge-node/settings', content: settings },
      { path: 'etc/snapmerge-node/kubeconfig', content: kubeconfig },
      { path: 'etc/snapmerge-node/cni/10-pods.conflist', content: podNetwork(number) },
    ]),
    { mode: 0o600 },
  );
  return path;
};

/** How a node and the control plane reach each other: QEMU leads single ports, User Mode Linux joins the network itself. */
const connection = async (
  { dir, network }: ControlPlane,
  { number, bed }: NodeOptions,
): Promise<Pick<GuestOptions, 'forwards' | 'network'>> => {
  const address = addressOf(number);
  if (bed === 'uml') {
    const behind = podAddresses(number);
    return { network: { namespace: network.namespace, tap: `tap${number}`, behind } };
  }
  const port = await freePort();
  await network.addAddress(address);
  await network.leadOut(`kubelet-${number}`, address, KUBELET_PORT, port);
  return {
    forwards: [
      `hostfwd=tcp:127.0.0.1:${port}-${address}:${KUBELET_PORT}`,
      `guestfwd=tcp:${API_SERVICE_ADDRESS}:443-cmd:socat - UNIX-CONNECT:${join(dir, 'api.sock')}`,
    ],
  };
};

/** Boots a node; it may not be ready yet. */
export const startNode = async (plane: ControlPlane, options: NodeOptions): Promise<ClusterNode> => {
  const name = nodeName(options.number);
  const guest = await startGuest({
    name: nodeGuestName(plane.name, options.number),
    disks: 2,
    diskSizeBytes: options.diskSizeBytes,
    memoryMiB: options.memoryMiB,
    cpus: options.cpus,
    detached: options.detached,
    bed: options.bed,
    address: addressOf(options.number),
    ...(await connection(plane, options)),
    data: options.disk,
    tars: [await settingsTar(plane, options)],
  });
  return { name, guest };
};

/** Until the kubelet says that it can run pods; with its log when it does not. */
export const nodeReady = (plane: ControlPlane, { name, guest }: ClusterNode): Promise<void> =>
  step(`waiting for node '${name}'`, async () => {
    const jsonPath = `jsonpath={.status.conditions[?(@.type=="Ready")].status}`;
    const look = async (): Promise<true | undefined> => {
      const status = await plane.kubectl(['get', 'node', name, '--output', jsonPath, '--ignore-not-found']);
      return status === 'True' ? true : undefined;
    };
    const ready = await waitFor(READY_LIMIT_MS, look, LOOK_EVERY_MS);
    if (ready === true) return;
    const { stdout } = await guest.exec(['tail', '-n', LOG_LINES, '/var/log/kubelet.log', '/var/log/containerd.log']);
    throw new ToolError(`Cannot use node '${name}': it is not ready\n${Buffer.from(stdout).toString()}`);
  });
