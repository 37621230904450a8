// A CSI client as an orchestrator would be one: grpc over the unix socket, replies checked against what the demo needs.

import { Client, Metadata, credentials } from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { z } from 'zod';
import { loadDefinitions } from '../../src/proto.ts';

const CALL_LIMIT_MS = 300_000;

const MOUNT = { mount: { fs_type: 'ext4', mount_flags: [] }, access_mode: { mode: 'SINGLE_NODE_WRITER' } };

const volumeReply = z.object({ volume: z.object({ volume_id: z.string(), capacity_bytes: z.string() }) });
const snapshotReply = z.object({ snapshot: z.object({ snapshot_id: z.string(), ready_to_use: z.boolean() }) });
const restoreReply = z.object({
  restore: z.object({
    restore_id: z.string(),
    phase: z.string(),
    total_bytes: z.string(),
    remaining_bytes: z.string(),
    safety_snapshot_id: z.string(),
  }),
});

export type RestoreState = z.infer<typeof restoreReply>['restore'];

/** What a new volume is made from. */
export type Source = { readonly snapshot: string } | { readonly volume: string } | undefined;

export interface CsiClient {
  readonly createVolume: (name: string, bytes: number, source?: Source) => Promise<string>;
  readonly deleteVolume: (id: string) => Promise<void>;
  readonly createSnapshot: (name: string, volume: string) => Promise<string>;
  readonly mount: (id: string) => Promise<string>;
  readonly unmount: (id: string) => Promise<void>;
  readonly startRestore: (volume: string, snapshot: string, safety: string) => Promise<RestoreState>;
  readonly getRestore: (id: string) => Promise<RestoreState>;
  readonly close: () => void;
}

export function createClient(socketPath: string): CsiClient {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure());
  const definitions = loadDefinitions();
  const call = <T>(service: ServiceDefinition, method: string, request: object, reply: z.ZodType<T>): Promise<T> => {
    const found = service[method];
    if (found === undefined) throw new Error(`Cannot call ${method}: the service does not have it`);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        found.path,
        found.requestSerialize,
        found.responseDeserialize,
        request,
        // A driver that is starting again is waited for, as an orchestrator's retries would.
        new Metadata({ waitForReady: true }),
        { deadline: Date.now() + CALL_LIMIT_MS },
        (error, value) =>
          error === null ? resolve(reply.parse(value)) : reject(new Error(`${method}: ${error.message}`)),
      );
    });
  };
  const { controller, node, restore } = definitions;
  const nothing = z.unknown();
  const stagingOf = (id: string): string => `/run/demo/staging/${id}`;
  const targetOf = (id: string): string => `/run/demo/mounts/${id}`;
  return {
    createVolume: async (name, bytes, source) => {
      const content =
        source === undefined
          ? {}
          : {
              volume_content_source:
                'snapshot' in source
                  ? { snapshot: { snapshot_id: source.snapshot } }
                  : { volume: { volume_id: source.volume } },
            };
      const request = { name, capacity_range: { required_bytes: bytes }, volume_capabilities: [MOUNT], ...content };
      return (await call(controller, 'CreateVolume', request, volumeReply)).volume.volume_id;
    },
    deleteVolume: async (id) => {
      await call(controller, 'DeleteVolume', { volume_id: id }, nothing);
    },
    createSnapshot: async (name, volume) =>
      (await call(controller, 'CreateSnapshot', { name, source_volume_id: volume }, snapshotReply)).snapshot
        .snapshot_id,
    mount: async (id) => {
      const base = { volume_id: id, staging_target_path: stagingOf(id), volume_capability: MOUNT };
      await call(node, 'NodeStageVolume', base, nothing);
      await call(node, 'NodePublishVolume', { ...base, target_path: targetOf(id) }, nothing);
      return targetOf(id);
    },
    unmount: async (id) => {
      await call(node, 'NodeUnpublishVolume', { volume_id: id, target_path: targetOf(id) }, nothing);
      await call(node, 'NodeUnstageVolume', { volume_id: id, staging_target_path: stagingOf(id) }, nothing);
    },
    startRestore: async (volume, snapshot, safety) => {
      const request = {
        volume_id: volume,
        snapshot_id: snapshot,
        mode: 'RESTORE_MODE_ORIGIN',
        keep_snapshot: true,
        safety_snapshot_name: safety,
      };
      return (await call(restore, 'StartRestore', request, restoreReply)).restore;
    },
    getRestore: async (id) => (await call(restore, 'GetRestore', { restore_id: id }, restoreReply)).restore,
    close: () => client.close(),
  };
}
