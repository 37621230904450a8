// A CSI client as an orchestrator would be one: grpc over the unix socket, replies checked against what the demo needs.

import { z } from 'zod';
import { createCaller } from '../csi/caller.ts';

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
  readonly startRestore: (
    volume: string,
    snapshot: string,
    how: { readonly safety?: string; readonly mode?: string },
  ) => Promise<RestoreState>;
  readonly getRestore: (id: string) => Promise<RestoreState>;
  readonly close: () => void;
}

export function createClient(socketPath: string): CsiClient {
  const { call, tell, close } = createCaller(socketPath);
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
      return (await call('CreateVolume', request, volumeReply)).volume.volume_id;
    },
    deleteVolume: async (id) => {
      await tell('DeleteVolume', { volume_id: id });
    },
    createSnapshot: async (name, volume) =>
      (await call('CreateSnapshot', { name, source_volume_id: volume }, snapshotReply)).snapshot.snapshot_id,
    mount: async (id) => {
      const base = { volume_id: id, staging_target_path: stagingOf(id), volume_capability: MOUNT };
      await tell('NodeStageVolume', base);
      await tell('NodePublishVolume', { ...base, target_path: targetOf(id) });
      return targetOf(id);
    },
    unmount: async (id) => {
      await tell('NodeUnpublishVolume', { volume_id: id, target_path: targetOf(id) });
      await tell('NodeUnstageVolume', { volume_id: id, staging_target_path: stagingOf(id) });
    },
    startRestore: async (volume, snapshot, { safety = '', mode = 'RESTORE_MODE_ORIGIN' }) => {
      const request = {
        volume_id: volume,
        snapshot_id: snapshot,
        mode,
        keep_snapshot: true,
        safety_snapshot_name: safety,
      };
      return (await call('StartRestore', request, restoreReply)).restore;
    },
    getRestore: async (id) => (await call('GetRestore', { restore_id: id }, restoreReply)).restore,
    close,
  };
}
