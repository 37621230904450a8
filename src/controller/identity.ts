// CSI Identity: name, version, capabilities, and whether every pool answers now.

import { z } from 'zod';
import { fail } from '../errors.ts';
import { askPools } from '../health.ts';
import type { Pools } from '../pools.ts';
import { unary } from '../rpc.ts';
import type { Service } from '../rpc.ts';

export const DRIVER_NAME = 'csi.snapmerge.io';

// SNAPSHOT_ACCESSIBILITY_CONSTRAINTS (alpha) would be true as well, but no sidecar reads it and csi-sanity 5.6.0 compares
// the topology of a snapshot in a way that no driver passes; a source on another node answers RESOURCE_EXHAUSTED anyway.
const SERVICES = ['CONTROLLER_SERVICE', 'VOLUME_ACCESSIBILITY_CONSTRAINTS'];

export function identityService(pools: Pools, version: string): Service {
  return {
    GetPluginInfo: unary(z.unknown(), async () => ({ name: DRIVER_NAME, vendor_version: version })),
    GetPluginCapabilities: unary(z.unknown(), async () => ({
      capabilities: [
        ...SERVICES.map((type) => ({ service: { type } })),
        // Growing is done by NodeExpandVolume alone, on volumes in use.
        { volume_expansion: { type: 'ONLINE' } },
      ],
    })),
    Probe: unary(z.unknown(), async () => ({ ready: { value: await ready(pools) } })),
  };
}

/** False while pools are being started; what does not answer is an error, as the standard asks. */
async function ready(pools: Pools): Promise<boolean> {
  const { problems, starting } = await askPools(pools);
  if (problems.length > 0) fail('precondition', `Cannot serve all pools: ${problems.join('; ')}`);
  return starting.length === 0;
}
