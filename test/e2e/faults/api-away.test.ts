// The API server goes away for two minutes: pods on volumes do not notice, and what was asked for before and after is done.

import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { guests, isGuests } from '../room/cluster.ts';
import { driverPods, driversReady } from '../room/driver.ts';
import { withoutApi } from '../room/nodes.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('api-away');
const AWAY_MS = 120_000;

test.runIf(isGuests())(
  'pods write on, and a snapshot asked for just before is made',
  async () => {
    await room.apply('shop.yaml');
    await room.ready('shop');
    const writer = 'while :; do date +%s >>/data/lines; sync; sleep 1; done';
    await room.exec('shop', 'sh', '-c', `(${writer}) >/dev/null 2>&1 &`);
    const before = await driverPods();
    await room.apply('friday.yaml');
    // Nothing to wait for: the time itself is what is tried.
    await withoutApi(() => pause(AWAY_MS).then(() => undefined));

    await room.field('volumesnapshot/friday', '.status.readyToUse', 'true');
    await driversReady();
    expect((await driverPods()).map(({ pod }) => pod).sort()).toEqual(before.map(({ pod }) => pod).sort());
    const seconds = (await room.exec('shop', 'cat', '/data/lines')).trim().split('\n').map(Number);
    const longest = Math.max(...seconds.slice(1).map((second, index) => second - (seconds[index] ?? 0)));
    expect(longest).toBeLessThan(AWAY_MS / 1000 / 2);
    await room.apply('fork.yaml');
    await room.ready('test-a');
    const { nodes } = await guests();
    expect(nodes.every(({ guest }) => guest.isRunning())).toBe(true);
  },
  2 * TEST_LIMIT_MS,
);
