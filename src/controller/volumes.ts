// CSI Controller, the calls on volumes: parse, call the engine of the right pool, reply.

import type { ControllerGetVolumeHealthResponse } from '#proto/csi/v1/ControllerGetVolumeHealthResponse.ts';
import type { ControllerGetVolumeResponse } from '#proto/csi/v1/ControllerGetVolumeResponse.ts';
import type { ControllerListVolumeHealthResponse } from '#proto/csi/v1/ControllerListVolumeHealthResponse.ts';
import type { ListVolumesResponse } from '#proto/csi/v1/ListVolumesResponse.ts';
import type { ControllerHandlers } from '#proto/csi/v1/Controller.ts';
import type { CreateVolumeResponse } from '#proto/csi/v1/CreateVolumeResponse.ts';
import { z } from 'zod';
import { fsTypeOf, readCapabilities, volumeCapability } from '../csi/capability.ts';
import type { RawCapability } from '../csi/capability.ts';
import { capacityRange, maxEntries, requiredName, requiredText, sizeRange, stringMap } from '../csi/fields.ts';
import { leastBytes } from '../csi/fstype.ts';
import type { FsType } from '../csi/fstype.ts';
import { hereOrGone, locateSnapshot, locateVolume, requireAllPools, requireHere } from '../csi/handles.ts';
import type { Found } from '../csi/handles.ts';
import { oneAtATime } from '../csi/one-at-a-time.ts';
import { requireThisNode, topologyRequirement } from '../csi/topology.ts';
import type { Engine, Volume } from '../engine/engine.ts';
import { fail } from '../vocabulary/errors.ts';
import type { PoolName } from '../vocabulary/ids.ts';
import { claimContext } from '../vocabulary/object-names.ts';
import type { VolumeSource } from '../vocabulary/parameters.ts';
import type { Pools } from '../pools/pools.ts';
import { unary } from '../transport/rpc.ts';
import type { ServiceOf } from '../transport/rpc.ts';
import { bytes, gib, maxBytes } from '../vocabulary/units.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { poolElsewhere } from './elsewhere.ts';
import { page } from './paging.ts';
import { readVolumeParameters, refuseMutableParameters } from './parameters.ts';
import { handleOf, healthReply, volumeReply } from '../csi/replies.ts';
import { validate, validateRequest } from './validate.ts';
import { capacity, capacityRequest, wantedPool } from './capacity.ts';

/** For a request without a size. */
export const DEFAULT_VOLUME_BYTES: Bytes = gib(1);

const contentSource = z.object({
  type: z.enum(['snapshot', 'volume']).optional(),
  snapshot: z.object({ snapshot_id: requiredText }).nullish(),
  volume: z.object({ volume_id: requiredText }).nullish(),
});

const createVolume = z.object({
  name: requiredName,
  capacity_range: capacityRange.nullable(),
  volume_capabilities: z.array(volumeCapability).min(1, 'is missing'),
  parameters: stringMap,
  mutable_parameters: stringMap,
  volume_content_source: contentSource.nullable(),
  accessibility_requirements: topologyRequirement.nullable(),
});

type CreateVolumeRequest = z.output<typeof createVolume>;

const volumeOnly = z.object({ volume_id: requiredText });

const listRequest = z.object({ max_entries: maxEntries, starting_token: z.string() });

