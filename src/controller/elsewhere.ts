// Names are unique in a pool; across the pools of a node they are kept unique here.

import type { Engine } from '../engine/engine.ts';
import type { PoolName } from '../vocabulary/ids.ts';
import type { Pools } from '../pools/pools.ts';
import { limited } from '../system/single-flight.ts';

/** A pool that hangs stops its own calls only. */
const LIMIT_MS = 5000;

/** The first other pool in which something is found; one that does not answer in time is passed over. */
export async function poolElsewhere(
  pools: Pools,
  here: Engine,
  find: (other: Engine) => Promise<unknown>,
  limitMs = LIMIT_MS,
): Promise<PoolName | undefined> {
  const others = [...pools.engines()].filter(([, engine]) => engine !== here);
  const asked = others.map(async ([pool, engine]) => {
    const found = await limited(find(engine), { what: `Cannot ask pool '${pool}'`, limitMs }).catch(() => undefined);
    return found === undefined ? undefined : pool;
  });
  return (await Promise.all(asked)).find((pool) => pool !== undefined);
}
