// The controller of VolumeRestores, in each node's driver: it watches all of them, and works on those whose volume is on this
// node, on those whose volume nobody can place, and on what a node has left that is gone. Beside it, snapshots that no node
// takes are looked for, and claims that are made from what this node holds are placed.

import { messageOf, SnapmergeError } from '../vocabulary/errors.ts';
import type { Pools } from '../pools/pools.ts';
import type { Clock, Log } from '../vocabulary/ports.ts';
import { createCluster } from './api/cluster.ts';
import type { ApiServer } from './api/http.ts';
import { runPlacement } from './placement.ts';
import { createQueue } from './api/queue.ts';
import { round } from './restores/reconcile.ts';
import { isOver } from './restores/status.ts';
import { together } from '../system/together.ts';
import { watchUnclaimed } from './unclaimed.ts';
import { watchRestores } from './api/watch.ts';

export interface ControllerOptions {
  readonly api: ApiServer;
  readonly pools: Pools;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 to 1: so that drivers that see the same do not all write it at once. */
  readonly random: () => number;
}

const WORKERS = 4;
const FIRST_RETRY_MS = 500;
const MOST_RETRY_MS = 15_000;
/** Whatever was missed is seen then. */
const RESYNC_MS = 300_000;

/** Until the signal fires; what is under way then is ended first. Never rejects for what the cluster does. */
export async function runController(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  const { api, pools, node, clock, random } = options;
  const log = options.log.child({ part: 'kubernetes' });
  const cluster = createCluster(api, () => clock.nowMs(), node);
  const rounds = { cluster, pools, node, clock, log, random, others: () => restores.all() };
  const queue = createQueue({
    clock,
    workers: WORKERS,
    firstRetryMs: FIRST_RETRY_MS,
    mostRetryMs: MOST_RETRY_MS,
    work: async (key) => {
      const [namespace = '', name = ''] = key.split('/');
      return round(rounds, namespace, name);
    },
    failed: (key, error, againMs) => {
      // Somebody else has written it meanwhile: nothing is wrong.
      const isUsual = error instanceof SnapmergeError && error.kind === 'busy';
      const fields = { volumeRestore: key, error: messageOf(error), againMs };
      if (isUsual) log.debug(fields, 'restore is looked at again');
      else log.warn(fields, 'restore cannot be worked on');
    },
  });
  const restores = watchRestores({ api, clock, log, changed: (key) => queue.add(key, 0) });
  const resync = async (ending: AbortSignal): Promise<void> => {
    while (!ending.aborted) {
      await clock.sleep(RESYNC_MS, ending);
      for (const one of restores.all()) {
        if (!isOver(one)) queue.add(`${one.metadata.namespace}/${one.metadata.name}`, random() * RESYNC_MS);
      }
    }
  };
  log.info({ node }, 'VolumeRestores are watched');
  await together(signal, [
    restores.run,
    queue.run,
    resync,
    async (ending) => watchUnclaimed({ api, cluster, pools, node, clock, log, random }, ending),
    async (ending) => runPlacement({ api, cluster, pools, node, clock, log }, ending),
  ]);
}
