// Whether this driver lives, and whether it is ready, as lists of what is wrong: empty is well. Not alive is only what a
// restart mends; a pool that does not answer is no reason for one, it makes the driver not ready.

import type { Pools } from './pools.ts';

/** What is wrong, one sentence each. */
export type Problems = readonly string[];

export interface Health {
  readonly alive: () => Promise<Problems>;
  readonly ready: () => Promise<Problems>;
}

export interface PoolAnswers {
  /** Pools that cannot be started, or do not answer any more. */
  readonly problems: Problems;
  /** Pools whose first attempt is still under way. */
  readonly starting: Problems;
}

/** Pools that do not run, asking nobody. */
export function startsOf(pools: Pools): PoolAnswers {
  const waiting = [...pools.waiting()];
  return {
    problems: waiting.flatMap(([pool, why]) => (why === undefined ? [] : [`pool '${pool}': ${why}`])),
    starting: waiting.flatMap(([pool, why]) => (why === undefined ? [`pool '${pool}' is being started`] : [])),
  };
}

/** Asks every pool anew: LVM and the kernel, some tenths of a second each. */
async function askPools(pools: Pools): Promise<PoolAnswers> {
  const { problems, starting } = startsOf(pools);
  const answers = await Promise.all(
    [...pools.engines()].map(async ([pool, engine]) => {
      const health = await engine.health();
      return health.ready ? [] : health.problems.map((problem) => `pool '${pool}': ${problem}`);
    }),
  );
  return { problems: [...problems, ...answers.flat()], starting };
}

export interface HealthOptions {
  readonly pools: Pools;
  /** Sockets that are to be there now: somebody who removes one makes us unreachable for good. */
  readonly sockets: () => readonly string[];
  readonly isSocket: (path: string) => Promise<boolean>;
  /** What else keeps the driver from being of use, such as a kubelet that does not know it. */
  readonly obstacles: () => Problems;
}

export function createHealth({ pools, sockets, isSocket, obstacles }: HealthOptions): Health {
  return {
    alive: async () => {
      const looked = await Promise.all(sockets().map(async (path) => ({ path, there: await isSocket(path) })));
      return looked.flatMap(({ path, there }) => (there ? [] : [`socket ${path} is gone`]));
    },
    // A pool that takes its time must not be asked by everybody who is tired of waiting for the last answer.
    ready: shared(async () => {
      const { problems, starting } = await askPools(pools);
      return [...problems, ...starting, ...obstacles()];
    }),
  };
}

/** Whoever asks while an answer is being found gets that one. */
export function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined;
  return async () => {
    underWay ??= ask().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}
