// A whole cluster: control plane, nodes, and the images that its pods are made of. It outlives the process that starts it,
// because tests cut the power of a node in one process and look at it in another; whoever starts one removes it.

import { readFile, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { chooseBed, qemuUnlessAsked } from '../../vm/bed.ts';
import { openGuest, removeGuest } from '../../vm/guest.ts';
import { runningGuests } from '../../vm/state.ts';
import { clusterBinaries } from './binaries.ts';
import {
  API_PORT,
  API_SERVICE_ADDRESS,
  clusterDir,
  openControlPlane,
  removeControlPlane,
  startControlPlane,
} from './control-plane.ts';
import type { ControlPlane } from './control-plane.ts';
import { basicImages } from './images.ts';
import type { ClusterImage } from './images.ts';
import { nodeGuestName, nodeName, nodeReady, startNode } from './node.ts';
import type { ClusterNode } from './node.ts';
import { nodeDisk } from './node-disk.ts';

export interface ClusterOptions {
  readonly name: string;
  /** 1 to 3. */
  readonly nodes: number;
  /** Beside the sidecars and busybox. */
  readonly images: readonly ClusterImage[];
  readonly volumeGroup: string | undefined;
}

export interface Cluster {
  readonly plane: ControlPlane;
  /** `worker-1` and so on. */
  readonly nodes: readonly ClusterNode[];
}

/** Of each of two: small, so that a pool can be filled in a test. */
const DISK_SIZE_BYTES = 3 * 1024 ** 3;
const MEMORY_MIB = 2048;
/** One each: with two, the emulator now and then loses the timer of one when the machine is busy. */
const CPUS = 1;
/** How many nodes there are. */
const COUNT = 'nodes';
const MAX_NODES = 3;

const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);

export const startCluster = async ({ name, nodes: count, images, volumeGroup }: ClusterOptions): Promise<Cluster> => {
  const binaries = await clusterBinaries();
  const disk = await nodeDisk(binaries, [...(await basicImages(binaries)), ...images]);
  await removeCluster(name);
  const detached = true;
  const plane = await startControlPlane({ name, controllers: true, detached, nodes: numbers(count).map(nodeName) });
  await writeFile(join(plane.dir, COUNT), String(count));
  // The faults strike in the middle of merges, and on User Mode Linux a merge cannot be slowed.
  const bed = (await chooseBed(qemuUnlessAsked())).kind;
  // Where nodes are in the network itself, the API has the address of its service there.
  if (bed === 'uml') await plane.network.serveAt('api-service', API_SERVICE_ADDRESS, 443, API_PORT);
  const shape = { bed, disk, volumeGroup, detached, diskSizeBytes: DISK_SIZE_BYTES, memoryMiB: MEMORY_MIB, cpus: CPUS };
  const nodes = await Promise.all(numbers(count).map((number) => startNode(plane, { ...shape, number })));
  await Promise.all(nodes.map((node) => nodeReady(plane, node)));
  return { plane, nodes };
};

export const clusterRuns = (name: string): boolean => existsSync(join(clusterDir(name), COUNT));

/** One that another process started; all of its nodes must be running. */
export const openCluster = async (name: string): Promise<Cluster> => {
  const plane = await openControlPlane(name);
  const count = Number(await readFile(join(plane.dir, COUNT), 'utf8'));
  const nodes = numbers(count).map(async (number) => ({
    name: nodeName(number),
    guest: await openGuest(nodeGuestName(name, number)),
  }));
  return { plane, nodes: await Promise.all(nodes) };
};

/** Ends everything of a cluster at once, whatever of it is there. */
export const removeCluster = async (name: string): Promise<void> => {
  const running = await runningGuests();
  for (const guestName of numbers(MAX_NODES).map((number) => nodeGuestName(name, number))) {
    if (running.includes(guestName)) await (await openGuest(guestName)).cut();
    await removeGuest(guestName);
  }
  await removeControlPlane(name);
};
