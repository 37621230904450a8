import { expect, test } from 'vitest';
import { controllerService } from '../../../src/controller/controller.ts';
import { restoreService } from '../../../src/controller/restore.ts';
import { readyPools } from '../../../src/pools/pools.ts';
import { DEFINITIONS, MOUNT, at, callerOf, refusal, text } from './call.ts';
import { createFakeEngine } from './fake-engine.ts';

async function setUp() {
  const engine = createFakeEngine();
  const pools = readyPools(new Map([[engine.pool, engine]]));
  const controller = callerOf(DEFINITIONS.controller, controllerService(pools, 'n'));
  const service = restoreService(pools);
  const made = await controller('CreateVolume', { name: 'a', volume_capabilities: [MOUNT] });
  const volume = text(made, 'volume', 'volume_id');
  const taken = await controller('CreateSnapshot', { name: 's', source_volume_id: volume });
  return {
    call: callerOf(DEFINITIONS.restore, service),
    service,
    volume,
    snapshot: text(taken, 'snapshot', 'snapshot_id'),
  };
}

test('start, get and list', async () => {
  const { call, volume, snapshot } = await setUp();
  const restore = at(await call('StartRestore', { volume_id: volume, snapshot_id: snapshot }), 'restore');
  expect(restore).toMatchObject({
    volume_id: volume,
    snapshot_id: snapshot,
    mode: 'RESTORE_MODE_ORIGIN',
    phase: 'RESTORE_PHASE_MERGING',
    keep_snapshot: true,
    safety_snapshot_id: '',
    total_bytes: '1073741824',
    ended_at: null,
  });
  const id = text(restore, 'restore_id');
  expect(id).toMatch(/^default\.AbCdEf\.r-/);
  expect(await call('GetRestore', { restore_id: id })).toEqual({ restore });
  expect(at(await call('ListRestores'), 'restores')).toEqual([restore]);
  expect(at(await call('ListRestores', { volume_id: 'other' }), 'restores')).toEqual([]);
  expect((await refusal(call('CancelRestore', { restore_id: id }))).kind).toBe('precondition');
});

test('keep_snapshot is kept apart from not given', async () => {
  const { call, volume, snapshot } = await setUp();
  const request = { volume_id: volume, snapshot_id: snapshot, keep_snapshot: false };
  expect(at(await call('StartRestore', request), 'restore', 'keep_snapshot')).toBe(false);
});

test('watching goes on to the end', async () => {
  const { call, service, volume, snapshot } = await setUp();
  const started = await call('StartRestore', { volume_id: volume, snapshot_id: snapshot });
  const watch = service['WatchRestore'];
  if (watch?.kind !== 'stream') throw new Error('no stream');
  const request = { restore_id: text(started, 'restore', 'restore_id') };
  const phases: unknown[] = [];
  const context = { method: 'WatchRestore', signal: new AbortController().signal };
  for await (const reply of watch.call(request, context)) phases.push(at(reply, 'restore', 'phase'));
  expect(phases).toEqual(['RESTORE_PHASE_MERGING', 'RESTORE_PHASE_DONE']);
});

test.each([
  ['no volume', { volume_id: '' }, 'invalid'],
  ['an unknown volume', { volume_id: 'nonsense' }, 'not-found'],
  ['a volume as snapshot', { snapshot_id: 'default.AbCdEf.v-0000000001' }, 'not-found'],
  ['an unknown mode', { mode: 42 }, 'invalid'],
  ['a name that is too long', { safety_snapshot_name: 'x'.repeat(129) }, 'invalid'],
])('%s is refused', async (_, more, kind) => {
  const { call, volume, snapshot } = await setUp();
  const request = { volume_id: volume, snapshot_id: snapshot, ...more };
  expect((await refusal(call('StartRestore', request))).kind).toBe(kind);
});

test('an unknown restore is NOT_FOUND', async () => {
  const { call } = await setUp();
  for (const id of ['nonsense', 'default.AbCdEf.r-0000000099', 'default.QQQQQQ.r-0000000001']) {
    expect((await refusal(call('GetRestore', { restore_id: id }))).kind).toBe('not-found');
  }
});
