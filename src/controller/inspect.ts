// The Inspect service of proto/snapmerge.proto: one look at every pool, as values, over the socket. A pool that does not
// answer is shown with the reason; the others are shown all the same.

import type { InspectPoolsResponse } from '#proto/snapmerge/v1/InspectPoolsResponse.ts';
import type { InspectHandlers } from '#proto/snapmerge/v1/Inspect.ts';
import { z } from 'zod';
import { toWire } from '../inspect/to-wire.ts';
import type { Pools } from '../pools/pools.ts';
import { unary } from '../transport/rpc.ts';
import type { ServiceOf } from '../transport/rpc.ts';
import { lookAtPools } from '../pools/look-at-pools.ts';

export function inspectService(pools: Pools, version: string): ServiceOf<InspectHandlers> {
  return {
    InspectPools: unary(z.object({}), async (): Promise<InspectPoolsResponse> =>
      toWire({ version, pools: await lookAtPools(pools) }),
    ),
  };
}
