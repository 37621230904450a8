// The Inspect service of proto/snapmerge.proto: one look at every pool, as values, over the socket. A pool that does not
// answer is shown with the reason; the others are shown all the same.

import { z } from 'zod';
import type { Engine } from '../engine/engine.ts';
import { messageOf } from '../vocabulary/errors.ts';
import { viewPool } from '../inspect/pool.ts';
import type { PoolView } from '../inspect/view.ts';
import { toWire } from '../inspect/wire.ts';
import type { Pools } from '../pools/pools.ts';
import { unary } from '../transport/rpc.ts';
import type { Service } from '../transport/rpc.ts';

export function inspectService(pools: Pools, version: string): Service {
  return {
    InspectPools: unary(z.object({}), async () => toWire({ version, pools: await lookAtPools(pools) })),
  };
}

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
