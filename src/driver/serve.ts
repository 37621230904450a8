// `snapmerge serve`: the driver itself, from a configuration to a socket, until a signal ends it. Volumes stay as they are
// when it ends: their devices need no driver.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Config, RegistrationConfig } from '../config/config.ts';
import { fail, messageOf } from '../vocabulary/errors.ts';
import type { Exec } from '../system/exec.ts';
import { createHealth } from '../pools/health.ts';
import type { Problems } from '../pools/health.ts';
import { healthPages } from '../pools/health-pages.ts';
import { startHttp } from '../transport/http.ts';
import type { Pages, RunningHttp } from '../transport/http.ts';
import type { Logger } from '../system/log.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { metricsPage } from '../metrics/page.ts';
import type { Files } from '../node/files.ts';
import { createRegistration } from '../node/registration.ts';
import type { Registration, RegistrationState } from '../node/registration.ts';
import { startPools } from '../pools/pools.ts';
import type { PoolOpener, Pools, StartedPools } from '../pools/pools.ts';
import { loadDefinitions } from '../transport/proto.ts';
import { refuseTakenPath, startServer } from '../transport/server.ts';
import type { RunningServer, ServedService } from '../transport/server.ts';
import { driverServices } from './services.ts';

export interface ServeOptions {
  readonly config: Config;
  readonly openers: readonly PoolOpener[];
  readonly exec: Exec;
  readonly files: Files;
  readonly log: Logger;
  readonly version: string;
  readonly metrics: Metrics;
  /** Looks after VolumeRestores until the signal fires; undefined: nobody does. */
  readonly kubernetes?: ((pools: Pools, ending: AbortSignal) => Promise<void>) | undefined;
  /** Who owns a pool of this configuration, in words, where another process does. */
  readonly owner?: (() => Promise<string | undefined>) | undefined;
  /** How long to wait while other processes own all pools. */
  readonly heldLimitMs?: number;
  /** How long before what has ended on its own is begun again. */
  readonly againMs?: number;
  /** Fires when the driver is to end. */
  readonly ending: AbortSignal;
}

/** Calls under way may end; kubelet gives a pod 30 s by default. */
const DRAIN_MS = 20_000;
/** Long enough for any healthy pool to converge, short enough for a supervisor that wants to see the socket. */
const START_WAIT_MS = 30_000;
/** Longer than a pod is given to end (60 s). A supervisor starts it again. */
const HELD_LIMIT_MS = 90_000;
const HELD_LOOK_MS = 250;
const AGAIN_MS = 30_000;

/** Rejects when it cannot serve; then, as when a signal ends it, nothing of it goes on. */
export async function serve(options: ServeOptions): Promise<void> {
  const { config, openers, exec, files, log, version, metrics, kubernetes, ending } = options;
  log.info({ version, node: config.node, pools: config.pools }, 'starting');
  const registration = registrationOf(config.registration, log);
  // Before anything is begun that would have to be given up for it.
  await refuseTaken(options);
  const pools = startPools(openers, log);
  const running: RunningServer[] = [];
  const sockets: string[] = [];
  let http: RunningHttp | undefined;
  let looking: Promise<void> | undefined;
  try {
    const health = createHealth({
      pools,
      sockets: () => sockets,
      isSocket: async (path) => (await files.kindOf(path))?.kind === 'socket',
      obstacles: () => [...(sockets.length === 0 ? ['not serving yet'] : []), ...unregistered(registration?.current())],
    });
    // First and last, so that probes are answered all the time.
    const pages: Pages = {
      ...healthPages(health),
      '/metrics': metricsPage(pools, metrics, () => registeredOf(registration?.current())),
    };
    http = config.http === undefined ? undefined : await startHttp(config.http, pages, log);
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
    await untilOwned(pools, options);
    if (!ending.aborted) {
      const start = async (socket: string, served: readonly ServedService[]): Promise<void> => {
        running.push(await startServer(socket, served, log, metrics.called));
        sockets.push(socket);
      };
      await start(config.socket, services);
      // The kubelet calls back on the first socket before it is done with the second.
      if (registration !== undefined) await start(registration.socket, registration.services);
      if (kubernetes !== undefined) looking = untilEnding(() => kubernetes(pools, ending), options);
      await fired(ending);
    }
  } finally {
    log.info({}, 'ending');
    sockets.length = 0;
    for (const server of running.toReversed()) await server.stop(DRAIN_MS);
    await looking;
    await pools.stop();
    await http?.stop();
    log.info({}, 'ended');
  }
}

/** Volumes are served whatever becomes of it. Never rejects. */
async function untilEnding(
  look: () => Promise<void>,
  { ending, log, againMs = AGAIN_MS }: ServeOptions,
): Promise<void> {
  while (!ending.aborted) {
    try {
      await look();
      if (!ending.aborted) log.error({ againMs }, 'nobody looks after VolumeRestores any more');
    } catch (error) {
      log.error({ error: messageOf(error), againMs }, 'VolumeRestores cannot be looked after');
    }
    await sleep(againMs, undefined, { signal: ending }).catch(() => undefined);
  }
}

/** Another process that serves there has our pools too, most likely: it is named. */
async function refuseTaken({ config, owner }: ServeOptions): Promise<void> {
  const { socket, registration } = config;
  for (const path of registration === undefined ? [socket] : [socket, registration.socket]) {
    try {
      await refuseTakenPath(path);
    } catch (error) {
      const who = await owner?.();
      if (who === undefined) throw error;
      fail('precondition', `${messageOf(error)}; its pool is owned by ${who}`, error);
    }
  }
}

/**
 * A driver whose pools all belong to another process serves nothing, or the kubelet would ask the wrong one. It waits for
 * that process to end, as a pod that is being replaced does, while its log and probes say who it is; and then ends.
 */
async function untilOwned(pools: StartedPools, { ending, heldLimitMs = HELD_LIMIT_MS }: ServeOptions): Promise<void> {
  const begunMs = performance.now();
  while (!ending.aborted) {
    const held = pools.held();
    if (held === undefined) return;
    if (performance.now() - begunMs > heldLimitMs) {
      fail('precondition', `Cannot serve: after ${heldLimitMs / 1000} s there is no pool for this process. ${held}`);
    }
    await sleep(HELD_LOOK_MS, undefined, { signal: ending }).catch(() => undefined);
  }
}

interface ServedRegistration extends Registration {
  readonly socket: string;
  readonly services: readonly ServedService[];
}

function registrationOf(config: RegistrationConfig | undefined, log: Logger): ServedRegistration | undefined {
  if (config === undefined) return undefined;
  const registration = createRegistration(config.endpoint, log);
  const services = [{ definition: loadDefinitions().registration, service: registration.service }];
  return { ...registration, socket: config.socket, services };
}

function registeredOf(state: RegistrationState | undefined): boolean | undefined {
  return state === undefined ? undefined : state.state === 'registered';
}

function unregistered(state: RegistrationState | undefined): Problems {
  switch (state?.state) {
    case undefined:
    case 'registered':
      return [];
    case 'waiting':
      return ['the kubelet has not registered this driver yet'];
    case 'refused':
      return [`the kubelet does not register this driver: ${state.reason}`];
  }
}

async function fired(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
