// What a cluster asks of the driver for one workload, in short words: volumes by name, published at /run/use/NAME, and the
// guest's own shell for what the workload does there.

import { z } from 'zod';
import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../../vm/wait.ts';
import type { Caller } from './caller.ts';
import { Refused } from './caller.ts';

export type Access = 'ext4' | 'xfs' | 'block';

interface VolumeOptions {
  readonly mib: number;
  readonly access?: Access;
  readonly parameters?: Readonly<Record<string, string>>;
  /** Handle of a snapshot or of a volume. */
  readonly snapshot?: string;
  readonly volume?: string;
}

interface UseOptions {
  readonly access?: Access;
  readonly flags?: readonly string[];
  readonly readOnly?: boolean;
}

export interface Workload {
  readonly sh: (line: string) => Promise<string>;
  /** Writes so many MiB of noise to a device or file, past the page cache. */
  readonly random: (path: string, mib: number) => Promise<string>;
  /** Of a raw volume or file, past the page cache, which devices over the same bytes do not share. */
  readonly rawSum: (path: string) => Promise<string>;
  /** Of the file `data` below a mount. */
  readonly filesOf: (home: string) => Promise<string>;
  readonly volume: (name: string, options: VolumeOptions) => Promise<string>;
  readonly snapshot: (name: string, volume: string) => Promise<string>;
  /** Stages and publishes; returns where it is. */
  readonly use: (id: string, options?: UseOptions) => Promise<string>;
  readonly leave: (id: string) => Promise<void>;
  readonly restore: (volume: string, snapshot: string, more?: object) => Promise<string>;
  readonly restoreDone: (id: string) => Promise<void>;
  /** The driver's process ends without a word; returns when the next one is ready. */
  readonly killDriver: () => Promise<void>;
  /** Deletes everything that there is, and waits until LVM and dm are empty. */
  readonly clear: () => Promise<void>;
}

/** A guest, or any other machine that the driver runs on. */
export interface Machine {
  /** Standard output of a command that must succeed. */
  readonly output: (argv: readonly string[]) => Promise<string>;
}

const MIB = 1024 ** 2;

/** A MiB of noise over and over, each time turned by another piece of it: all of it from /dev/urandom takes ten times as long. */
const NOISE = `open my $source, "<:raw", "/dev/urandom"; read $source, my $noise, 1 << 20;
  print substr($noise, $_ * 4099 % (1 << 20)), substr($noise, 0, $_ * 4099 % (1 << 20)) for 1 .. $ARGV[0]`;
const WAIT_LIMIT_MS = 300_000;
/** Of a test in an emulated guest. */
export const LIMIT_MS = 900_000;

const volumeReply = z.object({ volume: z.object({ volume_id: z.string() }) });
const snapshotReply = z.object({ snapshot: z.object({ snapshot_id: z.string(), ready_to_use: z.literal(true) }) });
export const restoreReply = z.object({
  restore: z.object({
    restore_id: z.string(),
    phase: z.string(),
    total_bytes: z.string(),
    remaining_bytes: z.string(),
  }),
});
const volumesReply = z.object({ entries: z.array(volumeReply) });
const probeReply = z.object({ ready: z.object({ value: z.boolean() }).nullable() });
const snapshotsReply = z.object({ entries: z.array(z.object({ snapshot: z.object({ snapshot_id: z.string() }) })) });

export function capabilityOf({ access = 'ext4', flags = [], readOnly = false }: UseOptions = {}): object {
  const mode = { access_mode: { mode: readOnly ? 'SINGLE_NODE_READER_ONLY' : 'SINGLE_NODE_WRITER' } };
  return access === 'block' ? { block: {}, ...mode } : { mount: { fs_type: access, mount_flags: flags }, ...mode };
}

export const stagingOf = (id: string): string => `/run/use/staging/${id}`;
export const targetOf = (id: string): string => `/run/use/${id}`;

