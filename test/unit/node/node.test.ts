import { describe, expect, test } from 'vitest';
import type { CreateVolume } from '../../../src/engine/engine.ts';
import { fail } from '../../../src/vocabulary/errors.ts';
import type { VolumeId } from '../../../src/vocabulary/ids.ts';
import { deviceKey, dmUuid, handleText, volumeId } from '../../../src/vocabulary/ids.ts';
import { nodeService } from '../../../src/node/node.ts';
import { readyPools } from '../../../src/pools/pools.ts';
import { gib, kib } from '../../../src/vocabulary/units.ts';
import { DEFINITIONS, at, callerOf, outcome, refusal } from '../controller/call.ts';
import { FAKE_VG, createFakeEngine, numberedDevices } from '../controller/fake-engine.ts';
import type { FakeDevices } from '../controller/fake-engine.ts';
import { Killed, createFakeNode } from './fake-node.ts';

const STAGING = '/kubelet/staging';
const TARGET = '/kubelet/pods/a/mount';
const OTHER = volumeId('v-9999999999');

const REQUEST: CreateVolume = {
  name: 'v',
  requiredBytes: gib(1),
  limitBytes: undefined,
  parameters: { layout: 'linear', chunk: kib(64), snapshotReservePercent: 10, onFull: 'wait', scratch: false },
  source: undefined,
};

/** One volume of 1 GiB on a node in memory. */
async function setUp() {
  const node = createFakeNode();
  const numbered = numberedDevices();
  const devices: FakeDevices = {
    ...numbered,
    activate: async (...args) => {
      const active = await numbered.activate(...args);
      node.attach(active, dmUuid(FAKE_VG, deviceKey(args[0], 'top')));
      return active;
    },
    resize: async (...args) => {
      const active = await numbered.resize(...args);
      node.attach(active);
      return active;
    },
  };
  const engine = createFakeEngine({ devices });
  const { id } = await engine.createVolume(REQUEST);
  const ready = readyPools(new Map([[engine.pool, engine]]));
  /** Of the pool, once it is away: why, and whether another process has it. */
  let away: { readonly why: string | undefined; readonly owned: boolean } | undefined;
  const service = nodeService({
    pools: {
      ...ready,
      engines: () => (away === undefined ? ready.engines() : new Map()),
      waiting: () => new Map(away === undefined ? [] : [[engine.pool, away.why]]),
      others: () => new Set(away?.owned === true ? [engine.pool] : []),
    },
    nodeName: 'node-1',
    maxVolumes: 7,
    exec: node.exec,
    files: node.files,
  });
  const call = callerOf(DEFINITIONS.node, service);
  const volume = handleText(engine.pool, engine.vg, id);
  const device = async () => {
    const active = await engine.activate(id);
    return node.attach(active);
  };
  const goAway = (why: string | undefined, owned = false): void => {
    away = { why, owned };
  };
  return { node, engine, id, volume, device, goAway, ...callsOn(call, volume) };
}

type Access = {
  readonly fs?: string;
  readonly mode?: string;
  readonly block?: boolean;
  readonly flags?: readonly string[];
};

function capability({ fs = '', mode = 'SINGLE_NODE_MULTI_WRITER', block = false, flags = [] }: Access) {
  const access = block ? { block: {} } : { mount: { fs_type: fs, mount_flags: flags } };
  return { ...access, access_mode: { mode } };
}

function callsOn(call: ReturnType<typeof callerOf>, volume: string) {
  return {
    call,
    stage: async (access: Access = {}, more: object = {}) =>
      call('NodeStageVolume', {
        volume_id: volume,
        staging_target_path: STAGING,
        volume_capability: capability(access),
        ...more,
      }),
    unstage: async (more: object = {}) =>
      call('NodeUnstageVolume', { volume_id: volume, staging_target_path: STAGING, ...more }),
    publish: async (access: Access = {}, more: object = {}) =>
      call('NodePublishVolume', {
        volume_id: volume,
        staging_target_path: STAGING,
        target_path: TARGET,
        volume_capability: capability(access),
        ...more,
      }),
    unpublish: async (more: object = {}) =>
      call('NodeUnpublishVolume', { volume_id: volume, target_path: TARGET, ...more }),
    expand: async (more: object = {}) => call('NodeExpandVolume', { volume_id: volume, volume_path: TARGET, ...more }),
  };
}

