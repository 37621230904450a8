// One pool in memory, for tests of the edge: it keeps names, sizes and sources and obeys the promises of engine.ts, and
// shows devices that somebody else provides (none, or loop devices).

import type {
  ActiveVolume,
  CreateVolume,
  Engine,
  Health,
  PoolHealth,
  Restore,
  Snapshot,
  Volume,
} from '../../../src/engine/engine.ts';
import { fail } from '../../../src/vocabulary/errors.ts';
import { poolName, snapshotId, vgUuid, volumeId } from '../../../src/vocabulary/ids.ts';
import type { SnapshotId, VgUuid, VolumeId } from '../../../src/vocabulary/ids.ts';
import { MAX_CHUNK_BYTES, bytes, gib, roundUp } from '../../../src/vocabulary/units.ts';
import type { Bytes } from '../../../src/vocabulary/units.ts';

export interface FakeDevices {
  readonly activate: (id: VolumeId, size: Bytes, copyOf: VolumeId | SnapshotId | undefined) => Promise<ActiveVolume>;
  readonly resize: (id: VolumeId, size: Bytes) => Promise<ActiveVolume>;
  readonly deactivate: (id: VolumeId) => Promise<void>;
  readonly snapshot: (id: SnapshotId, volume: VolumeId) => Promise<void>;
  readonly remove: (id: VolumeId | SnapshotId) => Promise<void>;
}

/** Devices that are only numbers: `/dev/dm-N`, 253:N. */
export function numberedDevices(): FakeDevices {
  const minors = new Map<VolumeId, number>();
  const show = (id: VolumeId, size: Bytes): ActiveVolume => {
    const minor = minors.get(id) ?? minors.size;
    minors.set(id, minor);
    return { path: `/dev/dm-${minor}`, majorMinor: `253:${minor}`, size };
  };
  return {
    activate: async (id, size) => show(id, size),
    resize: async (id, size) => show(id, size),
    deactivate: async () => undefined,
    snapshot: async () => undefined,
    remove: async () => undefined,
  };
}

export interface FakeEngineOptions {
  readonly pool?: string;
  readonly vg?: VgUuid;
  readonly size?: Bytes;
  readonly devices?: FakeDevices;
  readonly now?: () => number;
}

export interface FakeEngine extends Engine {
  /** What the next calls report. */
  readonly report: { health: PoolHealth; volumeHealth: Map<VolumeId, Health> };
  readonly restores: Map<string, Restore>;
}

export const FAKE_VG = vgUuid('AbCdEf0123456789AbCdEf0123456789');

