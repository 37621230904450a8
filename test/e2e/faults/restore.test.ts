// A merge that is disturbed by all that can happen: the driver's pod killed, the driver upgraded, the API away, and the
// node's power cut. The pod on the volume sees the snapshot's contents all the time, and in the end the merge is done.

import { expect, test } from 'vitest';
import { isGuests, kubectl } from '../room/cluster.ts';
import { DRIVER_NAMESPACE, driverPods, driversReady } from '../room/driver.ts';
import { fastMerges, slowMerges } from '../room/merging.ts';
import { withoutApi, withoutNode } from '../room/nodes.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('restore-faults');
const RESTORE = 'volumerestore/back-to-friday';
const MIB = 96;

const fill = (letter: string): Promise<string> =>
  room.exec('shop', 'sh', '-c', `yes ${letter} | head -c ${MIB * 1024 ** 2} >/data/file; sync; md5sum </data/file`);
/** Past the page cache, as far as a pod can see to that. */
const sum = (): Promise<string> =>
  room.exec('shop', 'sh', '-c', 'sync; echo 1 >/proc/sys/vm/drop_caches 2>/dev/null; md5sum </data/file');

test.runIf(isGuests())(
  'a merge goes on, whatever happens',
  async () => {
    await room.apply('shop.yaml');
    await room.ready('shop');
    const friday = await fill('friday');
    await room.apply('friday.yaml');
    await room.field('volumesnapshot/friday', '.status.readyToUse', 'true');
    expect(await fill('monday')).not.toBe(friday);
    const node = await room.value('pod/shop', '.spec.nodeName');
    await room.remove('pod/shop');
    await slowMerges();
    await room.apply('restore-friday.yaml');
    await room.condition(RESTORE, 'Begun');
    await room.apply('shop.yaml');
    await room.ready('shop');
    expect(await sum()).toBe(friday);
    const merging = async (): Promise<void> => {
      expect(await room.value(RESTORE, '.status.phase')).toBe('Merging');
    };
    await merging();

    const pod = (await driverPods()).find((one) => one.node === node)?.pod ?? '';
    await kubectl(['delete', 'pod', pod, `--namespace=${DRIVER_NAMESPACE}`, '--grace-period=0', '--force']);
    await driversReady();
    await merging();

    const image = (name: string): Promise<string> =>
      kubectl(['set', 'image', 'daemonset/snapmerge', `driver=${name}`, `--namespace=${DRIVER_NAMESPACE}`]);
    const present = await kubectl([
      'get',
      'daemonset/snapmerge',
      `--namespace=${DRIVER_NAMESPACE}`,
      '--output=jsonpath={.spec.template.spec.containers[?(@.name=="driver")].image}',
    ]);
    await image('localhost/snapmerge:next');
    await driversReady();
    await merging();
    expect(await sum()).toBe(friday);

    await withoutApi(async () => undefined);
    await driversReady();
    await merging();

    await withoutNode(node, async () => undefined);
    await driversReady();
    await room.ready('shop');
    expect(await sum()).toBe(friday);
    await fastMerges();
    await room.condition(RESTORE, 'Complete');
    expect(await sum()).toBe(friday);
    await image(present);
    await driversReady();
  },
  4 * TEST_LIMIT_MS,
);
