// An engine over the simulated node for tests that tell one story: it draws its ids in order, and its clock goes on by a
// millisecond a look.

import { clockOf } from '../clock.ts';
import type { PoolEngine, PoolPorts } from '../../src/engine/compose.ts';
import { createPoolEngine } from '../../src/engine/compose.ts';
import { poolName } from '../../src/vocabulary/ids.ts';
import { silentLog } from '../../src/vocabulary/ports.ts';
import { kib } from '../../src/vocabulary/units.ts';
import { idOf } from '../contract/ids.ts';
import type { World } from './world.ts';

/** Not opened yet; `own` in the place of what it would have otherwise. */
export async function poolEngine(world: World, own: Partial<PoolPorts> = {}): Promise<PoolEngine> {
  let nowMs = 0;
  let next = 1;
  return createPoolEngine({
    pool: poolName('test'),
    vg: (await world.lvm.report()).vgUuid,
    kernel: world.kernel,
    lvm: world.lvm,
    host: world.host,
    clock: clockOf(() => (nowMs += 1)),
    drawId: () => idOf(next++),
    log: silentLog,
    reservePercent: 0,
    leastHeadroom: kib(128),
    ...own,
  });
}
