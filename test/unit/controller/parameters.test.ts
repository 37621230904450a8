import { expect, test } from 'vitest';
import {
  DEFAULT_CHUNK_BYTES,
  readVolumeParameters,
  refuseSnapshotParameters,
} from '../../../src/controller/parameters.ts';
import { kib } from '../../../src/vocabulary/units.ts';

test('nothing given: the defaults', () => {
  expect(readVolumeParameters({})).toEqual({
    pool: undefined,
    fsType: undefined,
    volume: {
      layout: 'linear',
      chunk: DEFAULT_CHUNK_BYTES,
      snapshotReservePercent: 10,
      onFull: 'wait',
      scratch: false,
    },
  });
});

test('everything given, and what the provisioner adds', () => {
  const given = {
    pool: 'fast',
    layout: 'raid1',
    chunkSize: '8Ki',
    snapshotReserve: '20%',
    onFull: 'drop',
    scratch: 'true',
    'csi.storage.k8s.io/fstype': 'xfs',
    'csi.storage.k8s.io/pv/name': 'pv',
    'csi.storage.k8s.io/pvc/name': 'pvc',
    'csi.storage.k8s.io/pvc/namespace': 'ns',
  };
  expect(readVolumeParameters(given)).toEqual({
    pool: 'fast',
    fsType: 'xfs',
    volume: { layout: 'raid1', chunk: kib(8), snapshotReservePercent: 20, onFull: 'drop', scratch: true },
  });
});

test('an unknown one is refused and the allowed ones are named', () => {
  expect(() => readVolumeParameters({ chunksize: '8Ki' })).toThrow(
    "Cannot take parameter 'chunksize': allowed are pool, layout, chunkSize, snapshotReserve, onFull, scratch, csi.storage.k8s.io/fstype",
  );
  expect(() => refuseSnapshotParameters({ a: 'b' })).toThrow("Cannot take parameter 'a': allowed are none");
  // Keys that an object has by itself are no parameters.
  expect(() => readVolumeParameters({ constructor: 'x' })).toThrow("'constructor'");
});

test.each([
  ['chunkSize', '2Ki'],
  ['chunkSize', '1Mi'],
  ['chunkSize', '12Ki'],
  ['chunkSize', '-8Ki'],
  ['chunkSize', '8k'],
  ['chunkSize', ''],
  ['layout', 'raid0'],
  ['snapshotReserve', '0%'],
  ['snapshotReserve', '101%'],
  ['snapshotReserve', '20'],
  ['onFull', 'Wait'],
  ['scratch', 'yes'],
  ['pool', '../a'],
  ['csi.storage.k8s.io/fstype', 'btrfs'],
])('refuses %s: %j', (key, value) => {
  expect(() => readVolumeParameters({ [key]: value })).toThrow(`Cannot take parameter ${key}: '${value}': want `);
});

test.each(['4Ki', '8192', '64Ki', '512Ki'])('takes chunkSize %s', (chunkSize) => {
  expect(readVolumeParameters({ chunkSize }).volume.chunk).toBeGreaterThan(0n);
});