export function createFakeEngine(options: FakeEngineOptions = {}): FakeEngine {
  const pool = poolName(options.pool ?? 'default');
  const devices = options.devices ?? numberedDevices();
  const poolSize = options.size ?? gib(100);
  let ticks = 1_700_000_000_000;
  const now = options.now ?? (() => (ticks += 1));
  let counter = 0;
  const draw = (): string => (counter += 1).toString().padStart(10, '0');

  interface Stored {
    readonly request: CreateVolume;
    readonly volume: Volume;
  }
  const volumes = new Map<VolumeId, Stored>();
  const snapshots = new Map<SnapshotId, Snapshot>();
  const shown = new Map<VolumeId, ActiveVolume>();
  const report: FakeEngine['report'] = {
    health: { ready: true, reachable: true, problems: [] },
    volumeHealth: new Map(),
  };
  const restores = new Map<string, Restore>();

  const current = (stored: Stored): Volume => ({
    ...stored.volume,
    active: shown.has(stored.volume.id),
    health: report.volumeHealth.get(stored.volume.id) ?? { state: 'healthy' },
  });
  const byName = (name: string): Stored | undefined =>
    [...volumes.values()].find((stored) => stored.request.name === name);
  const used = (): bigint => [...volumes.values()].reduce((sum, { volume }) => sum + volume.size, 0n);

  const sizeOfSource = ({ source }: CreateVolume): Bytes => {
    if (source === undefined) return bytes(0);
    const found = source.from === 'snapshot' ? snapshots.get(source.snapshot) : volumes.get(source.volume)?.volume;
    return found?.size ?? fail('not-found', 'Cannot find the source: it does not exist');
  };

  const fits = (volume: Volume, { requiredBytes, limitBytes }: CreateVolume): boolean =>
    volume.size >= requiredBytes && (limitBytes === undefined || volume.size <= limitBytes);

  return {
    pool,
    vg: options.vg ?? FAKE_VG,
    report,
    restores,

    createVolume: async (request) => {
      const existing = byName(request.name);
      if (existing !== undefined) {
        const same =
          fits(existing.volume, request) &&
          JSON.stringify(existing.request.source) === JSON.stringify(request.source) &&
          JSON.stringify(existing.request.parameters, plain) === JSON.stringify(request.parameters, plain);
        return same ? current(existing) : fail('exists', `Cannot create volume '${request.name}': it exists otherwise`);
      }
      const source = sizeOfSource(request);
      if (request.requiredBytes < source) fail('out-of-range', 'Cannot create a volume smaller than its source');
      const size = roundUp(request.requiredBytes, MAX_CHUNK_BYTES);
      if (request.limitBytes !== undefined && size > request.limitBytes) {
        fail(
          'out-of-range',
          `Cannot create a volume of at most ${request.limitBytes} bytes: sizes are multiples of 512Ki`,
        );
      }
      if (used() + size > poolSize) fail('exhausted', `Cannot create ${size} bytes: ${poolSize - used()} are free`);
      const volume: Volume = {
        id: volumeId(`v-${draw()}`),
        name: request.name,
        size,
        createdMs: now(),
        parameters: request.parameters,
        source: request.source,
        active: false,
        health: { state: 'healthy' },
      };
      volumes.set(volume.id, { request, volume });
      return volume;
    },
    deleteVolume: async (id) => {
      if (shown.has(id)) fail('precondition', `Cannot delete ${id}: it is active`);
      volumes.delete(id);
      await devices.remove(id);
    },
    getVolume: async (id) => {
      const stored = volumes.get(id);
      return stored === undefined ? undefined : current(stored);
    },
    findVolume: async (name) => {
      const stored = byName(name);
      return stored === undefined ? undefined : current(stored);
    },
    listVolumes: async () => [...volumes.values()].map(current),
    expandVolume: async (id, requiredBytes, limitBytes) => {
      const stored = volumes.get(id) ?? fail('not-found', `Cannot expand ${id}: it does not exist`);
      const size = roundUp(requiredBytes, MAX_CHUNK_BYTES);
      if (limitBytes !== undefined && size > limitBytes)
        fail('out-of-range', `Cannot expand to ${size}: over the limit`);
      if (size <= stored.volume.size) return stored.volume.size;
      volumes.set(id, { ...stored, volume: { ...stored.volume, size } });
      if (shown.has(id)) shown.set(id, await devices.resize(id, size));
      return size;
    },
    capacity: async () => ({
      available: bytes(poolSize - used()),
      maximumVolume: bytes(poolSize - used()),
      minimumVolume: MAX_CHUNK_BYTES,
    }),

    createSnapshot: async (volume, name) => {
      const existing = [...snapshots.values()].find((snapshot) => snapshot.name === name);
      if (existing !== undefined) {
        return existing.volume === volume
          ? existing
          : fail('exists', `Cannot create snapshot '${name}': it exists of ${existing.volume}`);
      }
      const stored = volumes.get(volume) ?? fail('not-found', `Cannot snapshot ${volume}: it does not exist`);
      const id = snapshotId(`s-${draw()}`);
      const snapshot: Snapshot = {
        id,
        name,
        volume,
        size: stored.volume.size,
        createdMs: now(),
        lost: false,
        pending: false,
      };
      await devices.snapshot(id, volume);
      snapshots.set(id, snapshot);
      return snapshot;
    },
    deleteSnapshot: async (id) => {
      snapshots.delete(id);
      await devices.remove(id);
    },
    getSnapshot: async (id) => snapshots.get(id),
    findSnapshot: async (name) => [...snapshots.values()].find((snapshot) => snapshot.name === name),
    listSnapshots: async () => [...snapshots.values()],

    stage: async (_id, work) => work(),
    activate: async (id) => {
      const { volume } = volumes.get(id) ?? fail('not-found', `Cannot activate ${id}: it does not exist`);
      const known = shown.get(id);
      if (known !== undefined) return known;
      const from = volume.source?.from === 'snapshot' ? volume.source.snapshot : volume.source?.volume;
      const active = await devices.activate(id, volume.size, from);
      shown.set(id, active);
      return active;
    },
    active: async (id) => shown.get(id),
    deactivate: async (id) => {
      if (!shown.has(id)) return;
      await devices.deactivate(id);
      shown.delete(id);
    },

    startRestore: async (request) => {
      const restore: Restore = {
        id: `r-${draw()}`,
        volume: request.volume,
        snapshot: request.snapshot ?? fail('invalid', 'no snapshot'),
        mode: request.mode,
        phase: 'merging',
        keepSnapshot: request.keepSnapshot,
        safetySnapshot: undefined,
        totalBytes: gib(1),
        remainingBytes: gib(1),
        remainingChunks: 32768,
        bytesPerSecond: undefined,
        startedMs: now(),
        endedMs: undefined,
        message: '',
      };
      restores.set(restore.id, restore);
      return restore;
    },
    getRestore: async (id) => restores.get(id),
    listRestores: async () => [...restores.values()],
    watchRestore: async function* watch(id) {
      const restore = restores.get(id) ?? fail('not-found', `Cannot watch ${id}: it does not exist`);
      yield restore;
      yield { ...restore, phase: 'done', remainingBytes: bytes(0), endedMs: now() };
    },
    cancelRestore: async (id) => {
      if (restores.has(id)) fail('precondition', `Cannot cancel ${id}: it has begun`);
      fail('not-found', `Cannot cancel ${id}: it does not exist`);
    },

    waiting: async () => [],
    health: async () => report.health,
    inspect: async () => fail('unavailable', `Cannot look at pool '${pool}': it has neither LVM nor a kernel`),
    start: async () => undefined,
    stop: async () => undefined,
  };
}

function plain(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
