import { describe, expect, test } from 'vitest';
import { controllerService } from '../../../src/controller/controller.ts';
import { DEFAULT_VOLUME_BYTES } from '../../../src/controller/volumes.ts';
import { TOPOLOGY_KEY } from '../../../src/csi/topology.ts';
import type { PoolName } from '../../../src/vocabulary/ids.ts';
import { poolName, vgUuid, volumeId } from '../../../src/vocabulary/ids.ts';
import { readyPools } from '../../../src/pools/pools.ts';
import { gib, mib } from '../../../src/vocabulary/units.ts';
import { BLOCK, DEFINITIONS, MOUNT, at, callerOf, outcome, refusal, text } from './call.ts';
import type { Caller } from './call.ts';
import { createFakeEngine } from './fake-engine.ts';
import type { FakeEngine } from './fake-engine.ts';

const NODE = 'node-1';

function setUp(): { readonly call: Caller; readonly engine: FakeEngine; readonly second: FakeEngine } {
  const engine = createFakeEngine({ pool: 'default' });
  const second = createFakeEngine({ pool: 'slow', vg: vgUuid('ZzZzZz0123456789AbCdEf0123456789') });
  const pools = readyPools(new Map([engine, second].map((one) => [one.pool, one])));
  return { call: callerOf(DEFINITIONS.controller, controllerService(pools, NODE)), engine, second };
}

const create = (more: object = {}) => ({
  name: 'pvc-1',
  volume_capabilities: [MOUNT],
  capacity_range: { required_bytes: gib(1).toString() },
  ...more,
});
const mode = (name: string | number) => ({ volume_capabilities: [{ mount: {}, access_mode: { mode: name } }] });
const place = (node: string, key = TOPOLOGY_KEY) => ({ segments: { [key]: node } });

