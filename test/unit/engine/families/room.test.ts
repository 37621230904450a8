import { expect, test } from 'vitest';
import { withRoomFor } from '../../../../src/engine/families/room.ts';
import { shareReports } from '../../../../src/engine/ports/shared-reports.ts';
import { poolName, storeName } from '../../../../src/vocabulary/ids.ts';
import { createLocks } from '../../../../src/system/locks.ts';
import { bytes, kib, mib } from '../../../../src/vocabulary/units.ts';
import { createWorld } from '../../../sim/world.ts';

test('a report that was made before a store, and is heard of when that is there, is no reason to make another', async () => {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(64)] });
  const { free } = await world.lvm.report();
  const gates = { isLate: false, heard: (): void => undefined, made: (): void => undefined };
  const lvm = {
    ...world.lvm,
    report: async () => {
      const report = await world.lvm.report();
      if (gates.isLate) await new Promise<void>((resolve) => (gates.heard = resolve));
      return report;
    },
    create: async (...asked: Parameters<typeof world.lvm.create>) => {
      await new Promise<void>((resolve) => (gates.made = resolve));
      await world.lvm.create(...asked);
    },
  };
  const shared = shareReports(lvm, world.kernel, () => performance.now());
  const ctx = {
    pool: poolName('test'),
    locks: createLocks(),
    promised: { size: bytes(0) },
    headroom: { size: bytes(0) },
    recentReport: shared.recent,
    reservePercent: 50,
  };
  const size = bytes((free * 2n) / 5n);
  const make = async (name: string): Promise<void> =>
    withRoomFor(ctx, size, name, async () => shared.lvm.create(storeName(name), size, 'linear', []));
  const turn = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));
  const first = make('sm_0000000001');
  await turn();
  gates.isLate = true;
  const second = Promise.allSettled([make('sm_0000000002')]);
  await turn();
  gates.made();
  await first;
  gates.isLate = false;
  gates.heard();
  await turn();
  gates.made();
  expect(await second).toMatchObject([{ status: 'rejected', reason: { kind: 'exhausted' } }]);
  expect(ctx.promised.size).toBe(0n);
});
