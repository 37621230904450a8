// A claim waits for its pod, is made where the pod can run, and stays there.

import { expect, test } from 'vitest';
import { kubectl } from '../room/cluster.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('claims');

test(
  'more than any node has is left pending, and the pod says why',
  async () => {
    await room.apply('too-large.yaml');
    await room.event('Pod/too-large', 'did not have enough free storage');
    expect(await room.value('pvc/too-large', '.status.phase')).toBe('Pending');
    await room.remove('pod/too-large', 'pvc/too-large');
  },
  TEST_LIMIT_MS,
);

test(
  'a claim binds when a pod needs it, and the pod writes and reads',
  async () => {
    await room.apply('shop.yaml');
    await room.ready('shop');
    expect(await room.value('pvc/shop', '.status.phase')).toBe('Bound');
    await room.exec('shop', 'sh', '-c', 'echo first >/data/order && sync');
    expect(await room.exec('shop', 'cat', '/data/order')).toBe('first\n');
  },
  TEST_LIMIT_MS,
);

test(
  'its volume stays on its node: a new pod goes there and finds the data',
  async () => {
    const node = await room.value('pod/shop', '.spec.nodeName');
    const volume = await room.value('pvc/shop', '.spec.volumeName');
    const terms = await kubectl(['get', 'persistentvolume', volume, '--output=jsonpath={.spec.nodeAffinity}']);
    expect(terms).toContain(`"${node}"`);
    await room.remove('pod/shop');
    await room.apply('shop.yaml');
    await room.ready('shop');
    expect(await room.value('pod/shop', '.spec.nodeName')).toBe(node);
    expect(await room.exec('shop', 'cat', '/data/order')).toBe('first\n');
  },
  TEST_LIMIT_MS,
);