describe('CreateVolume', () => {
  test('a blank volume', async () => {
    const { call } = setUp();
    expect(at(await call('CreateVolume', create()), 'volume')).toEqual({
      volume_id: 'default.AbCdEf.v-0000000001',
      capacity_bytes: gib(1).toString(),
      volume_context: {},
      content_source: null,
      accessible_topology: [{ segments: { [TOPOLOGY_KEY]: NODE } }],
    });
  });

  test('the same again is the same volume, other sizes and parameters are not', async () => {
    const { call } = setUp();
    const first = await call('CreateVolume', create());
    expect(await call('CreateVolume', create())).toEqual(first);
    const larger = create({ capacity_range: { required_bytes: gib(2).toString() } });
    expect((await refusal(call('CreateVolume', larger))).kind).toBe('exists');
    const otherPool = create({ parameters: { pool: 'slow' } });
    expect((await refusal(call('CreateVolume', otherPool))).kind).toBe('exists');
  });

  test('xfs is made as large as mkfs.xfs asks for, or not at all', async () => {
    const { call } = setUp();
    const small = (more: object): object =>
      create({
        capacity_range: { required_bytes: mib(100).toString(), ...more },
        parameters: { 'csi.storage.k8s.io/fstype': 'xfs' },
      });
    const reply = at(await call('CreateVolume', small({})), 'volume');
    expect(reply).toMatchObject({ capacity_bytes: mib(300).toString() });
    expect(at(await call('CreateVolume', small({})), 'volume')).toEqual(reply);
    const limited = { ...small({ limit_bytes: mib(200).toString() }), name: 'pvc-2' };
    expect((await refusal(call('CreateVolume', limited))).kind).toBe('out-of-range');
    const raw = { ...small({ limit_bytes: mib(200).toString() }), name: 'pvc-3', volume_capabilities: [BLOCK] };
    expect(at(await call('CreateVolume', raw), 'volume')).toMatchObject({ capacity_bytes: mib(100).toString() });
    const xfs = { mount: { fs_type: 'xfs' }, access_mode: { mode: 'SINGLE_NODE_WRITER' } };
    const capacity = await call('GetCapacity', { volume_capabilities: [xfs] });
    expect(at(capacity, 'minimum_volume_size', 'value')).toBe(mib(300).toString());
  });

  test('the same name in two pools at once makes one volume', async () => {
    const { call, engine, second } = setUp();
    const both = await Promise.allSettled([
      call('CreateVolume', create()),
      call('CreateVolume', create({ parameters: { pool: 'slow' } })),
    ]);
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected']);
    expect([await engine.listVolumes(), await second.listVolumes()].map((list) => list.length)).toEqual([1, 0]);
  });

  test.each([
    ['SINGLE_NODE_WRITER', true],
    ['SINGLE_NODE_READER_ONLY', true],
    ['SINGLE_NODE_SINGLE_WRITER', true],
    ['SINGLE_NODE_MULTI_WRITER', true],
    ['MULTI_NODE_READER_ONLY', false],
    ['MULTI_NODE_SINGLE_WRITER', false],
    ['MULTI_NODE_MULTI_WRITER', false],
    ['UNKNOWN', false],
    [99, false],
  ])('access mode %s', async (name, taken) => {
    const { call } = setUp();
    const made = call('CreateVolume', create(mode(name)));
    expect(await outcome(made)).toBe(taken ? 'ok' : 'invalid');
  });

  const invalid: readonly (readonly [string, object])[] = [
    ['no name', { name: '' }],
    ['129 characters', { name: 'x'.repeat(129) }],
    ['a control character', { name: 'a\u0000b' }],
    ['no capabilities', { volume_capabilities: [] }],
    ['no access type', { volume_capabilities: [{ access_mode: { mode: 'SINGLE_NODE_WRITER' } }] }],
    ['no access mode', { volume_capabilities: [{ mount: {} }] }],
    ['block and mount', { volume_capabilities: [MOUNT, BLOCK] }],
    ['btrfs', { volume_capabilities: [{ ...MOUNT, mount: { fs_type: 'btrfs' } }] }],
    ['a mount group', { volume_capabilities: [{ ...MOUNT, mount: { volume_mount_group: '1000' } }] }],
    ['a flag that is no flag', { volume_capabilities: [{ ...MOUNT, mount: { mount_flags: ['noatime,bind'] } }] }],
    ['an unknown parameter', { parameters: { colour: 'blue' } }],
    ['mutable parameters', { mutable_parameters: { iops: '5' } }],
    ['5 KiB of parameters', { parameters: { pool: 'x'.repeat(5000) } }],
    ['scratch of nothing', { parameters: { scratch: 'true' } }],
    ['an empty source', { volume_content_source: {} }],
    [
      'ext4 and xfs',
      {
        parameters: { 'csi.storage.k8s.io/fstype': 'ext4' },
        volume_capabilities: [{ ...MOUNT, mount: { fs_type: 'xfs' } }],
      },
    ],
  ];
  test.each(invalid)('%s is INVALID_ARGUMENT and changes nothing', async (_, more) => {
    const { call, engine } = setUp();
    expect((await refusal(call('CreateVolume', create(more)))).kind).toBe('invalid');
    expect(await engine.listVolumes()).toEqual([]);
  });

  test.each([
    ['negative', { required_bytes: '-1' }],
    ['negative limit', { required_bytes: '1', limit_bytes: '-1' }],
    ['required above limit', { required_bytes: '2000000', limit_bytes: '1000000' }],
    ['empty', {}],
  ])('a %s range is OUT_OF_RANGE', async (_, range) => {
    const { call } = setUp();
    expect((await refusal(call('CreateVolume', create({ capacity_range: range })))).kind).toBe('out-of-range');
  });

  test('no range: the default; only a limit: not more than that', async () => {
    const { call } = setUp();
    const sizeOf = async (name: string, range: object | null) =>
      text(await call('CreateVolume', create({ name, capacity_range: range })), 'volume', 'capacity_bytes');
    expect(await sizeOf('a', null)).toBe(DEFAULT_VOLUME_BYTES.toString());
    expect(await sizeOf('b', { limit_bytes: mib(64).toString() })).toBe(mib(64).toString());
    expect(await sizeOf('c', { limit_bytes: gib(64).toString() })).toBe(DEFAULT_VOLUME_BYTES.toString());
  });

  test.each(['ä'.repeat(128), '../../etc/passwd', 'a b\tc', '💾'.repeat(128)])('takes the name %j', async (name) => {
    const { call, engine } = setUp();
    await call('CreateVolume', create({ name }));
    expect((await engine.findVolume(name))?.name).toBe(name);
  });

  test.each([
    ['this node', { requisite: [place('other'), place(NODE)] }, true],
    ['nothing', {}, true],
    ['preferred only', { preferred: [place(NODE)] }, true],
    ['another node', { requisite: [place('other')], preferred: [place('other')] }, false],
    ['another node, this one preferred', { requisite: [place('other')], preferred: [place(NODE)] }, false],
    ['a key that is not ours', { requisite: [place(NODE, 'zone')] }, false],
  ])('accessibility: %s', async (_, requirements, taken) => {
    const { call } = setUp();
    const made = call('CreateVolume', create({ accessibility_requirements: requirements }));
    expect(await outcome(made)).toBe(taken ? 'ok' : 'exhausted');
  });

  test('a pool of another node is RESOURCE_EXHAUSTED, so that another node is tried', async () => {
    const { call } = setUp();
    const refused = await refusal(call('CreateVolume', create({ parameters: { pool: 'gold' } })));
    expect(refused).toEqual({
      kind: 'exhausted',
      message: "Cannot find pool 'gold' on this node: its pools are default, slow",
    });
  });

  test('the file system of the StorageClass reaches the node', async () => {
    const { call } = setUp();
    const made = await call('CreateVolume', create({ parameters: { 'csi.storage.k8s.io/fstype': 'xfs' } }));
    expect(at(made, 'volume', 'volume_context')).toEqual({ fsType: 'xfs' });
  });
});

