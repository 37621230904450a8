// VolumeRestores, restores of the engine and sights, for the tests of what is decided from them.

import type { Restore } from '../../../src/engine/engine.ts';
import { snapshotId, volumeId } from '../../../src/vocabulary/ids.ts';
import { FINALIZER } from '../../../src/kubernetes/restores/decide.ts';
import type { Seen, Sight } from '../../../src/kubernetes/restores/decide.ts';
import { volumeRestore } from '../../../src/kubernetes/api/objects.ts';
import type { Status, VolumeRestore } from '../../../src/kubernetes/api/objects.ts';
import { bytes } from '../../../src/vocabulary/units.ts';

/** Whole seconds, as Kubernetes has them. */
export const NOW = Date.parse('2030-01-01T12:00:00Z');

export interface Given {
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Status;
  readonly held?: boolean;
  readonly leaving?: boolean;
  readonly name?: string;
  readonly uid?: string;
  readonly created?: string;
}

export function objectOf(given: Given = {}): VolumeRestore {
  const { spec = {}, status = {}, held = false, leaving = false } = given;
  return volumeRestore.parse({
    metadata: {
      name: given.name ?? 'back',
      namespace: 'shop',
      uid: given.uid ?? '6b1f0f4e-0000-4000-8000-000000000001',
      resourceVersion: '7',
      generation: 1,
      creationTimestamp: given.created ?? '2030-01-01T11:59:00Z',
      ...(leaving ? { deletionTimestamp: '2030-01-01T11:59:30Z' } : {}),
      finalizers: held ? [FINALIZER] : [],
    },
    spec: { persistentVolumeClaimName: 'data', volumeSnapshotName: 'friday', ...spec },
    status,
  });
}

export function restoreOf(given: Partial<Restore> = {}): Restore {
  return {
    id: 'r-0000000001',
    volume: volumeId('v-0000000001'),
    snapshot: snapshotId('s-0000000001'),
    mode: 'origin',
    phase: 'merging',
    keepSnapshot: true,
    safetySnapshot: undefined,
    totalBytes: bytes(1000),
    remainingBytes: bytes(580),
    remainingChunks: undefined,
    bytesPerSecond: undefined,
    startedMs: NOW - 5000,
    endedMs: undefined,
    message: '',
    ...given,
  };
}

export function here(given: Partial<Extract<Sight, { at: 'here' }>> = {}): Sight {
  return {
    at: 'here',
    restoreID: 'default.AbCdEf.r-0000000001',
    known: undefined,
    outdone: false,
    problem: undefined,
    pods: [],
    inUse: false,
    originClaimName: undefined,
    before: undefined,
    ...given,
  };
}

export function seenOf(object: VolumeRestore, sight: Sight, more: Partial<Seen> = {}): Seen {
  return { object, nowMs: NOW, node: 'a', sight, refusal: undefined, followed: undefined, ...more };
}