describe('a mount volume', () => {
  test.each([
    [{}, 'ext4', 'rw'],
    [{ fs: 'ext4' }, 'ext4', 'rw'],
    [{ fs: 'xfs' }, 'xfs', 'rw,nouuid'],
    [{ fs: 'xfs', flags: ['noatime'] }, 'xfs', 'rw,nouuid,noatime'],
    [{ mode: 'SINGLE_NODE_READER_ONLY' }, 'ext4', 'ro'],
  ])('%j', async (access, fsType, options) => {
    const { node, stage } = await setUp();
    await stage(access);
    expect(node.ran.filter((line) => /^(mkfs|mount)/.test(line)).map((line) => line.split(' ')[0])).toEqual([
      `mkfs.${fsType}`,
      'mount',
    ]);
    expect(node.ran.at(-1)).toBe(`mount -t ${fsType} -o ${options} /dev/dm-0 ${STAGING}`);
  });

  test('staged, published, unpublished, unstaged, each twice: nothing is left', async () => {
    const { node, engine, id, stage, publish, unpublish, unstage } = await setUp();
    for (const step of [stage, stage, publish, publish]) await step();
    expect(node.mounts).toHaveLength(2);
    for (const step of [unpublish, unstage, unstage]) await step();
    expect(node.mounts).toEqual([]);
    expect(node.paths.has(TARGET)).toBe(false);
    expect(await engine.active(id)).toBeUndefined();
    expect(await unpublish()).toEqual({});
  });

  test('the file system of volume_context, unless the capability says another', async () => {
    const { node, stage } = await setUp();
    await stage({}, { volume_context: { fsType: 'xfs' } });
    expect(node.ran).toContain('mkfs.xfs -f -q -K -i nrext64=0 /dev/dm-0');
    const other = await setUp();
    expect((await refusal(other.stage({}, { volume_context: { fsType: 'btrfs' } }))).kind).toBe('invalid');
  });

  test('what is there is mounted, and grown when it is smaller than the device', async () => {
    for (const fs of ['ext4', 'xfs']) {
      const { node, stage, device } = await setUp();
      const on = await device();
      Object.assign(on, { signature: fs, filesystemBytes: gib(1) / 2n });
      await stage();
      expect(node.ran.join('\n')).not.toContain('mkfs');
      expect(on.filesystemBytes).toBe(gib(1));
      await stage();
      expect(node.ran.filter((line) => /resize2fs|growfs/.test(line))).toHaveLength(1);
    }
  });

  test('a read-only one is not grown', async () => {
    const { stage, device } = await setUp();
    const on = await device();
    Object.assign(on, { signature: 'ext4', filesystemBytes: gib(1) / 2n });
    await stage({ mode: 'SINGLE_NODE_READER_ONLY' });
    expect(on.filesystemBytes).toBe(gib(1) / 2n);
  });

  test.each(['LVM2_member', 'crypto_LUKS', 'linux_raid_member', 'btrfs', 'swap'])(
    'what holds %s is never formatted',
    async (signature) => {
      const { node, stage, device } = await setUp();
      (await device()).signature = signature;
      const refused = await refusal(stage());
      expect(refused.kind).toBe('precondition');
      expect(refused.message).toContain(signature);
      expect(node.ran.join('\n')).not.toMatch(/mkfs|mount/);
    },
  );

  test.each([0n, 512n, gib(1) / 2n, gib(1) - 512n])(
    'bytes without a signature at %s are never formatted',
    async (place) => {
      const { node, stage, device } = await setUp();
      (await device()).pieces.set(place, new Uint8Array([7]));
      expect((await refusal(stage())).kind).toBe('precondition');
      expect(node.ran.join('\n')).not.toContain('mkfs');
    },
  );

  test('ext4 whose end looks like a RAID member is the ext4 that reaches over it', async () => {
    const { node, stage, device } = await setUp();
    const on = await device();
    Object.assign(on, { signature: 'ext4', filesystemBytes: gib(1) });
    on.others.push({ offset: gib(1) - 8192n, type: 'linux_raid_member' });
    await stage();
    expect(node.ran.at(-1)).toMatch(/^mount -t ext4/);
  });

  test.each([
    ['behind the end of the file system', gib(1) - 8192n, gib(1) - 65_536n],
    ['where no file lies', 0x218n, gib(1)],
  ])('a RAID member %s is never mounted as what lies in it', async (_, offset, filesystemBytes) => {
    const { node, stage, device } = await setUp();
    const on = await device();
    Object.assign(on, { signature: 'ext4', filesystemBytes });
    on.others.push({ offset, type: 'linux_raid_member' });
    expect((await refusal(stage())).message).toContain('holds linux_raid_member');
    expect(node.ran.join('\n')).not.toMatch(/mkfs|mount/);
  });

  test('ext4 with an error that was noted is mended before it is mounted, a clean one is not looked at', async () => {
    const { node, stage, device } = await setUp();
    const on = await device();
    Object.assign(on, { signature: 'ext4', filesystemBytes: gib(1), errors: 'mendable' });
    await stage();
    expect(node.ran.filter((line) => /^(e2fsck|mount)/.test(line)).map((line) => line.split(' ')[0])).toEqual([
      'e2fsck',
      'mount',
    ]);
    const clean = await setUp();
    Object.assign(await clean.device(), { signature: 'ext4', filesystemBytes: gib(1) });
    await clean.stage();
    expect(clean.node.ran.join('\n')).not.toContain('e2fsck');
  });

  test('ext4 that e2fsck cannot look at is the kernel’s to decide on', async () => {
    const { node, stage, device } = await setUp();
    Object.assign(await device(), { signature: 'ext4', filesystemBytes: gib(1), errors: 'not looked at' });
    await stage();
    expect(node.ran.at(-1)).toMatch(/^mount -t ext4/);
  });

  test('ext4 with errors that need a decision is not mounted for writing, and the way out is told', async () => {
    const { node, stage, device } = await setUp();
    Object.assign(await device(), { signature: 'ext4', filesystemBytes: gib(1), errors: 'left' });
    const refused = await refusal(stage());
    expect(refused.kind).toBe('precondition');
    expect(refused.message).toContain('docs/recovery.md');
    expect(node.mounts).toEqual([]);
    await stage({ mode: 'SINGLE_NODE_READER_ONLY' });
    expect(node.mounts).toHaveLength(1);
  });

  test('another file system than asked is refused, not formatted', async () => {
    const { node, stage, device } = await setUp();
    Object.assign(await device(), { signature: 'ext4', filesystemBytes: gib(1) });
    expect((await refusal(stage({ fs: 'xfs' }))).message).toContain('holds ext4');
    expect(node.ran.join('\n')).not.toContain('mkfs');
  });

  test('what was made from a snapshot is staged as what it is, whatever its class says', async () => {
    const { node, engine, id, stage } = await setUp();
    const { id: snapshot } = await engine.createSnapshot(id, 'friday');
    const fork = await engine.createVolume({ ...REQUEST, name: 'fork', source: { from: 'snapshot', snapshot } });
    const shown = node.attach(await engine.activate(fork.id));
    Object.assign(shown, { signature: 'xfs', filesystemBytes: gib(1) });
    const at = { volume_id: handleText(engine.pool, engine.vg, fork.id) };
    await stage({ fs: 'ext4' }, at);
    expect(node.ran.join('\n')).toContain('mount -t xfs');
    expect(node.ran.join('\n')).not.toContain('mkfs');
    await stage({ fs: 'ext4' }, at);
  });

  test('an expansion that something stands in the way of is asked for again', async () => {
    const { engine, stage, publish, expand } = await setUp();
    await stage();
    await publish();
    Object.assign(engine, { expandVolume: async () => fail('precondition', 'another time') });
    expect(await refusal(expand({ capacity_range: { required_bytes: '4294967296' } }))).toMatchObject({
      kind: 'busy',
      message: 'another time',
    });
  });

  test('is unpublished and unstaged while its pool is away', async () => {
    const { node, stage, publish, unpublish, unstage, goAway } = await setUp();
    await stage();
    await publish();
    goAway('no disk has it');
    await unpublish();
    await unstage();
    expect(node.mounts).toEqual([]);
    expect(node.ran.at(-1)).toMatch(/^dmsetup remove --noudevsync --uuid SNAPMERGE-/);
    expect(await node.files.numberOf(() => true)).toBeUndefined();
    // Asked again, there is nothing left to do.
    await unpublish();
  });

  test('is unstaged while LVM does not answer, or its records are in trouble', async () => {
    for (const kind of ['unavailable', 'contradiction'] as const) {
      const { node, engine, stage, publish, unpublish, unstage } = await setUp();
      await stage();
      await publish();
      Object.assign(engine, { getVolume: async () => fail(kind, 'another time') });
      await unpublish();
      await unstage();
      expect(node.mounts).toEqual([]);
      expect(await outcome(publish())).toBe(kind);
    }
  });

  test.each([
    ['another process owns its pool', 'somebody has it', true],
    ['its pool is being started', undefined, false],
  ])('keeps its device while %s', async (_, why, owned) => {
    const { node, stage, unstage, goAway } = await setUp();
    await stage();
    goAway(why, owned);
    expect((await refusal(unstage())).kind).toBe('unavailable');
    expect(node.mounts).toEqual([]);
    expect(node.ran.join('\n')).not.toContain('dmsetup');
  });

  test('staged otherwise is ALREADY_EXISTS', async () => {
    const { stage } = await setUp();
    await stage({ fs: 'ext4' });
    expect((await refusal(stage({ fs: 'xfs' }))).kind).toBe('exists');
    expect((await refusal(stage({ mode: 'SINGLE_NODE_READER_ONLY' }))).kind).toBe('exists');
    expect((await refusal(stage({ block: true }))).kind).toBe('exists');
    const flagged = await refusal(stage({ fs: 'ext4', flags: ['noexec'] }));
    expect([flagged.kind, flagged.message]).toEqual(['exists', expect.stringContaining('without noexec')]);
    expect((await refusal(stage({}, { staging_target_path: '/elsewhere' }))).kind).toBe('precondition');
  });

  test.each([
    [{ flags: ['ro'] }, 'ro'],
    [{ flags: ['rw,noatime', 'ro'] }, 'ro,noatime'],
    [{ flags: ['ro', 'rw'] }, 'rw'],
    // A reader never writes, whatever a flag says.
    [{ mode: 'SINGLE_NODE_READER_ONLY', flags: ['rw'] }, 'ro'],
  ])('read-only by a flag is read-only, and the same when it is asked for again: %j', async (access, options) => {
    const { node, stage, publish } = await setUp();
    const readOnly = options.startsWith('ro');
    for (const step of [stage, stage, publish, publish]) await step(access);
    expect(node.ran.find((line) => line.startsWith('mount -t'))).toContain(`-o ${options} /dev/dm-0`);
    expect(node.mounts.map((entry) => entry.options.includes('ro'))).toEqual([readOnly, readOnly]);
    const other = await refusal(stage(readOnly ? {} : { flags: ['ro'] }));
    expect(other.kind).toBe('exists');
  });

  test('its device is handed to nobody beside the file system', async () => {
    const { stage, unstage, publish, unpublish } = await setUp();
    const raw = { block: true } as const;
    await stage();
    expect(await refusal(publish(raw))).toMatchObject({
      kind: 'precondition',
      message: expect.stringContaining(`its file system is mounted at ${STAGING}`),
    });
    expect((await refusal(stage(raw, { staging_target_path: '/elsewhere' }))).kind).toBe('precondition');
    await unstage();
    await stage(raw);
    await publish(raw);
    await unpublish();
  });

  test('a file system that has stopped is told, unpublished, unstaged, and staged anew', async () => {
    const { node, call, volume, stage, publish, unpublish, unstage, device } = await setUp();
    await stage();
    await publish();
    node.stopped.add(node.mounts[0]?.majorMinor ?? '');
    const health = await call('NodeGetVolumeHealth', { volume_id: volume });
    expect(at(health, 'volume_health', 'health_statuses', 0)).toMatchObject({ reason: 'FilesystemStopped' });
    expect((await refusal(stage())).message).toContain('has stopped after an error');
    await unpublish();
    await unstage();
    expect([node.mounts, node.paths.has(TARGET)]).toEqual([[], false]);
    node.stopped.clear();
    await device();
    await stage();
  });

  test('a raw volume that a restore has found unused is handed to nobody before that has begun', async () => {
    const { node, engine, stage, publish } = await setUp();
    await stage({ block: true });
    Object.assign(engine, { stage: async () => fail('precondition', 'a restore of it is being set up') });
    expect((await refusal(publish({ block: true }))).message).toContain('being set up');
    expect(node.mounts).toEqual([]);
  });

  test('a folder that is seen under two paths is one place', async () => {
    const { node, stage, publish, unpublish, unstage } = await setUp();
    const mode = 'SINGLE_NODE_SINGLE_WRITER';
    await stage({ mode });
    node.mounts.push(...node.mounts.map((entry) => ({ ...entry, mountPoint: `/seen-twice${entry.mountPoint}` })));
    await publish({ mode });
    await unpublish();
    node.mounts.splice(1);
    await unstage();
    expect(node.mounts).toEqual([]);
  });

  test('the same flags in other words are the same, and a target has those of its staging', async () => {
    const { stage, publish } = await setUp();
    await stage({ flags: ['noatime,nodev', 'commit=30'] });
    await stage({ flags: ['nodev', 'commit=60', 'noatime'] });
    expect((await refusal(stage({}))).message).toContain('with nodev');
    await publish({ flags: [] });
    await publish({ flags: [] });
    await publish({ flags: ['noatime'] });
    expect((await refusal(publish({ flags: ['nosuid'] }))).kind).toBe('exists');
    // What stands for several, or takes one back, is not compared.
    for (const flags of [['users'], ['noexec', 'exec'], ['noatime,relatime']]) await publish({ flags });
  });

  test('published read-only, and otherwise is ALREADY_EXISTS', async () => {
    const { node, stage, publish } = await setUp();
    await stage({ flags: ['nosuid,noatime'] });
    await publish({ flags: ['nosuid,noatime', 'data=ordered'] }, { readonly: true });
    expect(node.ran.at(-1)).toBe(`mount -o bind,ro,nosuid,noatime ${STAGING} ${TARGET}`);
    expect((await refusal(publish())).kind).toBe('exists');
    expect((await refusal(publish({ block: true }))).kind).toBe('exists');
  });

  test.each([
    ['SINGLE_NODE_WRITER', false],
    ['SINGLE_NODE_SINGLE_WRITER', false],
    ['SINGLE_NODE_READER_ONLY', false],
    ['SINGLE_NODE_MULTI_WRITER', true],
  ])('a second target with %s', async (mode, taken) => {
    const { stage, publish } = await setUp();
    await stage({ mode });
    await publish({ mode });
    const second = publish({ mode }, { target_path: '/kubelet/pods/b/mount' });
    expect(await outcome(second)).toBe(taken ? 'ok' : 'precondition');
  });

  test('publishing needs staging; unstaging needs unpublishing', async () => {
    const { stage, publish, unstage } = await setUp();
    expect((await refusal(publish())).kind).toBe('precondition');
    await stage();
    expect((await refusal(publish({}, { staging_target_path: '' }))).kind).toBe('precondition');
    expect((await refusal(publish({}, { staging_target_path: '/elsewhere' }))).kind).toBe('precondition');
    await publish();
    expect((await refusal(unstage())).message).toContain(TARGET);
  });
});

