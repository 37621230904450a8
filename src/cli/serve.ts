// `snapmerge serve`: the driver itself, from a configuration to a socket, until a signal ends it. Volumes stay as they are
// when it ends: their devices need no driver.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import type { Exec } from '../exec.ts';
import type { Logger } from '../log.ts';
import type { Files } from '../node/files.ts';
import { startPools } from '../pools.ts';
import type { PoolOpener } from '../pools.ts';
import { startServer } from '../server.ts';
import { driverServices } from '../services.ts';

export interface ServeOptions {
  readonly config: Config;
  readonly openers: readonly PoolOpener[];
  readonly exec: Exec;
  readonly files: Files;
  readonly log: Logger;
  readonly version: string;
  /** Fires when the driver is to end. */
  readonly ending: AbortSignal;
}

/** Calls under way may end; kubelet gives a pod 30 s by default. */
const DRAIN_MS = 20_000;
/** Long enough for any healthy pool to converge, short enough for a supervisor that wants to see the socket. */
const START_WAIT_MS = 30_000;

export async function serve({ config, openers, exec, files, log, version, ending }: ServeOptions): Promise<void> {
  log.info({ version, node: config.node, pools: config.pools }, 'starting');
  const pools = startPools(openers, log);
  const services = driverServices({
    pools,
    nodeName: config.node,
    maxVolumes: config.maxVolumes,
    version,
    exec,
    files,
  });
  // Pools that answer are served from the first call on; the others, and slow ones, are what Probe is for.
  await Promise.race([pools.tried, fired(ending), sleep(START_WAIT_MS, undefined, { ref: false })]);
  const server = await startServer(config.socket, services, log);
  await fired(ending);
  log.info({}, 'ending');
  await server.stop(DRAIN_MS);
  await pools.stop();
  log.info({}, 'ended');
}

async function fired(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
