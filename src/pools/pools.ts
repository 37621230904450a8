// The configured pools of this node, those that answer and those that do not yet. A pool that cannot be opened when the
// driver starts is tried again until it can, so that Probe can say what is missing instead of the driver being gone.

import { PoolHeld } from '../dm/claim.ts';
import type { Engine, Engines } from '../engine/engine.ts';
import { messageOf } from '../vocabulary/errors.ts';
import type { PoolName } from '../vocabulary/ids.ts';
import type { Logger } from '../system/log.ts';

export interface Pools {
  /** All that are configured, in that order; the first is for whoever names none. */
  readonly names: () => readonly PoolName[];
  /** Started engines by pool, in the order of the configuration. */
  readonly engines: () => Engines;
  /** Pools that are not started: why not, or undefined while the first attempt is under way. */
  readonly waiting: () => ReadonlyMap<PoolName, string | undefined>;
  /** Those of them that another process owns, or that are being started at this moment. */
  readonly others: () => ReadonlySet<PoolName>;
}

export interface PoolOpener {
  readonly name: PoolName;
  /** Makes the engine and starts it; rejects when LVM, the kernel or the volume group does not answer. */
  readonly open: () => Promise<Engine>;
}

export interface StartedPools extends Pools {
  /** When every pool has been tried once. */
  readonly tried: Promise<void>;
  /** Who owns them, while other processes own all pools; undefined as soon as one is ours, or is away for another reason. */
  readonly held: () => string | undefined;
  readonly stop: () => Promise<void>;
}

const RETRY_MS = 5_000;

export function startPools(openers: readonly PoolOpener[], log: Logger, retryMs: number = RETRY_MS): StartedPools {
  const started = new Map<PoolName, Engine>();
  const reasons = new Map<PoolName, string>();
  const held = new Map<PoolName, string>();
  const starting = new Set<PoolName>();
  const stopping = new AbortController();

  const attempt = async ({ name, open }: PoolOpener): Promise<boolean> => {
    starting.add(name);
    try {
      started.set(name, await open());
      reasons.delete(name);
      held.delete(name);
      log.info({ pool: name }, 'pool started');
      return true;
    } catch (error) {
      reasons.set(name, messageOf(error));
      if (error instanceof PoolHeld) held.set(name, messageOf(error));
      else held.delete(name);
      log.error({ pool: name, error: messageOf(error), retryMs }, 'pool not started');
      return false;
    } finally {
      starting.delete(name);
    }
  };

  const keepTrying = async (opener: PoolOpener): Promise<void> => {
    while (!stopping.signal.aborted) {
      await pause(retryMs, stopping.signal);
      if (stopping.signal.aborted || (await attempt(opener))) return;
    }
  };

  const retries: Promise<void>[] = [];
  const tried = Promise.all(
    openers.map(async (opener) => {
      if (!(await attempt(opener))) retries.push(keepTrying(opener));
    }),
  ).then(() => undefined);

  return {
    names: () => openers.map(({ name }) => name),
    engines: () =>
      new Map(
        openers.flatMap(({ name }): readonly (readonly [PoolName, Engine])[] => {
          const engine = started.get(name);
          return engine === undefined ? [] : [[name, engine]];
        }),
      ),
    waiting: () =>
      new Map(openers.filter(({ name }) => !started.has(name)).map(({ name }) => [name, reasons.get(name)] as const)),
    others: () => new Set([...held.keys(), ...starting]),
    tried,
    held: () => (held.size === openers.length ? [...held.values()].join('; ') : undefined),
    stop: async () => {
      stopping.abort();
      await tried;
      await Promise.all(retries);
      await Promise.all([...started.values()].map(async (engine) => engine.stop()));
    },
  };
}

/** Pools that are all there: for tests and for tools with one engine. */
export function readyPools(engines: Engines): Pools {
  return {
    names: () => [...engines.keys()],
    engines: () => engines,
    waiting: () => new Map(),
    others: () => new Set(),
  };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener(
      'abort',
      () => {
        clearTimeout(timer);
        resolve();
      },
      { once: true },
    );
  });
}