export function volumeCalls(pools: Pools, nodeName: string): ServiceOf<ControllerHandlers> {
  const oneOfName = oneAtATime('volume name');
  const listed = async (): Promise<readonly ListedVolume[]> => listVolumes(pools);
  return {
    CreateVolume: unary(createVolume, async (request) =>
      oneOfName(request.name, async () => create(pools, nodeName, request)),
    ),
    DeleteVolume: unary(volumeOnly, async ({ volume_id: text }) => {
      const found = hereOrGone(locateVolume(pools, text), 'volume', text);
      if (found !== undefined) await found.engine.deleteVolume(found.id);
      return {};
    }),
    ValidateVolumeCapabilities: unary(validateRequest, async (request) => {
      return validate(request, await requireVolume(pools, request.volume_id));
    }),
    ListVolumes: unary(listRequest, async (request): Promise<ListVolumesResponse> => {
      const { items, nextToken } = page(await listed(), request.starting_token, request.max_entries);
      const entries = items.map(({ engine, volume }) => ({ volume: volumeReply(engine, volume, nodeName) }));
      return { entries, next_token: nextToken };
    }),
    ControllerGetVolume: unary(volumeOnly, async ({ volume_id: text }): Promise<ControllerGetVolumeResponse> => {
      const { engine, volume } = await requireVolume(pools, text);
      return { volume: volumeReply(engine, volume, nodeName), status: {} };
    }),
    ControllerGetVolumeHealth: unary(
      volumeOnly,
      async ({ volume_id: text }): Promise<ControllerGetVolumeHealthResponse> => {
        const { engine, volume } = await requireVolume(pools, text);
        return { volume_health: healthReply(engine, volume) };
      },
    ),
    ControllerListVolumeHealth: unary(listRequest, async (request): Promise<ControllerListVolumeHealthResponse> => {
      const ill = (await listed()).filter(({ volume }) => volume.health.state !== 'healthy');
      const { items, nextToken } = page(ill, request.starting_token, request.max_entries);
      return { entries: items.map(({ engine, volume }) => healthReply(engine, volume)), next_token: nextToken };
    }),
    GetCapacity: unary(capacityRequest, async (request) => capacity(pools, nodeName, request)),
  };
}

interface ListedVolume {
  readonly engine: Engine;
  readonly volume: Volume;
  readonly createdMs: number;
  readonly handle: string;
}

async function listVolumes(pools: Pools): Promise<readonly ListedVolume[]> {
  const lists = await Promise.all(
    requireAllPools(pools).map(async (engine) =>
      (await engine.listVolumes()).map((volume) => ({
        engine,
        volume,
        createdMs: volume.createdMs,
        handle: handleOf(engine, volume.id),
      })),
    ),
  );
  return lists.flat();
}

export async function requireVolume(
  pools: Pools,
  text: string,
): Promise<{ readonly engine: Engine; readonly volume: Volume }> {
  const { engine, id } = requireHere(locateVolume(pools, text), 'volume', text);
  const volume = await engine.getVolume(id);
  return volume === undefined
    ? fail('not-found', `Cannot find volume '${text}': it does not exist`)
    : { engine, volume };
}

async function create(pools: Pools, nodeName: string, request: CreateVolumeRequest): Promise<CreateVolumeResponse> {
  const fromCapabilities = requireCapabilities(request.volume_capabilities);
  const parameters = readVolumeParameters(request.parameters);
  refuseMutableParameters(request.mutable_parameters);
  const fsType = agreedFsType(parameters.fsType, fromCapabilities);
  const range = sizeRange(request.capacity_range);
  requireThisNode(request.accessibility_requirements, nodeName);
  const found = locateSource(pools, request.volume_content_source);
  if (parameters.volume.scratch && found === undefined) {
    fail(
      'invalid',
      "Cannot take parameter scratch: 'true': only a volume made from a snapshot or volume can be scratch",
    );
  }
  const engine = found === undefined ? poolFor(pools, parameters.pool) : found.engine;
  if (parameters.pool !== undefined && parameters.pool !== engine.pool) {
    fail(
      'invalid',
      `Cannot make it in pool '${parameters.pool}': its source is in pool '${engine.pool}', and a fork shares its pool`,
    );
  }
  await refuseNameElsewhere(pools, engine, request.name);
  const defaultBytes = found === undefined ? DEFAULT_VOLUME_BYTES : await sizeOfSource(found);
  const wanted = range === undefined || range.required === 0n ? fitting(defaultBytes, range?.limit) : range.required;
  // What is made from a source carries what that has.
  const isMounted = request.volume_capabilities.some(({ access_type: type }) => type === 'mount');
  const carries = isMounted && found === undefined ? (parameters.fsType ?? fromCapabilities) : undefined;
  // One that an earlier version made smaller is the same when it is asked for again.
  const isNew = leastBytes(carries) > 0n && (await engine.findVolume(request.name)) === undefined;
  const least = isNew ? leastFor(carries, range?.limit) : bytes(0);
  const volume = await engine.createVolume({
    name: request.name,
    requiredBytes: maxBytes(wanted, least),
    limitBytes: range?.limit,
    parameters: parameters.volume,
    source: found?.source,
  });
  return { volume: volumeReply(engine, volume, nodeName, fsType, claimContext(request.parameters)) };
}

