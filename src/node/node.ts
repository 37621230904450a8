// CSI Node: what it announces, and all of its calls. Calls on one volume run one after the other.

import type { NodeGetCapabilitiesResponse } from '#proto/csi/v1/NodeGetCapabilitiesResponse.ts';
import type { NodeGetInfoResponse } from '#proto/csi/v1/NodeGetInfoResponse.ts';
import type { NodeHandlers } from '#proto/csi/v1/Node.ts';
import { z } from 'zod';
import { oneAtATime } from '../csi/one-at-a-time.ts';
import { topologyOf } from '../csi/topology.ts';
import { unary } from '../transport/rpc.ts';
import type { Reply, ServiceOf, Unary } from '../transport/rpc.ts';
import type { NodeContext } from './context.ts';
import { publish, publishRequest, unpublish, unpublishRequest } from './publish.ts';
import { stage, stageRequest, unstage, unstageRequest } from './stage.ts';
import { expand, expandRequest, healthRequest, stats, statsRequest, storageHealth, volumeHealth } from './volumes.ts';

const CAPABILITIES = [
  'STAGE_UNSTAGE_VOLUME',
  'GET_VOLUME_STATS',
  'EXPAND_VOLUME',
  'SINGLE_NODE_MULTI_WRITER',
  'GET_VOLUME_HEALTH',
  'GET_STORAGE_HEALTH',
] as const;

export type NodeServiceOptions = Omit<NodeContext, 'oneOfVolume'>;

export function nodeService(options: NodeServiceOptions): ServiceOf<NodeHandlers> {
  const context: NodeContext = { ...options, oneOfVolume: oneAtATime('volume') };

  const ordered = <S extends z.ZodType<{ readonly volume_id: string }>, R extends Reply>(
    schema: S,
    call: (context: NodeContext, request: z.output<S>) => Promise<R>,
  ): Unary<R> =>
    unary(schema, async (request) => context.oneOfVolume(request.volume_id, async () => call(context, request)));

  return {
    NodeStageVolume: ordered(stageRequest, stage),
    NodeUnstageVolume: ordered(unstageRequest, unstage),
    NodePublishVolume: ordered(publishRequest, publish),
    NodeUnpublishVolume: ordered(unpublishRequest, unpublish),
    NodeExpandVolume: ordered(expandRequest, expand),
    // Only looks: it waits for nobody, so a volume whose writers wait still answers.
    NodeGetVolumeStats: unary(statsRequest, async (request) => stats(context, request)),
    NodeGetVolumeHealth: unary(healthRequest, async (request) => volumeHealth(context, request)),
    NodeGetStorageHealth: unary(z.unknown(), async () => storageHealth(context)),
    NodeGetCapabilities: unary(z.unknown(), async (): Promise<NodeGetCapabilitiesResponse> => ({
      capabilities: CAPABILITIES.map((type) => ({ rpc: { type } })),
    })),
    NodeGetInfo: unary(z.unknown(), async (): Promise<NodeGetInfoResponse> => ({
      node_id: context.nodeName,
      max_volumes_per_node: context.maxVolumes.toString(),
      accessible_topology: topologyOf(context.nodeName),
    })),
  };
}
