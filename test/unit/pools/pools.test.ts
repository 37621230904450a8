import { expect, test, vi } from 'vitest';
import { PoolHeld } from '../../../src/dm/claim.ts';
import { poolName } from '../../../src/vocabulary/ids.ts';
import { silentLogger } from '../../../src/system/log.ts';
import { startPools } from '../../../src/pools/pools.ts';
import type { PoolOpener } from '../../../src/pools/pools.ts';
import { createFakeEngine } from '../controller/fake-engine.ts';

test('a pool that does not answer is named, tried again, and then served', async () => {
  const a = createFakeEngine({ pool: 'a' });
  const b = createFakeEngine({ pool: 'b' });
  let away = true;
  const open = vi.fn<PoolOpener['open']>(async () => {
    if (away) throw new Error('no disk has it');
    return b;
  });
  const openers = [
    { name: poolName('b'), open },
    { name: poolName('a'), open: async () => a },
  ];
  const pools = startPools(openers, silentLogger, 5);
  expect([...pools.waiting()]).toEqual([
    ['b', undefined],
    ['a', undefined],
  ]);
  await pools.tried;
  expect([...pools.waiting()]).toEqual([['b', 'no disk has it']]);
  expect([...pools.engines().keys()]).toEqual(['a']);
  away = false;
  await vi.waitFor(() => expect([...pools.engines().keys()]).toEqual(['b', 'a']));
  expect(pools.waiting().size).toBe(0);
  await pools.stop();
});

test('a pool that another process owns is told from one that is away', async () => {
  const openers = [
    { name: poolName('a'), open: async () => Promise.reject(new PoolHeld('process 7 has it')) },
    { name: poolName('b'), open: async () => Promise.reject(new Error('no disk has it')) },
  ];
  const pools = startPools(openers, silentLogger, 60_000);
  await pools.tried;
  expect([...pools.others()]).toEqual(['a']);
  await pools.stop();
});

test('stopping ends the attempts', async () => {
  const open = vi.fn<PoolOpener['open']>(async () => Promise.reject(new Error('away')));
  const pools = startPools([{ name: poolName('a'), open }], silentLogger, 60_000);
  await pools.tried;
  await pools.stop();
  expect(open).toHaveBeenCalledTimes(1);
});
