import { expect, test } from 'vitest';
import { identityService } from '../../../src/controller/identity.ts';
import { poolName } from '../../../src/ids.ts';
import { readyPools } from '../../../src/pools.ts';
import { DEFINITIONS, at, callerOf, refusal } from './call.ts';
import { createFakeEngine } from './fake-engine.ts';

const engine = createFakeEngine();
const engines = new Map([[engine.pool, engine]]);

test('name and version', async () => {
  const call = callerOf(DEFINITIONS.identity, identityService(readyPools(engines), '1.2.3'));
  expect(await call('GetPluginInfo')).toMatchObject({ name: 'csi.snapmerge.io', vendor_version: '1.2.3' });
});

test('ready when every pool answers; what does not is named', async () => {
  const call = callerOf(DEFINITIONS.identity, identityService(readyPools(engines), '1'));
  expect(at(await call('Probe'), 'ready', 'value')).toBe(true);
  engine.report.health = { ready: false, problems: ['LVM does not answer'] };
  const refused = await refusal(call('Probe'));
  expect(refused).toEqual({
    kind: 'precondition',
    message: "Cannot serve all pools: pool 'default': LVM does not answer",
  });
  engine.report.health = { ready: true, problems: [] };
});

test('starting is not ready, and failing to start is an error', async () => {
  const waiting = new Map<ReturnType<typeof poolName>, string | undefined>([[poolName('slow'), undefined]]);
  const call = callerOf(DEFINITIONS.identity, identityService({ engines: () => engines, waiting: () => waiting }, '1'));
  expect(at(await call('Probe'), 'ready', 'value')).toBe(false);
  waiting.set(poolName('slow'), 'no disk has it');
  expect((await refusal(call('Probe'))).message).toContain("pool 'slow': no disk has it");
});
