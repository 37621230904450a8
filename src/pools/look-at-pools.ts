// A look at each pool of the node, those that do not answer included.

import type { Engine } from '../engine/engine.ts';
import { messageOf } from '../vocabulary/errors.ts';
import { viewPool } from '../inspect/pool.ts';
import type { PoolView } from '../inspect/view.ts';
import type { Pools } from './pools.ts';

/** Those that answer first; of the others, why they do not. */
export async function lookAtPools(pools: Pools): Promise<readonly PoolView[]> {
  const answering = await Promise.all([...pools.engines().values()].map(lookAt));
  const waiting = [...pools.waiting()].map(([name, why]): PoolView => ({
    name,
    problem: why ?? 'it is being started',
    contents: undefined,
  }));
  return [...answering, ...waiting];
}

async function lookAt(engine: Engine): Promise<PoolView> {
  try {
    return { name: engine.pool, problem: '', contents: viewPool(await engine.inspect()) };
  } catch (error) {
    return { name: engine.pool, problem: messageOf(error), contents: undefined };
  }
}
