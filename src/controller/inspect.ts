// The Inspect service of proto/snapmerge.proto: one look at every pool, as values, over the socket. A pool that does not
// answer is shown with the reason; the others are shown all the same.

import { z } from 'zod';
import { toWire } from '../inspect/wire.ts';
import type { Pools } from '../pools/pools.ts';
import { unary } from '../transport/rpc.ts';
import type { Service } from '../transport/rpc.ts';
import { lookAtPools } from '../pools/look-at-pools.ts';

export function inspectService(pools: Pools, version: string): Service {
  return {
    InspectPools: unary(z.object({}), async () => toWire({ version, pools: await lookAtPools(pools) })),
  };
}