/** Only a limit was given: as much as the default, unless that is too much. The engine refuses what a source does not fit in. */
function fitting(defaultBytes: Bytes, limit: Bytes | undefined): Bytes {
  return limit !== undefined && limit < defaultBytes ? bytes(limit) : defaultBytes;
}

/** Rounded up to what its file system can be made in, unless that is more than may be made. */
function leastFor(fsType: FsType | undefined, limit: Bytes | undefined): Bytes {
  const least = leastBytes(fsType);
  if (limit === undefined || limit >= least) return least;
  return fail(
    'out-of-range',
    `Cannot make a volume of at most ${limit} bytes for ${fsType}: mkfs makes nothing below ${least}`,
  );
}

function requireCapabilities(raw: readonly RawCapability[]): FsType | undefined {
  const read = readCapabilities(raw);
  if (!read.ok) fail('invalid', `Cannot make a volume with these capabilities: ${read.reason}`);
  return read.capabilities.flatMap(fsTypeOf)[0];
}

function agreedFsType(parameter: FsType | undefined, capability: FsType | undefined): FsType | undefined {
  if (parameter !== undefined && capability !== undefined && parameter !== capability) {
    fail('invalid', `Cannot make one volume with ${parameter} (StorageClass) and ${capability} (capability)`);
  }
  return parameter;
}

function poolFor(pools: Pools, name: PoolName | undefined): Engine {
  const { wanted, engine } = wantedPool(pools, name);
  if (engine !== undefined) return engine;
  if (wanted === undefined || pools.waiting().has(wanted))
    fail('unavailable', `Cannot reach pool '${wanted ?? ''}': it is not started; see Probe`);
  // Another node may have it: with this code the scheduler looks for one.
  return fail('exhausted', `Cannot find pool '${wanted}' on this node: its pools are ${pools.names().join(', ')}`);
}

interface FoundSource {
  readonly engine: Engine;
  readonly source: VolumeSource;
}

function locateSource(pools: Pools, given: CreateVolumeRequest['volume_content_source']): FoundSource | undefined {
  if (given === null) return undefined;
  const snapshot = given.type === 'snapshot' ? given.snapshot?.snapshot_id : undefined;
  if (snapshot !== undefined) {
    const { engine, id } = sourceHere(locateSnapshot(pools, snapshot), 'snapshot', snapshot);
    return { engine, source: { from: 'snapshot', snapshot: id } };
  }
  const volume = given.type === 'volume' ? given.volume?.volume_id : undefined;
  if (volume !== undefined) {
    const { engine, id } = sourceHere(locateVolume(pools, volume), 'volume', volume);
    return { engine, source: { from: 'volume', volume: id } };
  }
  return fail('invalid', 'Cannot take volume_content_source: neither snapshot nor volume is given');
}

/** NOT_FOUND would end provisioning for good; with RESOURCE_EXHAUSTED the scheduler looks for the node that has it. */
function sourceHere<I>(found: Found<I>, what: string, text: string): { readonly engine: Engine; readonly id: I } {
  if (found.at === 'elsewhere') {
    fail('exhausted', `Cannot make it from ${what} '${text}' on this node: that lives on another node`);
  }
  return requireHere(found, what, text);
}

async function sizeOfSource({ engine, source }: FoundSource): Promise<Bytes> {
  const found =
    source.from === 'snapshot' ? await engine.getSnapshot(source.snapshot) : await engine.getVolume(source.volume);
  return found?.size ?? DEFAULT_VOLUME_BYTES;
}

async function refuseNameElsewhere(pools: Pools, here: Engine, name: string): Promise<void> {
  const pool = await poolElsewhere(pools, here, async (other) => other.findVolume(name));
  if (pool === undefined) return;
  fail('exists', `Cannot create volume '${name}' in pool '${here.pool}': it exists in pool '${pool}'`);
}
