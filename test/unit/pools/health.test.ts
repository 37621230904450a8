import { expect, test } from 'vitest';
import { createHealth } from '../../../src/pools/health.ts';
import { poolName } from '../../../src/vocabulary/ids.ts';
import { readyPools } from '../../../src/pools/pools.ts';
import type { Pools } from '../../../src/pools/pools.ts';
import { createFakeEngine } from '../controller/fake-engine.ts';

const engine = createFakeEngine();
const engines = new Map([[engine.pool, engine]]);
const base = { sockets: () => [], isSocket: async () => true, obstacles: () => [] };

test('a missing socket is what a restart mends, a pool that does not answer is not', async () => {
  const health = createHealth({
    pools: readyPools(engines),
    sockets: () => ['/a.sock', '/b.sock'],
    isSocket: async (path) => path === '/a.sock',
    obstacles: () => ['the kubelet has not registered this driver yet'],
  });
  engine.report.health = { ready: false, reachable: false, problems: ['LVM does not answer'] };
  expect(await health.alive()).toEqual(['socket /b.sock is gone']);
  expect(await health.ready()).toEqual([
    "pool 'default': LVM does not answer",
    'the kubelet has not registered this driver yet',
  ]);
  engine.report.health = { ready: true, reachable: true, problems: [] };
});

test('pools that are being started, or cannot be, are named', async () => {
  const reasons = new Map<ReturnType<typeof poolName>, string | undefined>([[poolName('slow'), undefined]]);
  const pools: Pools = { names: () => [], engines: () => engines, waiting: () => reasons, others: () => new Set() };
  const health = createHealth({ ...base, pools });
  expect(await health.ready()).toEqual(["pool 'slow' is being started"]);
  reasons.set(poolName('slow'), 'no disk has it');
  expect(await health.ready()).toEqual(["pool 'slow': no disk has it"]);
  reasons.clear();
  expect(await health.ready()).toEqual([]);
});

test('a pool that is slow to answer is asked once, however many probes give up meanwhile', async () => {
  let asked = 0;
  const answers: (() => void)[] = [];
  const slow = {
    ...engine,
    health: async () => {
      asked += 1;
      await new Promise<void>((resolve) => answers.push(resolve));
      return { ready: true, reachable: true, problems: [] };
    },
  };
  const health = createHealth({ ...base, pools: readyPools(new Map([[slow.pool, slow]])) });
  const probes = [health.ready(), health.ready(), health.ready()];
  answers.shift()?.();
  expect(await Promise.all(probes)).toEqual([[], [], []]);
  expect(asked).toBe(1);
  const later = health.ready();
  answers.shift()?.();
  await later;
  expect(asked).toBe(2);
});
