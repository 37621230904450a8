// The power of nodes and of the API, where they are ours to take away.

import { waitFor } from '../../vm/wait.ts';
import { nodeReady } from '../../../tools/cluster/node.ts';
import { guests, kubectl } from './cluster.ts';

const NOTICE_LIMIT_MS = 120_000;

/** Runs `meanwhile` between a cut and the next boot of a node; resolves when it is ready again. */
export const withoutNode = async (name: string, meanwhile: () => Promise<void>): Promise<void> => {
  const { plane, nodes } = await guests();
  const node = nodes.find((one) => one.name === name);
  if (node === undefined) throw new Error(`Cannot cut node '${name}': there is none of that name`);
  await node.guest.cut();
  try {
    const jsonPath = `--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}`;
    const noticed = await waitFor(NOTICE_LIMIT_MS, async () =>
      (await kubectl(['get', 'node', name, jsonPath])) === 'True' ? undefined : true,
    );
    if (noticed !== true) throw new Error(`Cannot go on: node '${name}' is cut, and the cluster calls it ready`);
    await meanwhile();
  } finally {
    await node.guest.boot();
    await nodeReady(plane, node);
  }
};

/** Runs `meanwhile` while there is no API server. */
export const withoutApi = async (meanwhile: () => Promise<void>): Promise<void> => {
  const { plane } = await guests();
  await plane.stopApi();
  try {
    await meanwhile();
  } finally {
    await plane.startApi();
  }
};
