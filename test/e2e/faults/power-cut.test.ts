// A node loses power under load: its pods come back with all that they had synced, and its snapshots and forks with all
// that they show.

import { expect, test } from 'vitest';
import { isGuests } from '../room/cluster.ts';
import { driversReady } from '../room/driver.ts';
import { withoutNode } from '../room/nodes.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('power-cut');

test.runIf(isGuests())(
  'volume, snapshot and fork are there again, and nothing that was synced is lost',
  async () => {
    await room.apply('shop.yaml');
    await room.ready('shop');
    await room.exec('shop', 'sh', '-c', 'echo friday >/data/order && sync');
    await room.apply('friday.yaml', 'fork.yaml');
    await room.ready('test-a');
    const node = await room.value('pod/shop', '.spec.nodeName');
    const writer = 'n=0; while :; do n=$((n+1)); echo $n >>/data/lines; sync; echo $n >/tmp/synced; done';
    await room.exec('shop', 'sh', '-c', `echo saturday >/data/order; sync; (${writer}) >/dev/null 2>&1 &`);
    const synced = async (): Promise<number> =>
      Number(await room.exec('shop', 'sh', '-c', 'cat /tmp/synced || echo 0'));
    await expect.poll(synced, { timeout: 60_000 }).toBeGreaterThan(5);
    const last = await synced();

    await withoutNode(node, () => Promise.resolve());
    await driversReady();
    const restarts = '.status.containerStatuses[0].restartCount';
    await room.field('pod/shop', restarts, '1');
    await room.field('pod/test-a', restarts, '1');
    await room.ready('shop', 'test-a');

    expect(await room.exec('shop', 'cat', '/data/order')).toBe('saturday\n');
    const lines = (await room.exec('shop', 'cat', '/data/lines')).trim().split('\n').map(Number);
    expect(lines.length).toBeGreaterThanOrEqual(last);
    expect(lines.slice(0, last)).toEqual(Array.from({ length: last }, (_, index) => index + 1));
    expect(await room.exec('test-a', 'cat', '/data/order')).toBe('friday\n');
    await room.apply('larger-fork.yaml');
    await room.ready('larger');
    expect(await room.exec('larger', 'cat', '/data/order')).toBe('friday\n');
  },
  2 * TEST_LIMIT_MS,
);
