// What docs/benchmarks.md says of the cluster: ratios within one run, because a machine that emulates its nodes has no times
// of its own. Not part of a test run: `./dev e2e --keep measure`.

import { expect, test } from 'vitest';
import { guests, kubectl } from '../room/cluster.ts';
import { DRIVER_NAMESPACE, driverPods } from '../room/driver.ts';
import { podWithClaims, restoreOf, snapshotsOf } from '../room/generated.ts';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('measure');
const ROUNDS = 3;
const PARALLEL = 30;
const IDLE_MS = 60_000;

const secondsOf = async (work: () => Promise<void>): Promise<number> => {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1000;
};

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
const report = (line: string): void => void process.stdout.write(`measure: ${line}\n`);

const hostPathPod = (name: string, node: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name },
    spec: {
      terminationGracePeriodSeconds: 1,
      nodeSelector: { 'kubernetes.io/hostname': node },
      containers: [
        {
          name: 'main',
          image: 'busybox:1.37',
          command: ['sleep', '86400'],
          volumeMounts: [{ name: 'data', mountPath: '/data' }],
        },
      ],
      volumes: [{ name: 'data', hostPath: { path: `/var/tmp/${name}`, type: 'DirectoryOrCreate' } }],
    },
  });

test(
  'from a claim to a running pod, from a snapshot to ready',
  async () => {
    const [{ node } = { node: '' }] = await driverPods();
    const plain: number[] = [];
    const claimed: number[] = [];
    const snapshots: number[] = [];
    for (let round = 0; round < ROUNDS; round += 1) {
      const claim = { name: `claim-${round}`, size: '64Mi', volumeMode: 'Filesystem' as const };
      plain.push(
        await secondsOf(async () => {
          await room.create(hostPathPod(`plain-${round}`, node));
          await room.ready(`plain-${round}`);
        }),
      );
      claimed.push(
        await secondsOf(async () => {
          await room.create(podWithClaims(`claimed-${round}`, node, [claim]));
          await room.ready(`claimed-${round}`);
        }),
      );
      snapshots.push(
        await secondsOf(async () => {
          await room.create(snapshotsOf([claim.name]));
          await room.field(`volumesnapshot/${claim.name}-snapshot`, '.status.readyToUse', 'true');
        }),
      );
      await room.kubectl('delete', 'pod', '--all', '--timeout=300s');
    }
    report(`seconds: pod on hostPath ${plain.map((s) => s.toFixed(1)).join(' ')}`);
    report(`seconds: claim to running pod ${claimed.map((s) => s.toFixed(1)).join(' ')}`);
    report(`seconds: snapshot to ready ${snapshots.map((s) => s.toFixed(1)).join(' ')}`);
    report(`claim to running pod, against hostPath: ${(median(claimed) / median(plain)).toFixed(2)}`);
    report(`snapshot to ready, against a pod on hostPath: ${(median(snapshots) / median(plain)).toFixed(2)}`);
    expect(median(plain)).toBeGreaterThan(0);
  },
  6 * TEST_LIMIT_MS,
);

const SIZE = '1Gi';
const DATA_MIB = 384;

/** A pod that first copies all that a fork of the snapshot has into a claim of its own, then runs. */
const copyingPod = (name: string, node: string, snapshot: string): string =>
  podWithClaims(
    name,
    node,
    [
      { name: `${name}-from`, size: SIZE, volumeMode: 'Filesystem', snapshot },
      { name: `${name}-to`, size: SIZE, volumeMode: 'Filesystem' },
    ],
    ['sh', '-c', `cp -a /data/${name}-from/. /data/${name}-to/ && sync`],
  );