describe('a raw volume', () => {
  test('its device node is published on a file, and taken away again', async () => {
    const { node, engine, id, stage, publish, unpublish, unstage } = await setUp();
    for (const step of [stage, stage, publish, publish]) await step({ block: true });
    expect(node.ran.filter((line) => !line.includes('--list'))).toEqual([`mount -o bind,rw /dev/dm-0 ${TARGET}`]);
    expect((await refusal(unstage())).kind).toBe('precondition');
    for (const step of [unpublish, unstage]) await step();
    expect(node.paths.has(TARGET)).toBe(false);
    expect(await engine.active(id)).toBeUndefined();
  });

  test('published read-only through a read-only loop device, also when killed on the way', async () => {
    for (const lives of [Number.POSITIVE_INFINITY, 0, 1, 2]) {
      const { node, stage, publish, unpublish, unstage } = await setUp();
      await stage({ block: true });
      node.lives.left = lives;
      const published = publish({ block: true }, { readonly: true });
      expect(await Promise.allSettled([published])).toHaveLength(1);
      node.lives.left = Number.POSITIVE_INFINITY;
      await publish({ block: true }, { readonly: true });
      expect(node.mounts).toMatchObject([{ root: '/loop0', mountPoint: TARGET, options: ['ro'] }]);
      expect(await outcome(publish({ block: true }))).toBe('exists');
      expect(await outcome(unstage())).toBe('precondition');
      await unpublish();
      expect([node.loops.size, node.mounts.length, node.paths.size]).toEqual([0, 0, 0]);
      await unstage();
    }
  });

  test('a loop device that a killed driver left is taken away when it is unstaged', async () => {
    const { node, stage, publish, unstage } = await setUp();
    await stage({ block: true });
    node.lives.left = 2;
    await expect(publish({ block: true }, { readonly: true })).rejects.toThrow(Killed);
    node.lives.left = Number.POSITIVE_INFINITY;
    expect(node.loops.size).toBe(1);
    await unstage();
    expect(node.loops.size).toBe(0);
  });

  test('one target only, unless several writers are asked for', async () => {
    const { stage, publish } = await setUp();
    const access = { block: true, mode: 'SINGLE_NODE_SINGLE_WRITER' };
    await stage(access);
    await publish(access);
    expect((await refusal(publish(access, { target_path: '/b' }))).kind).toBe('precondition');
  });

  test('expansion leaves its content alone', async () => {
    const { node, stage, publish, expand } = await setUp();
    await stage({ block: true });
    await publish({ block: true });
    const size = gib(2).toString();
    expect(await expand({ capacity_range: { required_bytes: size } })).toEqual({ capacity_bytes: size });
    expect(node.ran.join('\n')).not.toMatch(/resize2fs|growfs/);
  });
});

