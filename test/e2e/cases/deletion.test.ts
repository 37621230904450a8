// Deleting in the order that people do not plan: snapshots and forks before and after their volumes, and a whole namespace
// at once. That nothing of it is left on any node is what the end of every room looks at.

import { expect, test } from 'vitest';
import { kubectl } from '../room/cluster.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('deletion');

test(
  'forks and snapshots first, then the volume',
  async () => {
    await room.apply('shop.yaml');
    await room.ready('shop');
    await room.exec('shop', 'sh', '-c', 'echo kept >/data/order && sync');
    await room.apply('friday.yaml', 'fork.yaml');
    await room.ready('test-a');
    await room.remove('pod/test-a', 'pvc/test-a');
    await room.remove('volumesnapshot/friday');
    expect(await room.exec('shop', 'cat', '/data/order')).toBe('kept\n');
    await room.remove('pod/shop', 'pvc/shop');
  },
  TEST_LIMIT_MS,
);

test(
  'a namespace with all of it in use goes, and nothing holds it up',
  async () => {
    await room.apply('shop.yaml');
    await room.ready('shop');
    await room.apply('friday.yaml', 'fork.yaml', 'clone.yaml');
    await room.ready('test-a', 'copy');
    await kubectl(['delete', 'namespace', room.namespace, '--wait=true', '--timeout=300s']);
    await kubectl(['create', 'namespace', room.namespace]);
    expect(await room.value('pvc', '.items')).toBe('[]');
  },
  TEST_LIMIT_MS,
);
