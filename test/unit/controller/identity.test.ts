import { expect, test } from 'vitest';
import { identityService } from '../../../src/controller/identity.ts';
import { poolName } from '../../../src/vocabulary/ids.ts';
import type { Pools } from '../../../src/pools/pools.ts';
import { readyPools } from '../../../src/pools/pools.ts';
import { DEFINITIONS, at, callerOf, refusal } from './call.ts';
import { createFakeEngine } from './fake-engine.ts';

const engine = createFakeEngine();
const engines = new Map([[engine.pool, engine]]);

test('name and version', async () => {
  const call = callerOf(DEFINITIONS.identity, identityService(readyPools(engines), '1.2.3'));
  expect(await call('GetPluginInfo')).toMatchObject({ name: 'csi.snapmerge.io', vendor_version: '1.2.3' });
});

test('a pool that does not answer is no reason to give up the driver', async () => {
  const call = callerOf(DEFINITIONS.identity, identityService(readyPools(engines), '1'));
  expect(at(await call('Probe'), 'ready', 'value')).toBe(true);
  engine.report.health = { ready: false, reachable: false, problems: ['LVM does not answer'] };
  expect(at(await call('Probe'), 'ready', 'value')).toBe(true);
  engine.report.health = { ready: true, reachable: true, problems: [] };
});

test('starting is not ready; no pool that could be started is an error', async () => {
  const waiting = new Map<ReturnType<typeof poolName>, string | undefined>([[poolName('slow'), undefined]]);
  const callOf = (running: Pools['engines']) =>
    callerOf(
      DEFINITIONS.identity,
      identityService({ names: () => [], engines: running, waiting: () => waiting, others: () => new Set() }, '1'),
    );
  const [some, none] = [callOf(() => engines), callOf(() => new Map())];
  expect(at(await some('Probe'), 'ready', 'value')).toBe(false);
  expect(at(await none('Probe'), 'ready', 'value')).toBe(false);
  waiting.set(poolName('slow'), 'no disk has it');
  expect(at(await some('Probe'), 'ready', 'value')).toBe(true);
  expect(await refusal(none('Probe'))).toEqual({
    kind: 'precondition',
    message: "Cannot serve any pool: pool 'slow': no disk has it",
  });
});