describe('strangers', () => {
  const stranger = (mountPoint: string) => ({
    majorMinor: '8:1',
    root: '/',
    mountPoint,
    options: ['rw'],
    fsType: 'ext4',
    source: '/dev/sda1',
    superOptions: ['rw'],
  });

  test('what is mounted at a path of ours is neither covered nor unmounted', async () => {
    const { node, stage, publish, unpublish } = await setUp();
    await stage();
    node.paths.set(TARGET, 'directory');
    node.mounts.push(stranger(TARGET));
    expect((await refusal(publish())).message).toContain('/dev/sda1');
    expect((await refusal(unpublish())).kind).toBe('precondition');
    node.mounts.splice(0, 1, stranger(STAGING));
    expect((await refusal(stage())).kind).toBe('precondition');
    expect(node.mounts).toHaveLength(2);
  });

  test('a directory with something in it is kept', async () => {
    const { node, unpublish } = await setUp();
    node.paths.set(TARGET, 'directory');
    node.paths.set(`${TARGET}/precious`, 'file');
    expect((await refusal(unpublish())).kind).toBe('precondition');
    expect(node.paths.has(TARGET)).toBe(true);
  });

  test.each(['relative/path', '/', '/a/../b', '/a//b', '/a/./b', '', `/${'x'.repeat(4096)}`, '/a\0b'])(
    'the path %j is INVALID_ARGUMENT',
    async (path) => {
      const { node, stage, unstage, publish, unpublish } = await setUp();
      const refused = await Promise.all([
        refusal(stage({}, { staging_target_path: path })),
        refusal(unstage({ staging_target_path: path })),
        refusal(publish({}, { target_path: path })),
        refusal(unpublish({ target_path: path })),
      ]);
      expect(refused.map(({ kind }) => kind)).toEqual(['invalid', 'invalid', 'invalid', 'invalid']);
      expect(node.ran).toEqual([]);
    },
  );

  test.each(['default.AbCdEf.v-9999999999', 'default.QQQQQQ.v-0000000001', '../../x', 'nonsense'])(
    'the volume %j is NOT_FOUND',
    async (volume) => {
      const { stage, unstage, publish, unpublish, expand } = await setUp();
      const id = { volume_id: volume };
      const calls = [stage({}, id), unstage(id), publish({}, id), unpublish(id), expand(id)];
      const refused = await Promise.all(calls.map(refusal));
      expect(refused.map(({ kind }) => kind)).toEqual(Array.from({ length: 5 }, () => 'not-found'));
    },
  );
});

