// A node that is gone for good: what it had noted can be deleted once an operator has taken the node out of the cluster, and
// not before, because a node that comes back would still do it.

import { expect, test } from 'vitest';
import { isGuests, kubectl } from '../room/cluster.ts';
import { byNode, driverPods, driversReady } from '../room/driver.ts';
import { podWithClaims } from '../room/generated.ts';
import { withoutNode } from '../room/nodes.ts';
import { openRoom, STEP_LIMIT_SECONDS, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('node-gone');
const RESTORE = 'volumerestore/friday-at-next-start';

test.runIf(isGuests())(
  'its restores can be deleted',
  async () => {
    const node = (await driverPods()).toSorted(byNode).at(-1)?.node ?? '';
    await room.create(podWithClaims('shop', node, [{ name: 'shop', size: '64Mi', volumeMode: 'Filesystem' }]));
    await room.ready('shop');
    await room.apply('friday.yaml');
    await room.field('volumesnapshot/friday', '.status.readyToUse', 'true');
    await room.apply('restore-on-activate.yaml');
    await room.field(RESTORE, '.status.reason', 'WaitsForActivation');
    await withoutNode(node, async () => {
      await room.kubectl('delete', RESTORE, '--wait=false');
      expect(await room.value(RESTORE, '.metadata.finalizers[0]')).toBe('snapmerge.io/restore');
      await kubectl(['delete', 'node', node]);
      await room.kubectl('wait', '--for=delete', RESTORE, `--timeout=${STEP_LIMIT_SECONDS}s`);
    });
    await driversReady();
  },
  3 * TEST_LIMIT_MS,
);
