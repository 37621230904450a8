// StorageClass parameters: text to values, with a message that says what is allowed. Pure.

import { FS_TYPES, isFsType } from '../csi/fstype.ts';
import type { FsType } from '../csi/fstype.ts';
import { fail } from '../vocabulary/errors.ts';
import { isPoolName } from '../vocabulary/ids.ts';
import type { PoolName } from '../vocabulary/ids.ts';
import { METADATA_KEYS } from '../vocabulary/object-names.ts';
import type { Layout, OnFull, VolumeParameters } from '../vocabulary/parameters.ts';
import { MAX_CHUNK_BYTES, MIN_CHUNK_BYTES, isPowerOfTwo, kib, parseQuantity } from '../vocabulary/units.ts';
import type { Bytes } from '../vocabulary/units.ts';

/** Chosen by measurement: docs/benchmarks.md. */
export const DEFAULT_CHUNK_BYTES: Bytes = kib(32);
export const DEFAULT_SNAPSHOT_RESERVE_PERCENT = 10;

export interface ReadParameters {
  /** Undefined: the first pool of the configuration. */
  readonly pool: PoolName | undefined;
  readonly fsType: FsType | undefined;
  readonly volume: VolumeParameters;
}

const FS_TYPE = 'csi.storage.k8s.io/fstype';
const ALLOWED = ['pool', 'layout', 'chunkSize', 'snapshotReserve', 'onFull', 'scratch', FS_TYPE] as const;
export function readVolumeParameters(given: Readonly<Record<string, string>>): ReadParameters {
  const known = new Map(Object.entries(given));
  refuseUnknown([...known.keys()], ALLOWED);
  return {
    pool: known.has('pool') ? pool(known.get('pool') ?? '') : undefined,
    fsType: fsType(known.get(FS_TYPE) ?? ''),
    volume: {
      layout: oneOf<Layout>('layout', known.get('layout') ?? 'linear', ['linear', 'striped', 'raid1']),
      chunk: chunk(known.get('chunkSize')),
      snapshotReservePercent: percent(known.get('snapshotReserve')),
      onFull: oneOf<OnFull>('onFull', known.get('onFull') ?? 'wait', ['wait', 'drop']),
      scratch: oneOf('scratch', known.get('scratch') ?? 'false', ['true', 'false']) === 'true',
    },
  };
}

/** A VolumeSnapshotClass has no parameters of ours. */
export function refuseSnapshotParameters(given: Readonly<Record<string, string>>): void {
  refuseUnknown(Object.keys(given), []);
}

export function refuseMutableParameters(given: Readonly<Record<string, string>>): void {
  const [key] = Object.keys(given);
  if (key === undefined) return;
  fail('invalid', `Cannot take mutable parameter '${key}': a volume's parameters are fixed by its StorageClass`);
}

function refuseUnknown(keys: readonly string[], allowed: readonly string[]): void {
  const unknown = keys.filter((key) => !allowed.includes(key) && !METADATA_KEYS.has(key));
  if (unknown.length === 0) return;
  const names = unknown.map((key) => `'${key}'`).join(', ');
  const list = allowed.length === 0 ? 'none' : allowed.join(', ');
  fail('invalid', `Cannot take parameter ${names}: allowed are ${list}`);
}

function wrong(key: string, value: string, want: string): never {
  fail('invalid', `Cannot take parameter ${key}: '${value}': want ${want}`);
}

function oneOf<T extends string>(key: string, value: string, allowed: readonly T[]): T {
  return allowed.find((one) => one === value) ?? wrong(key, value, allowed.join(' or '));
}

function pool(value: string): PoolName {
  return isPoolName(value) ? value : wrong('pool', value, "1 to 32 characters of a-z, 0-9 and '-'");
}

function fsType(value: string): FsType | undefined {
  if (value === '') return undefined;
  return isFsType(value) ? value : wrong(FS_TYPE, value, FS_TYPES.join(' or '));
}

function chunk(value: string | undefined): Bytes {
  if (value === undefined) return DEFAULT_CHUNK_BYTES;
  const size = parseQuantity(value);
  if (size === undefined || size < MIN_CHUNK_BYTES || size > MAX_CHUNK_BYTES || !isPowerOfTwo(size)) {
    return wrong('chunkSize', value, 'a power of two from 4Ki to 512Ki');
  }
  return size;
}

function percent(value: string | undefined): number {
  if (value === undefined) return DEFAULT_SNAPSHOT_RESERVE_PERCENT;
  const match = /^(\d{1,3})%$/.exec(value);
  const number = Number(match?.[1] ?? 'NaN');
  return number >= 1 && number <= 100 ? number : wrong('snapshotReserve', value, '1% to 100%');
}
