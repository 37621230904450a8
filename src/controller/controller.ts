// CSI Controller: what it announces, and all of its calls. Publishing to nodes, expansion and modification are not
// announced: a volume is on its node already, NodeExpandVolume grows it, and its parameters do not change.

import type { ControllerGetCapabilitiesResponse } from '#proto/csi/v1/ControllerGetCapabilitiesResponse.ts';
import type { ControllerHandlers } from '#proto/csi/v1/Controller.ts';
import { z } from 'zod';
import type { Pools } from '../pools/pools.ts';
import { unary } from '../transport/rpc.ts';
import type { ServiceOf } from '../transport/rpc.ts';
import { snapshotCalls } from './snapshots.ts';
import { volumeCalls } from './volumes.ts';

const CAPABILITIES = [
  'CREATE_DELETE_VOLUME',
  'LIST_VOLUMES',
  'GET_CAPACITY',
  'CREATE_DELETE_SNAPSHOT',
  'LIST_SNAPSHOTS',
  'CLONE_VOLUME',
  'GET_VOLUME',
  'SINGLE_NODE_MULTI_WRITER',
  'GET_SNAPSHOT',
  'GET_VOLUME_HEALTH',
  'LIST_VOLUME_HEALTH',
] as const;

export function controllerService(pools: Pools, nodeName: string): ServiceOf<ControllerHandlers> {
  return {
    ControllerGetCapabilities: unary(z.unknown(), async (): Promise<ControllerGetCapabilitiesResponse> => ({
      capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })),
    })),
    ...volumeCalls(pools, nodeName),
    ...snapshotCalls(pools, nodeName),
  };
}
