// A merge that is disturbed by all that can happen: the driver's pod killed, the driver upgraded, the API away, and the
// node's power cut, each in a merge of its own. The pod on the volume sees the snapshot's contents all the time, and in the
// end the merge is done.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { isGuests, kubectl } from '../room/cluster.ts';
import { DRIVER_NAMESPACE, driverPods, driversReady } from '../room/driver.ts';
import { restoreOf } from '../room/generated.ts';
import { fastMerges, slowMerges } from '../room/merging.ts';
import { withoutApi, withoutNode } from '../room/nodes.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('restore-faults');
const MIB = 96;

const fill = (letter: string): Promise<string> =>
  room.exec('shop', 'sh', '-c', `yes ${letter} | head -c ${MIB * 1024 ** 2} >/data/file; sync; md5sum </data/file`);
/** Past the page cache, as far as a pod can see to that. */
const sum = (): Promise<string> =>
  room.exec('shop', 'sh', '-c', 'sync; echo 1 >/proc/sys/vm/drop_caches 2>/dev/null; md5sum </data/file');

const driverImage = (): Promise<string> =>
  kubectl([
    'get',
    'daemonset/snapmerge',
    `--namespace=${DRIVER_NAMESPACE}`,
    '--output=jsonpath={.spec.template.spec.containers[?(@.name=="driver")].image}',
  ]);
const upgrade = async (image: string): Promise<void> => {
  await kubectl(['set', 'image', 'daemonset/snapmerge', `driver=${image}`, `--namespace=${DRIVER_NAMESPACE}`]);
};

interface Fault {
  readonly name: string;
  readonly strikes: (node: string) => Promise<void>;
}

const FAULTS: readonly Fault[] = [
  {
    name: 'driver-killed',
    strikes: async (node) => {
      const pod = (await driverPods()).find((one) => one.node === node)?.pod ?? '';
      await kubectl(['delete', 'pod', pod, `--namespace=${DRIVER_NAMESPACE}`, '--grace-period=0', '--force']);
    },
  },
  {
    name: 'driver-upgraded',
    strikes: async () => {
      const present = await driverImage();
      await upgrade('localhost/snapmerge:next');
      await driversReady();
      await upgrade(present);
    },
  },
  { name: 'api-away', strikes: () => withoutApi(async () => undefined) },
  {
    name: 'power-cut',
    strikes: async (node) => {
      await withoutNode(node, async () => undefined);
      await room.field('pod/shop', '.status.containerStatuses[0].restartCount', '1');
    },
  },
];

let friday = '';

beforeAll(async () => {
  await room.apply('shop.yaml');
  await room.ready('shop');
  friday = await fill('friday');
  await room.apply('friday.yaml');
  await room.field('volumesnapshot/friday', '.status.readyToUse', 'true');
}, TEST_LIMIT_MS);

afterAll(fastMerges, TEST_LIMIT_MS);

test.runIf(isGuests()).each(FAULTS)(
  'a merge goes on: $name',
  async ({ name, strikes }) => {
    expect(await fill(name)).not.toBe(friday);
    const node = await room.value('pod/shop', '.spec.nodeName');
    const restore = `volumerestore/${name}`;
    await room.remove('pod/shop');
    await slowMerges();
    await room.create(restoreOf(name, 'shop', 'friday'));
    await room.condition(restore, 'Begun');
    await room.apply('shop.yaml');
    await room.ready('shop');
    expect(await sum()).toBe(friday);
    expect(await room.value(restore, '.status.phase')).toBe('Merging');

    await strikes(node);
    await driversReady();
    await room.ready('shop');
    expect(await sum()).toBe(friday);
    await fastMerges();
    await room.condition(restore, 'Complete');
    expect(await sum()).toBe(friday);
  },
  2 * TEST_LIMIT_MS,
);
