import { expect, test } from 'vitest';
import { poolElsewhere } from '../../../src/controller/elsewhere.ts';
import { readyPools } from '../../../src/pools/pools.ts';
import { createFakeEngine } from './fake-engine.ts';

const engines = ['here', 'hangs', 'fails', 'has'].map((pool) => createFakeEngine({ pool }));
const [here = createFakeEngine()] = engines;
const pools = readyPools(new Map(engines.map((engine) => [engine.pool, engine])));

test('another pool that has it is found past one that hangs and one that fails, and the pool itself is not asked', async () => {
  const asked: string[] = [];
  const find = async ({ pool }: { readonly pool: string }): Promise<unknown> => {
    asked.push(pool);
    if (pool === 'hangs') await new Promise(() => undefined);
    if (pool === 'fails') throw new Error('no answer');
    return pool === 'has' ? {} : undefined;
  };
  expect(await poolElsewhere(pools, here, find, 20)).toBe('has');
  expect(asked).toEqual(['hangs', 'fails', 'has']);
  expect(await poolElsewhere(pools, here, async () => undefined, 20)).toBeUndefined();
});
