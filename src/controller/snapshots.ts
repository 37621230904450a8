// CSI Controller, the calls on snapshots: parse, call the engine of the right pool, reply.

import type { GetSnapshotResponse } from '#proto/csi/v1/GetSnapshotResponse.ts';
import type { ListSnapshotsResponse } from '#proto/csi/v1/ListSnapshotsResponse.ts';
import type { ControllerHandlers } from '#proto/csi/v1/Controller.ts';
import type { CreateSnapshotResponse } from '#proto/csi/v1/CreateSnapshotResponse.ts';
import { z } from 'zod';
import { maxEntries, optionalText, requiredName, requiredText, stringMap } from '../csi/fields.ts';
import { enginesNamed, hereOrGone, locateSnapshot, locateVolume, requireHere } from '../csi/handles.ts';
import { oneAtATime } from '../csi/one-at-a-time.ts';
import { requireThisNode, topologyRequirement } from '../csi/topology.ts';
import type { Engine, Snapshot } from '../engine/engine.ts';
import { fail } from '../vocabulary/errors.ts';
import type { Pools } from '../pools/pools.ts';
import { unary } from '../transport/rpc.ts';
import type { ServiceOf } from '../transport/rpc.ts';
import { poolElsewhere } from './elsewhere.ts';
import { page } from './paging.ts';
import { refuseSnapshotParameters } from './parameters.ts';
import { handleOf, snapshotReply } from '../csi/replies.ts';

const createSnapshot = z.object({
  source_volume_id: requiredText,
  name: requiredName,
  parameters: stringMap,
  accessibility_requirements: topologyRequirement.nullable(),
});
type CreateSnapshotRequest = z.output<typeof createSnapshot>;

const snapshotOnly = z.object({ snapshot_id: requiredText });

const listRequest = z.object({
  max_entries: maxEntries,
  starting_token: z.string(),
  source_volume_id: optionalText,
  snapshot_id: optionalText,
});

export function snapshotCalls(pools: Pools, nodeName: string): ServiceOf<ControllerHandlers> {
  const oneOfName = oneAtATime('snapshot name');
  return {
    CreateSnapshot: unary(createSnapshot, async (request) =>
      oneOfName(request.name, async () => create(pools, nodeName, request)),
    ),
    DeleteSnapshot: unary(snapshotOnly, async ({ snapshot_id: text }) => {
      const found = hereOrGone(locateSnapshot(pools, text), 'snapshot', text);
      if (found !== undefined) await found.engine.deleteSnapshot(found.id);
      return {};
    }),
    GetSnapshot: unary(snapshotOnly, async ({ snapshot_id: text }): Promise<GetSnapshotResponse> => {
      const { engine, id } = requireHere(locateSnapshot(pools, text), 'snapshot', text);
      const snapshot = await engine.getSnapshot(id);
      if (snapshot === undefined) fail('not-found', `Cannot find snapshot '${text}': it does not exist`);
      return { snapshot: snapshotReply(engine, snapshot) };
    }),
    ListSnapshots: unary(listRequest, async (request): Promise<ListSnapshotsResponse> => {
      const { snapshot_id: snapshot, source_volume_id: volume } = request;
      const named = [
        { found: locateSnapshot(pools, snapshot), what: 'snapshot', text: snapshot },
        { found: locateVolume(pools, volume), what: 'volume', text: volume },
      ];
      const listed = await listSnapshots(enginesNamed(pools, named));
      const wanted = listed.filter(
        ({ handle, volumeHandle }) =>
          (snapshot === '' || snapshot === handle) && (volume === '' || volume === volumeHandle),
      );
      const { items, nextToken } = page(wanted, request.starting_token, request.max_entries);
      const entries = items.map(({ engine, snapshot }) => ({ snapshot: snapshotReply(engine, snapshot) }));
      return { entries, next_token: nextToken };
    }),
  };
}

async function create(pools: Pools, nodeName: string, request: CreateSnapshotRequest): Promise<CreateSnapshotResponse> {
  refuseSnapshotParameters(request.parameters);
  requireThisNode(request.accessibility_requirements, nodeName);
  const text = request.source_volume_id;
  const { engine, id } = requireHere(locateVolume(pools, text), 'volume', text);
  const pool = await poolElsewhere(pools, engine, async (other) => other.findSnapshot(request.name));
  if (pool !== undefined) {
    fail('exists', `Cannot create snapshot '${request.name}' in pool '${engine.pool}': it exists in pool '${pool}'`);
  }
  return { snapshot: snapshotReply(engine, await engine.createSnapshot(id, request.name)) };
}

interface ListedSnapshot {
  readonly engine: Engine;
  readonly snapshot: Snapshot;
  readonly createdMs: number;
  readonly handle: string;
  readonly volumeHandle: string;
}

/** One that is recorded only is none yet. */
function isTaken({ pending }: Snapshot): boolean {
  return !pending;
}

async function listSnapshots(engines: readonly Engine[]): Promise<readonly ListedSnapshot[]> {
  const lists = await Promise.all(
    engines.map(async (engine) =>
      (await engine.listSnapshots()).filter(isTaken).map((snapshot) => ({
        engine,
        snapshot,
        createdMs: snapshot.createdMs,
        handle: handleOf(engine, snapshot.id),
        volumeHandle: handleOf(engine, snapshot.volume),
      })),
    ),
  );
  return lists.flat();
}
