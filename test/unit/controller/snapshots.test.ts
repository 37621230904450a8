import { expect, test } from 'vitest';
import { controllerService } from '../../../src/controller/controller.ts';
import type { SnapshotId } from '../../../src/vocabulary/ids.ts';
import { readyPools } from '../../../src/pools/pools.ts';
import { gib } from '../../../src/vocabulary/units.ts';
import { DEFINITIONS, MOUNT, at, callerOf, refusal, text } from './call.ts';
import { createFakeEngine } from './fake-engine.ts';

async function setUp() {
  const engine = createFakeEngine();
  const call = callerOf(DEFINITIONS.controller, controllerService(readyPools(new Map([[engine.pool, engine]])), 'n'));
  const volume = async (name: string) =>
    text(await call('CreateVolume', { name, volume_capabilities: [MOUNT] }), 'volume', 'volume_id');
  return { call, volume, a: await volume('a'), b: await volume('b') };
}

test('create, get, list and delete', async () => {
  const { call, a } = await setUp();
  const made = await call('CreateSnapshot', { name: 's', source_volume_id: a });
  const id = text(made, 'snapshot', 'snapshot_id');
  expect(at(made, 'snapshot')).toMatchObject({
    source_volume_id: a,
    size_bytes: gib(1).toString(),
    ready_to_use: true,
    creation_time: { seconds: '1700000000' },
  });
  expect(await call('CreateSnapshot', { name: 's', source_volume_id: a })).toEqual(made);
  expect(await call('GetSnapshot', { snapshot_id: id })).toEqual(made);
  expect(await call('DeleteSnapshot', { snapshot_id: id })).toEqual({});
  expect(await call('DeleteSnapshot', { snapshot_id: id })).toEqual({});
  expect((await refusal(call('GetSnapshot', { snapshot_id: id }))).kind).toBe('not-found');
});

test('the same name of another volume is ALREADY_EXISTS', async () => {
  const { call, a, b } = await setUp();
  await call('CreateSnapshot', { name: 's', source_volume_id: a });
  expect((await refusal(call('CreateSnapshot', { name: 's', source_volume_id: b }))).kind).toBe('exists');
});

test.each([
  ['no name', { name: '' }, 'invalid'],
  ['no source', { source_volume_id: '' }, 'invalid'],
  ['a parameter', { parameters: { a: 'b' } }, 'invalid'],
  ['an unknown source', { source_volume_id: 'default.AbCdEf.v-9999999999' }, 'not-found'],
  ['a source elsewhere', { source_volume_id: 'default.QQQQQQ.v-0000000001' }, 'not-found'],
  ['another place', { accessibility_requirements: { requisite: [{ segments: { zone: 'a' } }] } }, 'exhausted'],
])('%s is refused', async (_, more, kind) => {
  const { call, a } = await setUp();
  expect((await refusal(call('CreateSnapshot', { name: 's', source_volume_id: a, ...more }))).kind).toBe(kind);
});

test('what the snapshotter adds is accepted', async () => {
  const { call, a } = await setUp();
  const parameters = { 'csi.storage.k8s.io/volumesnapshot/name': 'x' };
  expect(at(await call('CreateSnapshot', { name: 's', source_volume_id: a, parameters }), 'snapshot')).toBeDefined();
});

test('lists by source and by id, in pages', async () => {
  const { call, a, b } = await setUp();
  for (const name of ['1', '2', '3']) await call('CreateSnapshot', { name, source_volume_id: a });
  const other = text(await call('CreateSnapshot', { name: '4', source_volume_id: b }), 'snapshot', 'snapshot_id');
  const list = async (request: object) => call('ListSnapshots', request);
  expect(at(await list({}), 'entries')).toHaveLength(4);
  expect(at(await list({ source_volume_id: a }), 'entries')).toHaveLength(3);
  expect(at(await list({ snapshot_id: other }), 'entries', 0, 'snapshot', 'source_volume_id')).toBe(b);
  expect(at(await list({ snapshot_id: other, source_volume_id: a }), 'entries')).toEqual([]);
  expect(at(await list({ snapshot_id: 'nonsense' }), 'entries')).toEqual([]);
  const first = await list({ source_volume_id: a, max_entries: 2 });
  const rest = await list({ source_volume_id: a, starting_token: text(first, 'next_token') });
  expect(at(rest, 'entries')).toHaveLength(1);
});

test('one that is recorded and not taken yet is not ready, and in no list', async () => {
  const engine = createFakeEngine();
  const late = {
    ...engine,
    getSnapshot: async (id: SnapshotId) => {
      const found = await engine.getSnapshot(id);
      return found && { ...found, pending: true };
    },
    listSnapshots: async () => (await engine.listSnapshots()).map((one) => ({ ...one, pending: true })),
  };
  const call = callerOf(DEFINITIONS.controller, controllerService(readyPools(new Map([[engine.pool, late]])), 'n'));
  const made = await call('CreateVolume', { name: 'a', volume_capabilities: [MOUNT] });
  const asked = { name: 's', source_volume_id: text(made, 'volume', 'volume_id') };
  const id = text(await call('CreateSnapshot', asked), 'snapshot', 'snapshot_id');
  expect(at(await call('GetSnapshot', { snapshot_id: id }), 'snapshot', 'ready_to_use')).toBe(false);
  expect(at(await call('ListSnapshots', {}), 'entries')).toEqual([]);
});