describe('CreateVolume from a source', () => {
  const fromSnapshot = (id: string, more: object = {}) =>
    create({ name: 'fork', volume_content_source: { snapshot: { snapshot_id: id } }, ...more });

  test('a fork, as large as its snapshot when no size is given', async () => {
    const { call } = setUp();
    const volume = text(await call('CreateVolume', create()), 'volume', 'volume_id');
    const taken = await call('CreateSnapshot', { name: 's', source_volume_id: volume });
    const snapshot = text(taken, 'snapshot', 'snapshot_id');
    const fork = await call('CreateVolume', fromSnapshot(snapshot, { capacity_range: null }));
    expect(at(fork, 'volume', 'content_source', 'snapshot')).toEqual({ snapshot_id: snapshot });
    expect(at(fork, 'volume', 'capacity_bytes')).toBe(gib(1).toString());
    const small = fromSnapshot(snapshot, { name: 'small', capacity_range: { required_bytes: mib(1).toString() } });
    expect((await refusal(call('CreateVolume', small))).kind).toBe('out-of-range');
    const elsewhere = fromSnapshot(snapshot, { name: 'other', parameters: { pool: 'slow' } });
    expect((await refusal(call('CreateVolume', elsewhere))).kind).toBe('invalid');
  });

  test('a clone, scratch', async () => {
    const { call, engine } = setUp();
    const volume = text(await call('CreateVolume', create()), 'volume', 'volume_id');
    const source = { volume: { volume_id: volume } };
    await call('CreateVolume', create({ name: 'c', volume_content_source: source, parameters: { scratch: 'true' } }));
    expect((await engine.findVolume('c'))?.parameters.scratch).toBe(true);
  });

  test.each([
    ['lives on another node', 'default.QQQQQQ.s-0000000001', 'exhausted'],
    ['does not exist', 'default.AbCdEf.s-9999999999', 'not-found'],
    ['is a volume', 'default.AbCdEf.v-0000000001', 'not-found'],
    ['is no handle', 'non-existing-snapshot-id', 'not-found'],
    ['climbs', '../../../etc/passwd', 'not-found'],
    ['is too long', 'x'.repeat(129), 'invalid'],
  ])('a snapshot that %s', async (_, id, kind) => {
    const { call } = setUp();
    expect((await refusal(call('CreateVolume', fromSnapshot(id)))).kind).toBe(kind);
  });
});