test(
  'from a restore to a pod on restored data, against a claim with a full copy',
  async () => {
    const [{ node } = { node: '' }] = await driverPods();
    const restored: number[] = [];
    const merged: number[] = [];
    const copied: number[] = [];
    const [claim, snapshot] = ['shop', 'shop-snapshot'];
    const pod = podWithClaims('shop', node, [{ name: claim, size: SIZE, volumeMode: 'Filesystem' }]);
    const fill = (letter: string): Promise<string> =>
      room.exec(
        'shop',
        'sh',
        '-c',
        `yes ${letter} | head -c ${DATA_MIB * 1024 ** 2} >/data/shop/file; sync; md5sum </data/shop/file`,
      );
    const sum = (name: string, path: string): Promise<string> => room.exec(name, 'sh', '-c', `md5sum <${path}`);
    await room.create(pod);
    await room.ready('shop');
    const friday = await fill('friday');
    await room.create(snapshotsOf([claim]));
    await room.field(`volumesnapshot/${snapshot}`, '.status.readyToUse', 'true');
    for (let round = 0; round < ROUNDS; round += 1) {
      const restore = `back-${round}`;
      expect(await fill(`round-${round}`)).not.toBe(friday);
      await room.remove('pod/shop');
      const startMs = performance.now();
      restored.push(
        await secondsOf(async () => {
          await room.create(restoreOf(restore, claim, snapshot));
          await room.condition(`volumerestore/${restore}`, 'Begun');
          await room.create(pod);
          await room.ready('shop');
        }),
      );
      await room.condition(`volumerestore/${restore}`, 'Complete', 900);
      merged.push((performance.now() - startMs) / 1000);
      expect(await sum('shop', '/data/shop/file')).toBe(friday);

      const copy = `copy-${round}`;
      copied.push(
        await secondsOf(async () => {
          await room.create(copyingPod(copy, node, snapshot));
          await room.condition(`pod/${copy}`, 'Ready', 900);
        }),
      );
      await room.remember();
      expect(await sum(copy, `/data/${copy}-to/file`)).toBe(friday);
      await room.remove(`pod/${copy}`, `pvc/${copy}-from`, `pvc/${copy}-to`);
    }
    const told = (values: readonly number[]): string => values.map((s) => s.toFixed(1)).join(' ');
    report(`${DATA_MIB} MiB changed, seconds: restore to pod on restored data ${told(restored)}`);
    report(`${DATA_MIB} MiB changed, seconds: until the merge was complete ${told(merged)}`);
    report(`${DATA_MIB} MiB, seconds: snapshot to pod on a full copy ${told(copied)}`);
    report(`restore to pod, against a full copy: ${(median(restored) / median(copied)).toFixed(2)}`);
  },
  6 * TEST_LIMIT_MS,
);

interface Usage {
  readonly cpuSeconds: number;
  readonly memoryMiB: number;
}

/** Of a whole pod of the driver, as its control group counts. */
const usageOf = async (pod: string, node: string): Promise<Usage> => {
  const uid = await kubectl([
    'get',
    'pod',
    pod,
    `--namespace=${DRIVER_NAMESPACE}`,
    '--output=jsonpath={.metadata.uid}',
  ]);
  const { nodes } = await guests();
  const guest = nodes.find(({ name }) => name === node)?.guest;
  if (guest === undefined) throw new Error(`Cannot measure: there is no node '${node}'`);
  const script =
    'cd /sys/fs/cgroup && cd "$(find kubepods -type d -name "*pod$1" | head -n 1)" && cat cpu.stat memory.stat';
  const text = await guest.output(['sh', '-c', script, 'sh', uid]);
  const field = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]);
  return { cpuSeconds: field('usage_usec') / 1e6, memoryMiB: field('anon') / 1024 ** 2 };
};

test(
  'what the DaemonSet takes, idle and with thirty operations at once',
  async () => {
    const [{ node, pod } = { node: '', pod: '' }] = await driverPods();
    const during = async (work: () => Promise<void>) => {
      const before = await usageOf(pod, node);
      const seconds = await secondsOf(work);
      const after = await usageOf(pod, node);
      return { share: (after.cpuSeconds - before.cpuSeconds) / seconds, seconds, memoryMiB: after.memoryMiB };
    };
    const idle = await during(() => new Promise((resolve) => setTimeout(resolve, IDLE_MS)));
    const claims = Array.from({ length: PARALLEL }, (_, index) => ({
      name: `many-${index}`,
      size: '16Mi',
      volumeMode: 'Filesystem' as const,
    }));
    const busy = await during(async () => {
      await room.create(podWithClaims('many', node, claims));
      await room.condition('pod/many', 'Ready', 1800);
    });
    await room.remember();
    for (const [name, { share, seconds, memoryMiB }] of Object.entries({ idle, busy })) {
      report(
        `${name}: ${(share * 100).toFixed(1)} % of a processor over ${seconds.toFixed(0)} s, ${memoryMiB.toFixed(0)} MiB`,
      );
    }
    expect(busy.share).toBeGreaterThan(idle.share);
  },
  6 * TEST_LIMIT_MS,
);
