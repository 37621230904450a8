// The driver is killed: pods go on writing, because their devices need no driver, and what is asked of it meanwhile is
// done once it is back.

import { expect, test } from 'vitest';
import { kubectl } from '../room/cluster.ts';
import { DRIVER_NAMESPACE, driverPods, driversReady } from '../room/driver.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('driver-killed');

test(
  'pods write on while it is away, and a snapshot asked for meanwhile is made when it is back',
  async () => {
    await room.apply('shop.yaml');
    await room.ready('shop');
    // A line a second, each on its disk before the next.
    const writer = 'n=0; while :; do n=$((n+1)); echo $n >>/data/lines; sync; sleep 1; done';
    await room.exec('shop', 'sh', '-c', `(${writer}) >/dev/null 2>&1 &`);
    const node = await room.value('pod/shop', '.spec.nodeName');
    const pod = (await driverPods()).find((one) => one.node === node)?.pod ?? '';
    await kubectl(['delete', 'pod', pod, `--namespace=${DRIVER_NAMESPACE}`, '--grace-period=0', '--force']);
    await room.apply('friday.yaml');
    const count = async (): Promise<number> =>
      Number((await room.exec('shop', 'wc', '-l', '/data/lines')).split(' ')[0]);
    const before = await count();
    await room.field('volumesnapshot/friday', '.status.readyToUse', 'true');
    expect(await count()).toBeGreaterThan(before);
    await driversReady();
    await room.apply('fork.yaml');
    await room.ready('test-a');
    const lines = (await room.exec('test-a', 'cat', '/data/lines')).trim().split('\n').map(Number);
    expect(lines.length).toBeGreaterThanOrEqual(before);
    expect(lines).toEqual(lines.map((_, index) => index + 1));
  },
  TEST_LIMIT_MS,
);
