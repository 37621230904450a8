// The restore service of proto/snapmerge.proto: parse, call the engine of the volume's pool, reply.

import type { GetRestoreResponse } from '#proto/snapmerge/v1/GetRestoreResponse.ts';
import type { ListRestoresResponse } from '#proto/snapmerge/v1/ListRestoresResponse.ts';
import type { RestoreState } from '#proto/snapmerge/v1/RestoreState.ts';
import type { RestorePhase as WirePhase } from '#proto/snapmerge/v1/RestorePhase.ts';
import type { StartRestoreResponse } from '#proto/snapmerge/v1/StartRestoreResponse.ts';
import type { RestoreHandlers } from '#proto/snapmerge/v1/Restore.ts';
import { z } from 'zod';
import { optionalName, optionalText, requiredText } from '../csi/fields.ts';
import { timestamp } from '../transport/timestamp.ts';
import {
  enginesNamed,
  locateRestore,
  locateSnapshot,
  locateVolume,
  requireHere,
  restoreToken,
} from '../csi/handles.ts';
import type { Located } from '../csi/handles.ts';
import type { Engine, Restore, RestorePhase } from '../engine/engine.ts';
import { fail } from '../vocabulary/errors.ts';
import type { Pools } from '../pools/pools.ts';
import { RESTORE_MODES, restoreModeOf } from '../transport/restore-modes.ts';
import { restoreHandle } from '../vocabulary/ids.ts';
import { stream, unary } from '../transport/rpc.ts';
import type { ServiceOf } from '../transport/rpc.ts';
import { handleOf } from '../csi/replies.ts';

const startRequest = z.object({
  volume_id: requiredText,
  snapshot_id: optionalText,
  mode: z.union([z.string(), z.number()]),
  keep_snapshot: z.boolean().optional(),
  safety_snapshot_name: optionalName,
  replace: z.boolean(),
  name: optionalName,
});
const restoreOnly = z.object({ restore_id: requiredText });
const listRequest = z.object({ volume_id: optionalText });

const PHASE_NAMES: Readonly<Record<RestorePhase, WirePhase>> = {
  waiting: 'RESTORE_PHASE_WAITING',
  merging: 'RESTORE_PHASE_MERGING',
  done: 'RESTORE_PHASE_DONE',
  failed: 'RESTORE_PHASE_FAILED',
};

export function restoreService(pools: Pools): ServiceOf<RestoreHandlers> {
  return {
    StartRestore: unary(startRequest, async (request) => start(pools, request)),
    GetRestore: unary(restoreOnly, async ({ restore_id: text }): Promise<GetRestoreResponse> => {
      const { engine, id } = here(pools, text);
      const restore = await engine.getRestore(id);
      if (restore === undefined) fail('not-found', `Cannot find restore '${text}': it does not exist`);
      return { restore: restoreReply(engine, restore) };
    }),
    ListRestores: unary(listRequest, async ({ volume_id: volume }): Promise<ListRestoresResponse> => {
      const found = locateVolume(pools, volume);
      const lists = await Promise.all(enginesNamed(pools, [{ found, what: 'volume', text: volume }]).map(listOf));
      const restores = lists.flat().filter((reply) => volume === '' || reply.volume_id === volume);
      return { restores };
    }),
    WatchRestore: stream(restoreOnly, async function* watch({ restore_id: text }, { signal }) {
      const { engine, id } = here(pools, text);
      for await (const restore of engine.watchRestore(id, signal)) yield { restore: restoreReply(engine, restore) };
    }),
    CancelRestore: unary(restoreOnly, async ({ restore_id: text }) => {
      const { engine, id } = here(pools, text);
      await engine.cancelRestore(id);
      return {};
    }),
  };
}

async function start(pools: Pools, request: z.output<typeof startRequest>): Promise<StartRestoreResponse> {
  const mode = restoreModeOf(request.mode);
  if (mode === undefined) fail('invalid', `Cannot restore in mode ${request.mode}: it is not known`);
  const volume = requireHere(locateVolume(pools, request.volume_id), 'volume', request.volume_id);
  const isGiven = request.snapshot_id !== '' || mode !== 'snapshot';
  const snapshot = isGiven
    ? requireHere(locateSnapshot(pools, request.snapshot_id), 'snapshot', request.snapshot_id)
    : undefined;
  if (snapshot !== undefined && volume.engine !== snapshot.engine) {
    fail('invalid', `Cannot restore '${request.volume_id}' to '${request.snapshot_id}': they are in different pools`);
  }
  const restore = await volume.engine.startRestore({
    volume: volume.id,
    snapshot: snapshot?.id,
    mode,
    keepSnapshot: request.keep_snapshot ?? true,
    safetySnapshotName: request.safety_snapshot_name === '' ? undefined : request.safety_snapshot_name,
    replace: request.replace,
    token: request.name === '' ? undefined : restoreToken(request.volume_id, request.name),
  });
  return { restore: restoreReply(volume.engine, restore) };
}

function here(pools: Pools, text: string): Located<string> {
  return requireHere(locateRestore(pools, text), 'restore', text);
}

async function listOf(engine: Engine): Promise<readonly RestoreState[]> {
  return (await engine.listRestores()).map((restore) => restoreReply(engine, restore));
}

function restoreReply(engine: Engine, restore: Restore): RestoreState {
  return {
    restore_id: restoreHandle(engine.pool, engine.vg, restore.id),
    volume_id: handleOf(engine, restore.volume),
    snapshot_id: handleOf(engine, restore.snapshot),
    mode: RESTORE_MODES[restore.mode],
    phase: PHASE_NAMES[restore.phase],
    keep_snapshot: restore.keepSnapshot,
    safety_snapshot_id: restore.safetySnapshot === undefined ? '' : handleOf(engine, restore.safetySnapshot),
    total_bytes: restore.totalBytes.toString(),
    remaining_bytes: restore.remainingBytes.toString(),
    ...(restore.remainingChunks === undefined ? {} : { remaining_chunks: restore.remainingChunks.toString() }),
    ...(restore.bytesPerSecond === undefined ? {} : { bytes_per_second: restore.bytesPerSecond.toString() }),
    started_at: timestamp(restore.startedMs),
    ended_at: restore.endedMs === undefined ? null : timestamp(restore.endedMs),
    message: restore.message,
  };
}
