// A node of the tests: the real engine on the simulated kernel and LVM, with the controller beside it, against a real API
// server. Merges move only when a test lets them.

import { DRIVER_NAME } from '../../src/controller/identity.ts';
import { handleOf } from '../../src/csi/replies.ts';
import { systemClock } from '../../src/system/clock.ts';
import { createPoolEngine } from '../../src/engine/compose.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import { deviceKey, poolName, vgUuid } from '../../src/vocabulary/ids.ts';
import type { SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import { runController } from '../../src/kubernetes/controller.ts';
import { connectTo } from '../../src/kubernetes/api/http.ts';
import { readyPools } from '../../src/pools/pools.ts';
import { silentLog } from '../../src/vocabulary/ports.ts';
import type { Log } from '../../src/vocabulary/ports.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { PLAIN } from '../contract/blank.ts';
import { idOf } from '../contract/ids.ts';
import { createWorld } from '../sim/world.ts';
import type { World } from '../sim/world.ts';
import type { Api } from './api.ts';

const BLOCKS = 16;

export interface Node {
  readonly name: string;
  readonly engine: () => PoolEngine;
  readonly world: World;
  /** A volume with its PersistentVolume and bound claim. */
  readonly claim: (namespace: string, name: string, source?: SnapshotId) => Promise<VolumeId>;
  /** A snapshot with its VolumeSnapshotContent and VolumeSnapshot, ready to use. */
  readonly snapshot: (namespace: string, name: string, volume: VolumeId) => Promise<SnapshotId>;
  readonly stage: (volume: VolumeId) => Promise<void>;
  readonly unstage: (volume: VolumeId) => Promise<void>;
  /** Writes a tag to the first blocks of a staged volume. */
  readonly write: (volume: VolumeId, tag: number) => void;
  /** The tag that the first block holds; of an image that is shown. */
  readonly read: (image: VolumeId | SnapshotId) => number | undefined;
  readonly finishMerges: () => void;
  readonly startController: () => void;
  /** As when the driver's pod is told to end. */
  readonly stopController: () => Promise<void>;
  /** The driver's process dies and starts again: engine and controller. */
  readonly restart: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

let drawn = 0;

export async function startNode(api: Api, name: string, group: string): Promise<Node> {
  const world = createWorld({ seed: 1, extent: kib(512), disks: [mib(512)], mergeOnResume: 0 });
  const vg = vgUuid(group.repeat(32).slice(0, 32));
  const open = async (): Promise<PoolEngine> => {
    const engine = createPoolEngine({
      kernel: world.kernel,
      lvm: world.lvm,
      host: world.host,
      pool: poolName('default'),
      vg,
      log: silentLog,
      clock: systemClock,
      drawId: () => idOf((drawn += 1)),
      reservePercent: 0,
      leastHeadroom: kib(512),
    });
    await engine.start();
    return engine;
  };
  let engine = await open();
  let controller: { readonly ending: AbortController; readonly ended: Promise<void> } | undefined;
  const engines = new Map([[engine.pool, engine]]);
  const node: Node = {
    name,
    world,
    engine: () => engine,
    claim: async (namespace, claim, source) => {
      const pv = `pvc-${namespace}-${claim}`;
      const made = await engine.createVolume({
        name: pv,
        requiredBytes: mib(4),
        limitBytes: undefined,
        parameters: PLAIN,
        source: source === undefined ? undefined : { from: 'snapshot', snapshot: source },
      });
      await api.claim({ namespace, claim, pv, driver: DRIVER_NAME, handle: handleOf(engine, made.id), node: name });
      return made.id;
    },
    snapshot: async (namespace, snapshot, volume) => {
      const taken = await engine.createSnapshot(volume, `snapshot-${namespace}-${snapshot}`);
      await api.snapshot({ namespace, snapshot, driver: DRIVER_NAME, handle: handleOf(engine, taken.id) });
      return taken.id;
    },
    stage: async (volume) => {
      await engine.activate(volume);
      world.user.open(deviceKey(volume, 'top'));
    },
    unstage: async (volume) => {
      world.user.close(deviceKey(volume, 'top'));
      await engine.deactivate(volume);
    },
    write: (volume, tag) => {
      for (let block = 0; block < BLOCKS; block += 1) {
        const outcome = world.user.write(deviceKey(volume, 'top'), block, [tag]);
        if (outcome !== 'done') throw new Error(`Cannot write '${volume}': ${outcome}`);
      }
    },
    read: (image) => world.inspect.content(deviceKey(image, 'view'))?.[0],
    finishMerges: () => {
      if (!world.control.finishMerges()) throw new Error('Cannot finish the merges');
    },
    startController: () => {
      const ending = new AbortController();
      const ended = runController(
        {
          api: connectTo(api.kubeconfigPath),
          pools: readyPools(engines),
          node: name,
          clock: systemClock,
          log: process.env['SNAPMERGE_LOG'] === undefined ? silentLog : printed(name),
          random: () => 0.1,
        },
        ending.signal,
      );
      controller = { ending, ended };
    },
    stopController: async () => {
      controller?.ending.abort();
      await controller?.ended;
      controller = undefined;
    },
    restart: async () => {
      await node.stopController();
      await engine.stop();
      engine = await open();
      engines.set(engine.pool, engine);
      node.startController();
    },
    stop: async () => {
      await node.stopController();
      await engine.stop();
    },
  };
  return node;
}

function printed(node: string): Log {
  const say = (fields: unknown, message: string): void => {
    process.stderr.write(`${node} ${message} ${JSON.stringify(fields)}\n`);
  };
  return { debug: say, info: say, warn: say, error: say, child: () => printed(node) };
}