describe('a driver killed before any of its effects', () => {
  const whole = async (fs: string, lives: number): Promise<boolean> => {
    const { node, engine, id, stage, publish, unpublish, unstage } = await setUp();
    node.lives.left = lives;
    let killed = false;
    const again = async (step: () => Promise<unknown>): Promise<void> => {
      try {
        await step();
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
        killed = true;
        node.lives.left = Number.POSITIVE_INFINITY;
        await step();
      }
    };
    await again(async () => stage({ fs }));
    await again(async () => publish({ fs }));
    expect(node.mounts.map(({ mountPoint }) => mountPoint)).toEqual([STAGING, TARGET]);
    const on = node.devices.get('/dev/dm-0');
    expect(on?.signature).toBe(fs);
    // No mark is left that would let a later call format it again.
    expect([...(on?.pieces.values() ?? [])].some((piece) => Buffer.from(piece).includes('snapmerge'))).toBe(false);
    await again(unpublish);
    await again(unstage);
    expect(node.mounts).toEqual([]);
    expect(await engine.active(id)).toBeUndefined();
    return killed;
  };

  test.each(['ext4', 'xfs'])('%s: calling again is enough', async (fs) => {
    let lives = 0;
    while (await whole(fs, lives)) lives += 1;
    // mark, mkfs in two steps, mark away, directory, mount; directory, mount; unmount, directory; unmount.
    expect(lives).toBe(11);
  });

  test('a mark of another volume is no licence to format', async () => {
    const { node, stage, device, id } = await setUp();
    const on = await device();
    node.lives.left = 2;
    await expect(stage()).rejects.toThrow(Killed);
    node.lives.left = Number.POSITIVE_INFINITY;
    for (const [place, piece] of on.pieces) {
      const other: VolumeId = id;
      const words = Buffer.from(piece).toString().replace(other, 'v-zzzzzzzzzz');
      on.pieces.set(place, Buffer.from(words));
    }
    expect((await refusal(stage())).kind).toBe('precondition');
  });
});

