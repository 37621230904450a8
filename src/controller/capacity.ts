// GetCapacity: what can really be made, of the asked layout, on this node.

import type { GetCapacityResponse } from '#proto/csi/v1/GetCapacityResponse.ts';
import { z } from 'zod';
import { fsTypeOf, readCapabilities, volumeCapability } from '../csi/capability.ts';
import { stringMap } from '../csi/fields.ts';
import { leastBytes } from '../csi/fstype.ts';
import { isThisNode, topology } from '../csi/topology.ts';
import { fail } from '../vocabulary/errors.ts';
import type { PoolName } from '../vocabulary/ids.ts';
import type { Pools } from '../pools/pools.ts';
import { maxBytes, roundUp } from '../vocabulary/units.ts';
import { readVolumeParameters } from './parameters.ts';

export const capacityRequest = z.object({
  volume_capabilities: z.array(volumeCapability),
  parameters: stringMap,
  accessible_topology: topology.nullable(),
});

/** The first that is configured where none is named, and never another in its place: a name asked for again would be a second volume. */
export function wantedPool(pools: Pools, name: PoolName | undefined) {
  const wanted = name ?? pools.names()[0];
  return { wanted, engine: wanted === undefined ? undefined : pools.engines().get(wanted) };
}

export async function capacity(
  pools: Pools,
  nodeName: string,
  request: z.output<typeof capacityRequest>,
): Promise<GetCapacityResponse> {
  const { pool, fsType, volume } = readVolumeParameters(request.parameters);
  const capabilities =
    request.volume_capabilities.length === 0 ? undefined : readCapabilities(request.volume_capabilities);
  if (capabilities?.ok === false && capabilities.malformed) {
    fail('invalid', `Cannot tell a capacity for these capabilities: ${capabilities.reason}`);
  }
  const elsewhere = request.accessible_topology !== null && !isThisNode(request.accessible_topology, nodeName);
  const { engine } = wantedPool(pools, pool);
  if (elsewhere || engine === undefined || capabilities?.ok === false) return { available_capacity: '0' };
  const isRaw = capabilities?.capabilities.some(({ type }) => type === 'block') === true;
  const asked = isRaw ? undefined : (fsType ?? capabilities?.capabilities.flatMap(fsTypeOf)[0]);
  const { available, maximumVolume, minimumVolume } = await engine.capacity(volume.layout);
  return {
    available_capacity: available.toString(),
    maximum_volume_size: { value: maximumVolume.toString() },
    // A size that can be asked for as a limit, too.
    minimum_volume_size: { value: roundUp(maxBytes(minimumVolume, leastBytes(asked)), minimumVolume).toString() },
  };
}
