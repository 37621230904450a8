// One scrape: every pool looked at, its restores listed, and all of it told together with what has been counted. A scrape
// that comes while another is under way gets the same answer.

import { lookAtPools } from '../pools/look-at-pools.ts';
import type { Restore } from '../engine/engine.ts';
import { shared } from '../pools/health.ts';
import type { Page } from '../transport/http.ts';
import type { PoolName } from '../vocabulary/ids.ts';
import type { Pools } from '../pools/pools.ts';
import type { Metrics } from './metrics.ts';
import { samplesOf } from './samples.ts';

export function metricsPage(
  pools: Pools,
  metrics: Pick<Metrics, 'page'>,
  registered: () => boolean | undefined,
): () => Promise<Page> {
  return shared(async () => {
    const views = await lookAtPools(pools);
    const restores = new Map<PoolName, readonly Restore[]>();
    for (const [name, engine] of pools.engines()) {
      // A pool that does not answer is told as such by its view; the others are told all the same.
      restores.set(name, await engine.listRestores().catch(() => []));
    }
    return metrics.page(samplesOf(views, restores), registered());
  });
}
