// CSI Identity: name, version, capabilities, and whether there is a pool to be served.

import type { GetPluginCapabilitiesResponse } from '#proto/csi/v1/GetPluginCapabilitiesResponse.ts';
import type { GetPluginInfoResponse } from '#proto/csi/v1/GetPluginInfoResponse.ts';
import type { ProbeResponse } from '#proto/csi/v1/ProbeResponse.ts';
import type { IdentityHandlers } from '#proto/csi/v1/Identity.ts';
import { z } from 'zod';
import { fail } from '../vocabulary/errors.ts';
import { startsOf } from '../pools/health.ts';
import type { Pools } from '../pools/pools.ts';
import { unary } from '../transport/rpc.ts';
import type { ServiceOf } from '../transport/rpc.ts';

export const DRIVER_NAME = 'csi.snapmerge.io';

// SNAPSHOT_ACCESSIBILITY_CONSTRAINTS (alpha) would be true as well, but no sidecar reads it and csi-sanity 5.6.0 compares
// the topology of a snapshot in a way that no driver passes; a source on another node answers RESOURCE_EXHAUSTED anyway.
const SERVICES = ['CONTROLLER_SERVICE', 'VOLUME_ACCESSIBILITY_CONSTRAINTS'] as const;

export function identityService(pools: Pools, version: string): ServiceOf<IdentityHandlers> {
  return {
    GetPluginInfo: unary(z.unknown(), async (): Promise<GetPluginInfoResponse> => ({
      name: DRIVER_NAME,
      vendor_version: version,
    })),
    GetPluginCapabilities: unary(z.unknown(), async (): Promise<GetPluginCapabilitiesResponse> => ({
      capabilities: [
        ...SERVICES.map((type) => ({ service: { type } })),
        // Growing is done by NodeExpandVolume alone, on volumes in use.
        { volume_expansion: { type: 'ONLINE' } },
      ],
    })),
    Probe: unary(z.unknown(), async (): Promise<ProbeResponse> => ({ ready: { value: ready(pools) } })),
  };
}

/**
 * False while pools are being started, an error where none can be. A pool that cannot, or does not answer any more, is no
 * reason to have the others given up: sidecars end themselves at such an error. What is wrong is told by /readyz and in
 * the health of each volume.
 */
function ready(pools: Pools): boolean {
  const { problems, starting } = startsOf(pools);
  if (pools.engines().size === 0 && starting.length === 0)
    fail('precondition', `Cannot serve any pool: ${problems.join('; ')}`);
  return starting.length === 0;
}
