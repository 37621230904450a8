// Runs in a guest, as one program with the driver: every operation of the driver once, one after the other, through its socket,
// and what each costs into a file.
//
//   COSTS=FILE node operations.mjs DISK...

import { mkdir, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { localExec, output } from '../../../src/system/exec.ts';
import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../../../vm/wait.ts';
import type { Caller } from '../caller.ts';
import { createCaller } from '../caller.ts';
import { capabilityOf, createWorkload, stagingOf, targetOf } from '../workload.ts';
import type { Workload } from '../workload.ts';
import { createCounter } from './counting.ts';
import type { Operation } from './costs.ts';
import { METRICS, SOCKET, createStoppedClock, startDriver } from './driver.ts';
import type { Driver } from './driver.ts';

const VG = 'pool';
const MIB = 64;
const GROWN_MIB = 96;
const BYTES_PER_MIB = 1024 ** 2;
const MERGE_LIMIT_MS = 300_000;
/** Without them the kernel writes inode tables after a first mount, and the journal every five seconds, whenever that falls. */
const QUIET = { flags: ['noinit_itable', 'commit=300', 'noatime'] } as const;
const RAW = { access: 'block' } as const;

const [, , ...disks] = process.argv;
const run = async (...[file, ...args]: readonly [string, ...string[]]): Promise<string> =>
  output(localExec, [file, ...args]);

const clock = createStoppedClock();
const counter = await createCounter(
  VG,
  disks.map((disk) => basename(disk)),
);
const operations: Operation[] = [];
let driver: Driver | undefined;
const csi: Caller = createCaller(SOCKET);
const w: Workload = createWorkload({ output: ([file = '', ...args]) => run(file, ...args) }, csi);

async function mergesUnderWay(): Promise<boolean> {
  const status = await run('dmsetup', 'status', '--noflush', '--target', 'snapshot-merge');
  return [...status.matchAll(/ snapshot-merge (\d+)\/\d+ (\d+)$/gm)].some(([, used, metadata]) => used !== metadata);
}

const hasMerges = async (): Promise<boolean> =>
  (await run('dmsetup', 'table', '--target', 'snapshot-merge')).includes(' snapshot-merge ');

/** All that the driver does by itself, until nothing merges any more. Of the looks at a merge the one that finds it finished. */
async function goOn(): Promise<void> {
  await driver?.engine.settle();
  while (await hasMerges()) {
    const merged = await waitFor(
      MERGE_LIMIT_MS,
      async () => ((await mergesUnderWay()) ? undefined : true),
      LOOK_IN_GUEST_EVERY_MS,
    );
    if (merged !== true) throw new Error('Cannot wait any longer for a merge');
    await driver?.engine.look();
    await driver?.engine.settle();
  }
}

async function cost<T>(name: string, work: () => Promise<T>): Promise<T> {
  const results: T[] = [];
  clock.pass();
  const counted = await counter.count(async () => void results.push(await work()), goOn);
  operations.push({ operation: name, ...counted });
  const [result] = results;
  if (result === undefined) throw new Error(`'${name}' has no result`);
  return result;
}

/** Not counted. */
async function free<T>(work: () => Promise<T>): Promise<T> {
  clock.pass();
  const result = await work();
  await goOn();
  return result;
}

const start = async (): Promise<true> => {
  driver = await startDriver(VG, counter.exec, clock);
  return true;
};
const done = async (work: () => Promise<unknown>): Promise<true> => {
  await work();
  return true;
};

async function stage(id: string): Promise<void> {
  await mkdir(stagingOf(id), { recursive: true });
  await csi.tell('NodeStageVolume', {
    volume_id: id,
    staging_target_path: stagingOf(id),
    volume_capability: capabilityOf(QUIET),
  });
}
const publish = (id: string): Promise<void> =>
  csi.tell('NodePublishVolume', {
    volume_id: id,
    staging_target_path: stagingOf(id),
    target_path: targetOf(id),
    volume_capability: capabilityOf(QUIET),
    readonly: false,
  });
const unpublish = (id: string): Promise<void> =>
  csi.tell('NodeUnpublishVolume', { volume_id: id, target_path: targetOf(id) });
const unstage = (id: string): Promise<void> =>
  csi.tell('NodeUnstageVolume', { volume_id: id, staging_target_path: stagingOf(id) });
const deleteSnapshot = (snapshot_id: string): Promise<void> => csi.tell('DeleteSnapshot', { snapshot_id });
const write = async (id: string): Promise<void> => {
  await w.random(`${targetOf(id)}/data`, 2);
};

async function tell(): Promise<void> {
  await cost('driver, over an empty pool', start);
  const shop = await cost('CreateVolume', () => w.volume('shop', { mib: MIB }));
  await cost('NodeStageVolume, the first', () => done(() => stage(shop)));
  await cost('NodePublishVolume', () => done(() => publish(shop)));
  await cost('NodeGetVolumeStats', () =>
    done(() => csi.tell('NodeGetVolumeStats', { volume_id: shop, volume_path: targetOf(shop) })),
  );
  await cost('NodeUnpublishVolume', () => done(() => unpublish(shop)));
  await cost('NodeUnstageVolume', () => done(() => unstage(shop)));
  await cost('NodeStageVolume, later', () => done(() => stage(shop)));
  await free(() => publish(shop));

  const snapshots: string[] = [];
  const ordinals = new Map([
    [1, 'the first'],
    [2, 'the second'],
    [10, 'the tenth'],
  ]);
  for (let count = 1; count <= 10; count += 1) {
    await write(shop);
    const which = ordinals.get(count);
    const take = (): Promise<string> => w.snapshot(`s${count}`, shop);
    snapshots.push(await (which === undefined ? free(take) : cost(`CreateSnapshot, ${which}`, take)));
  }
  await write(shop);
  const newest = snapshots.at(-1) ?? '';
  const fork = await cost('CreateVolume, a fork', () => w.volume('fork', { mib: MIB, snapshot: newest }));
  await cost('NodeStageVolume, a fork', () => done(() => stage(fork)));
  const clone = await cost('CreateVolume, a clone', () => w.volume('clone', { mib: MIB, volume: shop }));
  await cost('NodeExpandVolume', () =>
    done(() =>
      csi.tell('NodeExpandVolume', {
        volume_id: shop,
        volume_path: targetOf(shop),
        capacity_range: { required_bytes: GROWN_MIB * BYTES_PER_MIB },
      }),
    ),
  );
  await cost('monitor, a look', async () => done(async () => driver?.engine.look()));
  await cost('/metrics', () => done(async () => (await fetch(METRICS)).text()));
  await driver?.stop();
  await cost('driver, over a pool in use', start);
  await free(() => unstage(fork));
  for (const volume_id of [fork, clone]) await free(() => csi.tell('DeleteVolume', { volume_id }));
  await cost('DeleteSnapshot, one in the middle', () => done(() => deleteSnapshot(snapshots[4] ?? '')));
  await cost('DeleteSnapshot, the newest', () => done(() => deleteSnapshot(newest)));
  await free(() => unpublish(shop));
  await free(() => unstage(shop));
  await cost('CreateSnapshot, of a volume not in use', () => w.snapshot('dormant', shop));

  // snapshots[8] is the newest that was taken in use, 'dormant' is newer.
  await cost('StartRestore, over 1 newer snapshot', () => w.restore(shop, snapshots[8] ?? ''));
  await cost('NodeStageVolume, after a restore', () => done(() => stage(shop)));
  await free(() => publish(shop));
  await write(shop);
  await free(() => unpublish(shop));
  await free(() => unstage(shop));
  await cost('StartRestore, over 8 newer snapshots', () => w.restore(shop, snapshots[0] ?? ''));

  const plain = await free(() => w.volume('plain', { mib: MIB, ...RAW }));
  const origin = await free(() => w.snapshot('of-plain', plain));
  const next = await free(() => w.volume('next', { mib: MIB, snapshot: origin, ...RAW }));
  await cost('StartRestore, a promotion', () => w.restore(next, origin, { mode: 'RESTORE_MODE_SNAPSHOT' }));
  const last = await free(() => w.volume('last', { mib: MIB }));
  await cost('DeleteVolume', () => done(() => csi.tell('DeleteVolume', { volume_id: last })));
}

await tell();
csi.close();
await driver?.stop();
counter.close();
await writeFile(process.env['COSTS'] ?? 'costs.json', JSON.stringify(operations));