export function createWorkload(guest: Machine, { call, tell }: Caller): Workload {
  const used = new Set<string>();
  const sh = (line: string): Promise<string> => guest.output(['bash', '-euo', 'pipefail', '-c', line]);
  const leave: Workload['leave'] = async (id) => {
    await tell('NodeUnpublishVolume', { volume_id: id, target_path: targetOf(id) });
    await tell('NodeUnstageVolume', { volume_id: id, staging_target_path: stagingOf(id) });
    used.delete(id);
  };
  const left = async (): Promise<string> =>
    (
      (await guest.output(['lvs', '--noheadings', '-o', 'lv_name', 'pool'])) +
      (await guest.output(['sh', '-c', 'dmsetup ls | grep ^snapmerge- || true']))
    ).trim();
  return {
    sh,
    random: (path, mib) =>
      sh(`perl -e '${NOISE}' ${mib} | dd of=${path} bs=1M iflag=fullblock conv=notrunc oflag=direct status=none; sync`),
    rawSum: async (path) => (await sh(`dd if=${path} iflag=direct bs=1M status=none | md5sum`)).trim(),
    filesOf: async (home) => (await sh(`md5sum < $(find ${home} -name data)`)).trim(),
    volume: async (name, { mib, access = 'ext4', parameters = {}, snapshot, volume }) => {
      const content =
        snapshot === undefined ? { volume: { volume_id: volume } } : { snapshot: { snapshot_id: snapshot } };
      const request = {
        name,
        capacity_range: { required_bytes: mib * MIB },
        volume_capabilities: [capabilityOf({ access })],
        parameters,
        ...(snapshot === undefined && volume === undefined ? {} : { volume_content_source: content }),
      };
      return (await call('CreateVolume', request, volumeReply)).volume.volume_id;
    },
    snapshot: async (name, volume) =>
      (await call('CreateSnapshot', { name, source_volume_id: volume }, snapshotReply)).snapshot.snapshot_id,
    use: async (id, options = {}) => {
      const base = {
        volume_id: id,
        staging_target_path: stagingOf(id),
        volume_capability: capabilityOf(options),
      };
      used.add(id);
      await guest.output(['mkdir', '-p', stagingOf(id)]);
      await tell('NodeStageVolume', base);
      await tell('NodePublishVolume', { ...base, target_path: targetOf(id), readonly: options.readOnly ?? false });
      return targetOf(id);
    },
    leave,
    restore: async (volume, snapshot, more = {}) =>
      (await call('StartRestore', { volume_id: volume, snapshot_id: snapshot, ...more }, restoreReply)).restore
        .restore_id,
    restoreDone: async (id) => {
      const done = await waitFor(
        WAIT_LIMIT_MS,
        async () => {
          const { restore } = await call('GetRestore', { restore_id: id }, restoreReply);
          return restore.phase === 'RESTORE_PHASE_DONE' ? true : undefined;
        },
        LOOK_IN_GUEST_EVERY_MS,
      );
      if (done !== true) throw new Error(`Restore '${id}' does not come to its end`);
    },
    killDriver: async () => {
      await sh('kill -KILL $(cat /run/snapmerge/driver.pid)');
      const ready = await waitFor(
        WAIT_LIMIT_MS,
        async () => {
          try {
            return (await call('Probe', {}, probeReply)).ready?.value === true ? true : undefined;
          } catch (error) {
            // A connection to the old process may end in the middle of a call.
            if (error instanceof Refused && error.code === 'UNAVAILABLE') return undefined;
            throw error;
          }
        },
        LOOK_IN_GUEST_EVERY_MS,
      );
      if (ready !== true) throw new Error('The driver does not start again');
    },
    clear: async () => {
      for (const id of used) await leave(id);
      const { entries } = await call('ListSnapshots', {}, snapshotsReply);
      for (const { snapshot } of entries) await tell('DeleteSnapshot', { snapshot_id: snapshot.snapshot_id });
      for (const { volume } of (await call('ListVolumes', {}, volumesReply)).entries) {
        await tell('DeleteVolume', { volume_id: volume.volume_id });
      }
      const empty = await waitFor(
        WAIT_LIMIT_MS,
        async () => ((await left()) === '' ? true : undefined),
        LOOK_IN_GUEST_EVERY_MS,
      );
      if (empty !== true) throw new Error(`Left over: ${await left()}`);
    },
  };
}
