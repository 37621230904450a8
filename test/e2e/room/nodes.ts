// The power of nodes and of the API, where they are ours to take away.

import { nodeReady } from '../../../tools/cluster/node.ts';
import { guests, kubectl } from './cluster.ts';

const NOTICE_LIMIT_SECONDS = 120;

/** Runs `meanwhile` between a cut and the next boot of a node; resolves when it is ready again. */
export const withoutNode = async (name: string, meanwhile: () => Promise<void>): Promise<void> => {
  const { plane, nodes } = await guests();
  const node = nodes.find((one) => one.name === name);
  if (node === undefined) throw new Error(`Cannot cut node '${name}': there is none of that name`);
  await node.guest.cut();
  try {
    await kubectl(['wait', `node/${name}`, '--for=condition=Ready=Unknown', `--timeout=${NOTICE_LIMIT_SECONDS}s`]);
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
