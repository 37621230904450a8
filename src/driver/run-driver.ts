// The driver put together: this machine's commands and files, the pools and the server. Apart from main.ts, so that the
// other commands need not load what only the driver uses.

import { serve } from './serve.ts';
import type { ServeOptions } from './serve.ts';
import { systemClock } from '../system/clock.ts';
import type { Config } from '../config/config.ts';
import type { Claims } from '../dm/claim.ts';
import type { Exec } from '../system/exec.ts';
import { localExec } from '../system/exec.ts';
import { createLogger } from '../system/log.ts';
import type { Logger } from '../system/log.ts';
import { measuredExec } from '../metrics/measured.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { localFiles } from '../node/files.ts';
import type { OpenOptions } from './open-pool.ts';
import { poolOpeners } from './open-pool.ts';
import type { Clock } from '../vocabulary/ports.ts';

/** What somebody who counts has in the place of this machine's own. */
export interface Parts {
  readonly exec?: Exec;
  readonly clock?: Clock;
  readonly begin?: OpenOptions['begin'];
  /** As a signal. */
  readonly ending?: AbortSignal;
}

/** Until a signal ends it, or it cannot serve. */
export async function runDriver(config: Config, version: string, claims: Claims, parts: Parts = {}): Promise<void> {
  const log = createLogger(config.logLevel);
  const signalled = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => signalled.abort());
  const metrics = createMetrics(version);
  const exec = measuredExec(parts.exec ?? localExec, metrics);
  const openers = poolOpeners(config.pools, {
    exec,
    clock: parts.clock ?? systemClock,
    log,
    reservePercent: config.reservePercent,
    metrics,
    claims,
    begin: parts.begin,
  });
  const owner = async (): Promise<string | undefined> => {
    const owners = await Promise.all(config.pools.map(({ volumeGroup }) => claims.ownerOf(volumeGroup)));
    return owners.find((one) => one !== undefined);
  };
  const kubernetes = await kubernetesOf(config, log);
  await serve({
    config,
    openers,
    exec,
    files: localFiles,
    log,
    version,
    metrics,
    kubernetes,
    owner,
    ending: AbortSignal.any([signalled.signal, ...(parts.ending === undefined ? [] : [parts.ending])]),
  });
}

/** What is only needed in a cluster is only loaded there. */
async function kubernetesOf({ kubernetes: where, node }: Config, log: Logger): Promise<ServeOptions['kubernetes']> {
  if (where === undefined) return undefined;
  const [{ connectTo }, { runController }] = await Promise.all([
    import('../kubernetes/api/http.ts'),
    import('../kubernetes/controller.ts'),
  ]);
  const api = connectTo(where);
  return (pools, ending) => runController({ api, pools, node, clock: systemClock, log, random: Math.random }, ending);
}
