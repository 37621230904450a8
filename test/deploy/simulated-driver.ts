// A driver on the simulated node with something to tell: a volume, a snapshot, a fork, a restore that merges, and a call that
// was refused; all services on a socket, its metrics on a port of this machine.

import { join } from 'node:path';
import { z } from 'zod';
import { systemClock } from '../../src/system/clock.ts';
import { createPoolEngine } from '../../src/engine/compose.ts';
import { localExec } from '../../src/system/exec.ts';
import { startHttp } from '../../src/transport/http.ts';
import { deviceKey, isVolumeId, parseHandle, poolName } from '../../src/vocabulary/ids.ts';
import type { VolumeId } from '../../src/vocabulary/ids.ts';
import { silentLogger } from '../../src/system/log.ts';
import { measuredExec, measuredKernel } from '../../src/metrics/measured.ts';
import { createMetrics } from '../../src/metrics/metrics.ts';
import { metricsPage } from '../../src/metrics/page.ts';
import { localFiles } from '../../src/node/files.ts';
import { readyPools } from '../../src/pools/pools.ts';
import { startServer } from '../../src/transport/server.ts';
import { driverServices } from '../../src/driver/services.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { idOf } from '../contract/ids.ts';
import { createCaller } from '../csi/caller.ts';
import { createWorld } from '../sim/world.ts';

export interface SimulatedDriver {
  /** Of its metrics. */
  readonly url: string;
  /** Something of every kind is done once more. */
  readonly use: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Of 4 KiB: half of a volume. */
const BLOCKS = 1024;
const REQUEST = {
  capacity_range: { required_bytes: `${mib(8)}` },
  // Small chunks, so that a merge has many of them.
  parameters: { snapshotReserve: '100%', chunkSize: '4Ki' },
  volume_capabilities: [{ mount: {}, access_mode: { mode: 'SINGLE_NODE_WRITER' } }],
};
const created = z.object({ volume: z.object({ volume_id: z.string() }) });
const taken = z.object({ snapshot: z.object({ snapshot_id: z.string() }) });

function volumeOf(handle: string): VolumeId {
  const id = parseHandle(handle)?.id;
  if (id === undefined || !isVolumeId(id)) throw new Error(`Cannot read ${handle}: it is no volume's`);
  return id;
}

export async function startSimulatedDriver(folder: string): Promise<SimulatedDriver> {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(96), mib(96)], mergeOnResume: 0 });
  const metrics = createMetrics('test');
  const pool = poolName('fast');
  let drawn = 0;
  const engine = createPoolEngine({
    pool,
    vg: (await world.lvm.report()).vgUuid,
    lvm: world.lvm,
    kernel: measuredKernel(world.kernel, pool, metrics),
    host: world.host,
    clock: systemClock,
    drawId: () => idOf((drawn += 1)),
    log: silentLogger,
    reservePercent: 10,
    leastHeadroom: mib(1),
    looked: (ok, seconds) => metrics.looked(pool, ok ? 'ok' : 'error', seconds),
  });
  await engine.start();
  const pools = readyPools(new Map([[pool, engine]]));
  const exec = measuredExec(localExec, metrics);
  const socket = join(folder, 'csi.sock');
  const services = driverServices({ pools, nodeName: 'n1', maxVolumes: 0, version: 'test', exec, files: localFiles });
  const server = await startServer(socket, services, silentLogger, metrics.called);
  const csi = createCaller(socket);
  const page = metricsPage(pools, metrics, () => true);
  const http = await startHttp({ host: '127.0.0.1', port: 0 }, { '/metrics': page }, silentLogger);

  const create = async (name: string, more: object = {}): Promise<string> =>
    (await csi.call('CreateVolume', { name, ...REQUEST, ...more }, created)).volume.volume_id;
  const snapshot = async (name: string, volume: string): Promise<string> =>
    (await csi.call('CreateSnapshot', { name, source_volume_id: volume }, taken)).snapshot.snapshot_id;
  const write = (volume: string, tag: number): void => {
    const tags = Array.from({ length: BLOCKS }, () => tag);
    const outcome = world.user.write(deviceKey(volumeOf(volume), 'top'), 0, tags);
    if (outcome !== 'done') throw new Error(`Cannot write: ${outcome}`);
  };

  const shop = await create('pvc-shop');
  await engine.activate(volumeOf(shop));
  write(shop, 1);
  const friday = await snapshot('friday', shop);
  write(shop, 2);
  await create('pvc-fork', { volume_content_source: { snapshot: { snapshot_id: friday } } });
  // It gets on by a chunk when somebody else is frozen, and has more of them than there will be freezes.
  await csi.tell('StartRestore', { volume_id: shop, snapshot_id: friday });
  const other = await create('pvc-other');
  await engine.activate(volumeOf(other));

  let used = 0;
  return {
    url: `http://127.0.0.1:${http.port}/metrics`,
    use: async () => {
      used += 1;
      await exec(['true']);
      const one = await snapshot(`snapshot ${used}`, other);
      write(other, used);
      await csi.tell('DeleteSnapshot', { snapshot_id: one });
      await csi.refusal('CreateVolume', { name: '' });
    },
    stop: async () => {
      csi.close();
      await http.stop();
      await server.stop(1000);
      await engine.stop();
    },
  };
}
