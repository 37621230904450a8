// All services of the driver over given pools: what the socket serves, whatever the engines are made of.

import { controllerService } from '../controller/controller.ts';
import { identityService } from '../controller/identity.ts';
import { inspectService } from '../controller/inspect.ts';
import { restoreService } from '../controller/restore.ts';
import type { Exec } from '../system/exec.ts';
import type { Files } from '../node/files.ts';
import { nodeService } from '../node/node.ts';
import type { Pools } from '../pools/pools.ts';
import { loadDefinitions } from '../transport/proto.ts';
import type { ServedService } from '../transport/server.ts';

export interface ServicesOptions {
  readonly pools: Pools;
  readonly nodeName: string;
  readonly maxVolumes: number;
  readonly version: string;
  readonly exec: Exec;
  readonly files: Files;
}

export function driverServices(options: ServicesOptions): readonly ServedService[] {
  const { pools, nodeName, version } = options;
  const { identity, controller, node, restore, inspect } = loadDefinitions();
  return [
    { definition: identity, service: identityService(pools, version) },
    { definition: controller, service: controllerService(pools, nodeName) },
    { definition: node, service: nodeService(options) },
    { definition: restore, service: restoreService(pools) },
    { definition: inspect, service: inspectService(pools, version) },
  ];
}