describe('expansion, statistics, health', () => {
  test('expansion grows volume and file system, and is done already when it is that large', async () => {
    for (const fs of ['ext4', 'xfs']) {
      const { node, stage, publish, expand } = await setUp();
      await stage({ fs });
      await publish({ fs });
      const range = { capacity_range: { required_bytes: gib(2).toString() } };
      const grown = { capacity_bytes: gib(2).toString() };
      expect(await expand(range)).toEqual(grown);
      expect(node.devices.get('/dev/dm-0')?.filesystemBytes).toBe(gib(2));
      expect(await expand(range)).toEqual(grown);
      expect(await expand({ ...range, volume_path: STAGING })).toEqual(grown);
    }
  });

  test('expansion refuses what cannot be', async () => {
    const { stage, expand } = await setUp();
    await stage();
    const at = { volume_path: STAGING };
    const bad = { capacity_range: { required_bytes: '2', limit_bytes: '1' } };
    const smaller = { capacity_range: { limit_bytes: kib(512).toString() } };
    expect((await refusal(expand({ ...at, ...bad }))).kind).toBe('out-of-range');
    expect((await refusal(expand({ ...at, ...smaller }))).kind).toBe('out-of-range');
    expect((await refusal(expand({ volume_path: '/elsewhere' }))).kind).toBe('not-found');
    expect((await refusal(expand({ volume_path: '' }))).kind).toBe('invalid');
  });

  test('statistics of a mount and of a device', async () => {
    const { call, engine, volume, stage, publish } = await setUp();
    await stage();
    await publish();
    const ask = async (path: string) => call('NodeGetVolumeStats', { volume_id: volume, volume_path: path });
    expect(at(await ask(TARGET), 'usage')).toEqual([
      { unit: 'BYTES', total: '100', available: '60', used: '40' },
      { unit: 'INODES', total: '10', available: '6', used: '4' },
    ]);
    expect((await refusal(ask('/elsewhere'))).kind).toBe('not-found');
    expect((await refusal(ask('some/path'))).kind).toBe('not-found');
    const other = { volume_id: handleText(engine.pool, engine.vg, OTHER), volume_path: TARGET };
    expect((await refusal(call('NodeGetVolumeStats', other))).kind).toBe('not-found');
    const raw = await setUp();
    await raw.stage({ block: true });
    await raw.publish({ block: true });
    const stats = await raw.call('NodeGetVolumeStats', { volume_id: raw.volume, volume_path: TARGET });
    expect(at(stats, 'usage', 0)).toMatchObject({ unit: 'BYTES', total: gib(1).toString() });
  });

  test('a file system that met an error is reported', async () => {
    const { node, call, volume, engine, id, stage } = await setUp();
    await stage();
    const ask = async () =>
      at(await call('NodeGetVolumeHealth', { volume_id: volume }), 'volume_health', 'health_statuses');
    expect(await ask()).toEqual([]);
    const [staged] = node.mounts;
    if (staged !== undefined) node.mounts[0] = { ...staged, superOptions: ['ro'] };
    engine.report.volumeHealth.set(id, { state: 'degraded', reason: 'a disk is missing' });
    expect(await ask()).toMatchObject([
      { status: 'DEGRADED', message: 'a disk is missing' },
      { status: 'INACCESSIBLE', reason: 'FilesystemReadOnly' },
    ]);
  });

  test('storage health and info', async () => {
    const { call, engine } = await setUp();
    expect(at(await call('NodeGetStorageHealth'), 'backend_health')).toEqual([]);
    engine.report.health = { ready: false, reachable: false, problems: ['LVM does not answer'] };
    expect(at(await call('NodeGetStorageHealth'), 'backend_health', 0)).toMatchObject({
      status: 'STORAGE_UNREACHABLE',
    });
    engine.report.health = { ready: false, reachable: true, problems: ['1 disks are missing'] };
    expect(at(await call('NodeGetStorageHealth'), 'backend_health', 0)).toMatchObject({ status: 'STORAGE_DEGRADED' });
    expect(await call('NodeGetInfo')).toEqual({
      node_id: 'node-1',
      max_volumes_per_node: '7',
      accessible_topology: { segments: { 'topology.snapmerge.io/node': 'node-1' } },
    });
  });

  test('storage health has one entry for each reason', async () => {
    const { engine } = await setUp();
    const second = createFakeEngine({ pool: 'second' });
    for (const { report } of [engine, second])
      report.health = { ready: false, reachable: false, problems: ['no answer'] };
    const node = createFakeNode();
    const pools = readyPools(new Map([engine, second].map((one) => [one.pool, one])));
    const service = nodeService({ pools, nodeName: 'n', maxVolumes: 0, exec: node.exec, files: node.files });
    const reply = await callerOf(DEFINITIONS.node, service)('NodeGetStorageHealth');
    expect(at(reply, 'backend_health')).toMatchObject([
      {
        status: 'STORAGE_UNREACHABLE',
        reason: 'PoolNotReady',
        message: `pool '${engine.pool}': no answer; pool 'second': no answer`,
      },
    ]);
  });

  test('calls on one volume follow each other', async () => {
    const { node, stage, unstage } = await setUp();
    await Promise.all([stage(), stage(), unstage(), stage()]);
    expect(node.mounts).toHaveLength(1);
    expect(node.ran.filter((line) => line.startsWith('mkfs'))).toHaveLength(1);
  });
});