describe('the other calls on volumes', () => {
  test('deleting what does not exist is done already, what may exist elsewhere is not', async () => {
    const { call } = setUp();
    const volume = text(await call('CreateVolume', create()), 'volume', 'volume_id');
    for (const id of [volume, volume, 'nonsense', '../x', 'default.AbCdEf.v-9999999999']) {
      expect(await call('DeleteVolume', { volume_id: id })).toEqual({});
    }
    const elsewhere = await refusal(call('DeleteVolume', { volume_id: 'default.QQQQQQ.v-0000000001' }));
    expect(elsewhere.kind).toBe('precondition');
    expect((await refusal(call('DeleteVolume', {}))).kind).toBe('invalid');
  });

  test('a pool that is away is UNAVAILABLE, and lists do not pretend that its volumes are gone', async () => {
    const engine = createFakeEngine();
    const pools = {
      names: () => [engine.pool, poolName('slow')],
      engines: () => new Map([[engine.pool, engine]]),
      waiting: () => new Map([[poolName('slow'), 'no disk has it']]),
      others: () => new Set<PoolName>(),
    };
    const call = callerOf(DEFINITIONS.controller, controllerService(pools, NODE));
    const refused = await Promise.all([
      refusal(call('DeleteVolume', { volume_id: 'slow.ZzZzZz.v-0000000001' })),
      refusal(call('CreateVolume', create({ parameters: { pool: 'slow' } }))),
      refusal(call('ListVolumes')),
      refusal(call('ListSnapshots')),
    ]);
    expect(refused.map(({ kind }) => kind)).toEqual(Array.from({ length: 4 }, () => 'unavailable'));
    expect(at(await call('CreateVolume', create()), 'volume', 'volume_id')).toBeDefined();
  });

  test('while the first pool is away, none takes its place: asked again, a name would be two volumes', async () => {
    const second = createFakeEngine({ pool: 'second' });
    const pools = {
      names: () => [poolName('first'), second.pool],
      engines: () => new Map([[second.pool, second]]),
      waiting: () => new Map([[poolName('first'), 'no disk has it']]),
      others: () => new Set<PoolName>(),
    };
    const call = callerOf(DEFINITIONS.controller, controllerService(pools, NODE));
    const refused = await refusal(call('CreateVolume', create()));
    expect(refused).toMatchObject({ kind: 'unavailable', message: expect.stringContaining("pool 'first'") });
    expect(at(await call('GetCapacity', {}), 'available_capacity')).toBe('0');
    expect(await second.listVolumes()).toEqual([]);
    expect(
      at(await call('CreateVolume', create({ parameters: { pool: 'second' } })), 'volume', 'volume_id'),
    ).toBeDefined();
  });

  test('ValidateVolumeCapabilities confirms what is possible and says what is not', async () => {
    const { call } = setUp();
    const id = text(await call('CreateVolume', create()), 'volume', 'volume_id');
    const ask = async (more: object) =>
      call('ValidateVolumeCapabilities', { volume_id: id, volume_capabilities: [MOUNT], ...more });
    expect(at(await ask({}), 'confirmed', 'volume_capabilities')).toHaveLength(1);
    const multi = await ask(mode('MULTI_NODE_MULTI_WRITER'));
    expect(at(multi, 'confirmed')).toBeNull();
    expect(at(multi, 'message')).toContain('MULTI_NODE_MULTI_WRITER');
    expect(at(await ask({ volume_capabilities: [MOUNT, BLOCK] }), 'confirmed')).toBeNull();
    const raw = await ask({ volume_capabilities: [BLOCK] });
    expect(at(raw, 'confirmed', 'volume_capabilities', 0, 'block')).toEqual({});
    const unknown = await ask({ parameters: { colour: 'red' } });
    expect(at(unknown, 'confirmed')).toBeNull();
    expect(at(unknown, 'message')).toContain('colour');
    for (const parameters of [{ layout: 'raid1' }, { pool: 'slow' }, { chunkSize: '64Ki', scratch: 'true' }])
      expect(at(await ask({ parameters }), 'confirmed')).toBeNull();
    expect(at(await ask({ parameters: { layout: 'linear' } }), 'confirmed', 'parameters')).toEqual({
      layout: 'linear',
    });
    expect((await refusal(ask({ volume_capabilities: [] }))).kind).toBe('invalid');
    expect((await refusal(ask({ volume_id: 'nonsense' }))).kind).toBe('not-found');
  });

  test('ListVolumes in pages over both pools', async () => {
    const { call } = setUp();
    for (const name of ['a', 'b', 'c']) await call('CreateVolume', create({ name }));
    await call('CreateVolume', create({ name: 'd', parameters: { pool: 'slow' } }));
    const first = await call('ListVolumes', { max_entries: 3 });
    expect(at(first, 'entries')).toHaveLength(3);
    const second = await call('ListVolumes', { max_entries: 3, starting_token: text(first, 'next_token') });
    expect(at(second, 'entries')).toHaveLength(1);
    expect(at(second, 'next_token')).toBe('');
    expect((await refusal(call('ListVolumes', { starting_token: 'nonsense' }))).kind).toBe('busy');
    expect((await refusal(call('ListVolumes', { max_entries: -1 }))).kind).toBe('invalid');
  });

  test('GetCapacity of the default pool, of one that is not here, of another node', async () => {
    const { call } = setUp();
    const available = async (request: object) => text(await call('GetCapacity', request), 'available_capacity');
    expect(await available({})).toBe(gib(100).toString());
    expect(await available({ accessible_topology: place(NODE) })).toBe(gib(100).toString());
    expect(await available({ accessible_topology: place('other') })).toBe('0');
    expect(await available({ parameters: { pool: 'gold' } })).toBe('0');
    expect(await available(mode('MULTI_NODE_MULTI_WRITER'))).toBe('0');
    expect((await refusal(available({ parameters: { colour: 'blue' } }))).kind).toBe('invalid');
  });

  test('health: an ill volume is listed, a healthy one is not', async () => {
    const { call, engine } = setUp();
    const id = text(await call('CreateVolume', create()), 'volume', 'volume_id');
    expect(at(await call('ControllerListVolumeHealth'), 'entries')).toEqual([]);
    engine.report.volumeHealth.set(volumeId('v-0000000001'), { state: 'degraded', reason: 'its store is full' });
    const ill = { status: 'DEGRADED', reason: 'Degraded', message: 'its store is full' };
    expect(at(await call('ControllerGetVolumeHealth', { volume_id: id }), 'volume_health')).toEqual({
      volume_id: id,
      health_statuses: [ill],
    });
    expect(at(await call('ControllerListVolumeHealth'), 'entries')).toHaveLength(1);
    for (const [state, status] of [
      ['inaccessible', 'INACCESSIBLE'],
      ['lost', 'DATA_LOSS'],
    ] as const) {
      engine.report.volumeHealth.set(volumeId('v-0000000001'), { state, reason: 'a disk' });
      const reply = await call('ControllerGetVolumeHealth', { volume_id: id });
      expect(at(reply, 'volume_health', 'health_statuses', 0)).toMatchObject({ status, message: 'a disk' });
    }
  });
});
