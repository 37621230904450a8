// All that can happen to a node and its cluster, each in the middle of a merge: the driver's pod killed, the node's power cut,
// the driver upgraded, and the API away for two minutes. The merge goes on to its end. Beside it another pod writes and
// loses nothing that was synced, a snapshot that is asked for meanwhile is made, and what older forks show stays as it is.

import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEFAULT_REFERENCE } from '../../../tools/image/driver-image.ts';
import { isGuests, kubectl } from '../room/cluster.ts';
import { DRIVER_NAMESPACE, driverPods, driversReady } from '../room/driver.ts';
import { podWithClaims, restoreOf, snapshotsOf } from '../room/generated.ts';
import { blocksOf, fastMerges, overwritten, slowMerges } from '../room/merging.ts';
import { withoutApi, withoutNode } from '../room/nodes.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('in-a-merge');
const BLOCKS = 512;
const AWAY_MS = 120_000;
const LEDGER = { name: 'ledger', size: '64Mi', volumeMode: 'Filesystem' } as const;

const overwrite = (word: string): Promise<string> =>
  room.exec('shop', 'sh', '-c', `${overwritten('/data/file', word, BLOCKS)}; cmp /tmp/new /data/file`);

/** Past the page cache, as far as a pod can see to that. */
const sum = (): Promise<string> =>
  room.exec('shop', 'sh', '-c', 'sync; echo 1 >/proc/sys/vm/drop_caches 2>/dev/null; md5sum </data/file');

/** A line a second, each on its disk before the next: its number, and when it was written. */
async function startWriter(): Promise<void> {
  const from = 'n=$(wc -l 2>/dev/null </data/ledger/lines || echo 0)';
  const loop =
    'while :; do n=$((n+1)); echo $n $(date +%s) >>/data/ledger/lines; sync; echo $n >/tmp/synced; sleep 1; done';
  await room.exec('ledger', 'sh', '-c', `test -e /tmp/synced || (${from}; ${loop}) >/dev/null 2>&1 &`);
  await expect.poll(synced, { timeout: 60_000 }).toBeGreaterThan(0);
}

const synced = async (): Promise<number> =>
  Number(await room.exec('ledger', 'sh', '-c', 'cat /tmp/synced 2>/dev/null || echo 0'));

interface Line {
  readonly number: number;
  readonly second: number;
}

const linesIn = async (pod: string, file: string): Promise<readonly Line[]> =>
  (await room.exec(pod, 'cat', file))
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number))
    .map(([number = 0, second = 0]) => ({ number, second }));

const numbered = (lines: readonly Line[]): void =>
  expect(lines.map(({ number }) => number)).toEqual(lines.map((_, index) => index + 1));

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
  /** Seconds that the writer may stand still. */
  readonly stillSeconds: number;
  readonly strikes: (node: string, ask: () => Promise<void>) => Promise<void>;
}

const FAULTS: readonly Fault[] = [
  {
    name: 'driver-killed',
    stillSeconds: 60,
    strikes: async (node, ask) => {
      const pod = (await driverPods()).find((one) => one.node === node)?.pod ?? '';
      await kubectl(['delete', 'pod', pod, `--namespace=${DRIVER_NAMESPACE}`, '--grace-period=0', '--force']);
      await ask();
    },
  },
  // With one fork there, and not three: what runs on the node is started again, each pod for many seconds of its processor.
  {
    name: 'power-cut',
    stillSeconds: Number.POSITIVE_INFINITY,
    strikes: async (node, ask) => {
      await withoutNode(node, ask);
      for (const pod of ['shop', 'ledger', ...forks.keys()])
        await room.field(`pod/${pod}`, '.status.containerStatuses[0].restartCount', '1');
    },
  },
  {
    name: 'driver-upgraded',
    stillSeconds: 60,
    strikes: async (_, ask) => {
      const next = 'localhost/snapmerge:next';
      const present = await driverImage();
      // On a cluster that is kept, from run to run.
      await upgrade(present === next ? DEFAULT_REFERENCE : next);
      await ask();
    },
  },
  {
    name: 'api-away',
    stillSeconds: AWAY_MS / 1000 / 2,
    strikes: async (_, ask) => {
      const before = await driverPods();
      await ask();
      // Nothing to wait for: the time itself is what is tried.
      await withoutApi(() => pause(AWAY_MS).then(() => undefined));
      expect((await driverPods()).map(({ pod }) => pod).sort()).toEqual(before.map(({ pod }) => pod).sort());
    },
  },
];

let friday = '';
/** The pods on forks so far, each with the lines that were synced when its snapshot was asked for. */
const forks = new Map<string, number>();
/** How many lines each showed when it was looked at first. */
const lookedAt = new Map<string, number>();

async function checkForks(): Promise<void> {
  for (const [fork, least] of forks) {
    await room.ready(fork);
    const lines = await linesIn(fork, `/data/${fork}/lines`);
    numbered(lines);
    expect(lines.length).toBeGreaterThanOrEqual(least);
    expect(lines).toHaveLength(lookedAt.get(fork) ?? lines.length);
    lookedAt.set(fork, lines.length);
  }
}

beforeAll(async () => {
  await room.apply('shop.yaml');
  await room.ready('shop');
  await room.exec('shop', 'sh', '-c', `${blocksOf('friday', BLOCKS)} >/data/file`);
  friday = await sum();
  await room.apply('friday.yaml');
  await room.field('volumesnapshot/friday', '.status.readyToUse', 'true');
  await room.create(podWithClaims('ledger', await room.value('pod/shop', '.spec.nodeName'), [LEDGER]));
  await room.ready('ledger');
}, TEST_LIMIT_MS);

afterAll(fastMerges, TEST_LIMIT_MS);

test.runIf(isGuests()).each(FAULTS)(
  '$name',
  async ({ name, stillSeconds, strikes }) => {
    await overwrite(name);
    expect(await sum()).not.toBe(friday);
    await startWriter();
    await checkForks();
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

    const last = await synced();
    await strikes(node, () => room.create(snapshotsOf([LEDGER.name]).replaceAll('ledger-snapshot', `ledger-${name}`)));
    await driversReady();
    await room.ready('shop', 'ledger');
    expect(await sum()).toBe(friday);
    await room.field(`volumesnapshot/ledger-${name}`, '.status.readyToUse', 'true');
    const lines = await linesIn('ledger', '/data/ledger/lines');
    numbered(lines);
    expect(lines.length).toBeGreaterThanOrEqual(last);
    const struck = lines.slice(last);
    const longest = Math.max(0, ...struck.slice(1).map(({ second }, at) => second - (struck[at]?.second ?? 0)));
    expect(longest).toBeLessThan(stillSeconds);

    await checkForks();
    const fork = `fork-${name}`;
    await room.create(podWithClaims(fork, node, [{ ...LEDGER, name: fork, snapshot: `ledger-${name}` }]));
    // Its pod becomes ready meanwhile.
    forks.set(fork, last);

    await fastMerges();
    await room.condition(restore, 'Complete');
    expect(await sum()).toBe(friday);
  },
  3 * TEST_LIMIT_MS,
);

test.runIf(isGuests())('and all forks show what was snapshotted', checkForks, TEST_LIMIT_MS);
