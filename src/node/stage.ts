// NodeStageVolume and NodeUnstageVolume: from a volume to a device, and for a mount volume to a file system at the staging
// path. Each step looks at what is there first, so a call that was cut short is simply called again.

import type { NodeStageVolumeResponse } from '#proto/csi/v1/NodeStageVolumeResponse.ts';
import type { NodeUnstageVolumeResponse } from '#proto/csi/v1/NodeUnstageVolumeResponse.ts';
import { z } from 'zod';
import { requireCapability, volumeCapability } from '../csi/capability.ts';
import type { Capability } from '../csi/capability.ts';
import { requiredPath, requiredText, stringMap } from '../csi/fields.ts';
import { locateVolume } from '../csi/handles.ts';
import type { Located } from '../csi/handles.ts';
import { DEFAULT_FS_TYPE, FS_TYPE_CONTEXT, isFsType } from '../csi/fstype.ts';
import type { FsType } from '../csi/fstype.ts';
import type { ActiveVolume, Volume } from '../engine/engine.ts';
import { fail } from '../vocabulary/errors.ts';
import type { PoolName, VolumeId } from '../vocabulary/ids.ts';
import { formatBytes } from '../vocabulary/units.ts';
import {
  blockTargetsOf,
  isMountOf,
  mountsOf,
  refuseMounted,
  requireVolume,
  stagedDevice,
  usedElsewhere,
} from './context.ts';
import type { NodeContext } from './context.ts';
import { growMounted, mend, mountDevice, removeTop, unmountAll } from './filesystem.ts';
import { format, mayFormat, takeMarkAway } from './format.ts';
import { detachUnpublished } from './loops.ts';
import { isReadOnly, mountAt, otherFlag } from './mountinfo.ts';
import type { MountEntry } from './mountinfo.ts';
import { probe, superblock } from './probe.ts';
import type { Superblock } from './superblock.ts';

export const stageRequest = z.object({
  volume_id: requiredText,
  staging_target_path: requiredPath,
  volume_capability: volumeCapability.nullable(),
  volume_context: stringMap,
});
export const unstageRequest = z.object({ volume_id: requiredText, staging_target_path: requiredPath });

type MountCapability = Extract<Capability, { readonly type: 'mount' }>;

export async function stage(
  context: NodeContext,
  request: z.output<typeof stageRequest>,
): Promise<NodeStageVolumeResponse> {
  const capability = requireCapability(request.volume_capability);
  const asked = capability.type === 'mount' ? (capability.fsType ?? contextFsType(request.volume_context)) : undefined;
  const { engine, volume } = await requireVolume(context, request.volume_id);
  const path = await context.files.canonical(request.staging_target_path);
  const there = await context.files.kindOf(path);
  if (there?.kind === 'unreadable')
    fail('precondition', `Cannot stage at ${path}: the file system there has stopped after an error; unmount it first`);
  if (there !== undefined && there.kind !== 'directory')
    fail('precondition', `Cannot stage at ${path}: it is a ${there.kind}, not a directory`);
  return engine.stage(volume.id, async () => {
    const active = await engine.activate(volume.id);
    const staged = mountAt(await context.files.mounts(), path);
    if (capability.type === 'block') {
      if (staged !== undefined && isMountOf(staged, active)) {
        fail('exists', `Cannot stage '${request.volume_id}' for raw use: its file system is staged at ${path}`);
      }
      await refuseMounted(context, active, `Cannot stage '${request.volume_id}' for raw use`);
      return {};
    }
    if (staged === undefined) {
      await refuseOtherUse(context, active, path);
      await stageMount(context, active, volume, path, capability, asked);
    } else {
      requireSame(staged, active, path, capability, required(volume, asked));
      if (!isReadOnly(staged)) await grow(context, active, path);
    }
    return {};
  });
}

function contextFsType(volumeContext: Readonly<Record<string, string>>): FsType | undefined {
  const text = volumeContext[FS_TYPE_CONTEXT] ?? '';
  if (text === '') return undefined;
  return isFsType(text)
    ? text
    : fail('invalid', `Cannot take volume_context ${FS_TYPE_CONTEXT}: '${text}': ext4 or xfs`);
}

async function refuseOtherUse(context: NodeContext, active: ActiveVolume, path: string): Promise<void> {
  const elsewhere = await usedElsewhere(context, active);
  if (elsewhere === undefined) return;
  fail(
    'precondition',
    `Cannot stage at ${path}: the volume is in use at ${elsewhere.mountPoint}; unpublish and unstage that first`,
  );
}

/** Staged already: the same again is done, anything else is refused. */
function requireSame(
  staged: MountEntry,
  active: ActiveVolume,
  path: string,
  capability: MountCapability,
  asked: FsType | undefined,
): void {
  if (!isMountOf(staged, active)) fail('precondition', `Cannot stage at ${path}: ${staged.source} is mounted there`);
  if (asked !== undefined && asked !== staged.fsType) {
    fail('exists', `Cannot stage with ${asked} at ${path}: the volume is staged there with ${staged.fsType}`);
  }
  if (isReadOnly(staged) !== capability.readOnly) {
    fail(
      'exists',
      `Cannot stage at ${path}: the volume is staged there ${isReadOnly(staged) ? 'read-only' : 'for writing'}`,
    );
  }
  const other = otherFlag(staged, capability.mountFlags);
  if (other !== undefined) fail('exists', `Cannot stage at ${path}: the volume is staged there ${other}`);
}

/** What was made from a snapshot or a volume has the file system of that, whatever its class says. */
function required({ source }: Volume, asked: FsType | undefined): FsType | undefined {
  return source === undefined ? asked : undefined;
}

async function stageMount(
  context: NodeContext,
  active: ActiveVolume,
  volume: Volume,
  path: string,
  capability: MountCapability,
  asked: FsType | undefined,
): Promise<void> {
  const { exec, files } = context;
  const { fsType, superblock: found } = await ensureFilesystem(context, active, volume, asked);
  const { readOnly } = capability;
  if (!readOnly && found?.asksForCheck === true) await mend(exec, fsType, active.path);
  await files.makeDirectory(path);
  const small = !readOnly && (await isSmaller(context, active, fsType));
  await mountDevice(exec, active.path, path, { fsType, readOnly, flags: capability.mountFlags });
  if (small) await growMounted(exec, fsType, active.path, path);
}

/** The file system that is there, or a new one on a device proven blank. Whatever else is there stays untouched. */
async function ensureFilesystem(
  { exec, files }: NodeContext,
  { path, size }: ActiveVolume,
  volume: Volume,
  asked: FsType | undefined,
): Promise<{ readonly fsType: FsType; readonly superblock: Superblock | undefined }> {
  const content = await probe(exec, files, path, size);
  if (await mayFormat(files, path, size, volume.id, content)) {
    const fsType = asked ?? DEFAULT_FS_TYPE;
    // What a mkfs that was cut short has left is not zeroes, and what a source holds is its user's.
    const isZeroed = content.holds === 'nothing' && volume.source === undefined;
    await format(exec, files, path, size, volume.id, fsType, isZeroed);
    return { fsType, superblock: undefined };
  }
  if (content.holds !== 'filesystem') {
    return fail(
      'precondition',
      `Cannot stage as a file system: the volume holds ${describe(content)}, and is not formatted over it`,
    );
  }
  const wanted = required(volume, asked);
  if (wanted !== undefined && wanted !== content.fsType) {
    fail(
      'precondition',
      `Cannot stage with ${wanted}: the volume holds ${content.fsType}, and is not formatted over it`,
    );
  }
  await takeMarkAway(files, path, size, volume.id);
  return content;
}

function describe(content: Awaited<ReturnType<typeof probe>>): string {
  return content.holds === 'other' ? content.what : content.holds;
}

/** A fork larger than its snapshot, or a volume that grew while it was not in use. */
async function isSmaller({ files }: NodeContext, { path, size }: ActiveVolume, fsType: FsType): Promise<boolean> {
  const found = await superblock(files, path, fsType);
  return found !== undefined && found.sizeBytes < size;
}

/** Staged before; that call may have been cut short between mounting and growing. */
async function grow(context: NodeContext, active: ActiveVolume, path: string): Promise<void> {
  const fsType = mountAt(await context.files.mounts(), path)?.fsType ?? '';
  if (!isFsType(fsType) || !(await isSmaller(context, active, fsType))) return;
  await growMounted(context.exec, fsType, active.path, path);
}

/** Unmounting needs the kernel alone; what lies below the device goes when its pool, and its records, can be asked again. */
export async function unstage(
  context: NodeContext,
  request: z.output<typeof unstageRequest>,
): Promise<NodeUnstageVolumeResponse> {
  const active = await stagedDevice(context, request.volume_id);
  if (active === undefined) return {};
  const path = await context.files.canonical(request.staging_target_path);
  const published = [...(await mountsOf(context, active)), ...(await blockTargetsOf(context, active))];
  const other = await usedElsewhere(context, active, path);
  if (other !== undefined) {
    fail('precondition', `Cannot unstage '${request.volume_id}': it is published at ${other.mountPoint}`);
  }
  const found = locateVolume(context.pools, request.volume_id);
  if (published.length > 0) {
    // An unmount writes out what is left, and could not be stopped any more.
    if (found.at === 'here') await refuseWaiting(found, request.volume_id);
    await unmountAll(context.exec, context.files, path, async (at) => {
      const entry = mountAt(await context.files.mounts(), at);
      return entry !== undefined && isMountOf(entry, active);
    });
  }
  // Left by a publishing that was cut short.
  await detachUnpublished(context.exec, context.files, active);
  if (found.at === 'here') await found.engine.deactivate(found.id);
  else {
    if (found.at === 'waiting') refuseOwned(context, found.pool, request.volume_id);
    await removeTop(context.exec, context.files, active);
  }
  return {};
}

/** Whoever owns the pool, or is about to, would make the device again. */
function refuseOwned({ pools }: NodeContext, pool: PoolName, text: string): void {
  if (!pools.others().has(pool) && pools.waiting().get(pool) !== undefined) return;
  const why = pools.waiting().get(pool) ?? 'it is being started';
  fail('unavailable', `Cannot give up the device of '${text}': pool '${pool}' has another owner, or soon has: ${why}`);
}

async function refuseWaiting({ engine, id }: Located<VolumeId>, text: string): Promise<void> {
  const waits = (await engine.waiting()).find((one) => one.volume === id);
  if (waits === undefined) return;
  fail(
    'precondition',
    `Cannot unstage '${text}': its writers wait for room, pool '${engine.pool}' needs ` +
      `${formatBytes(waits.missingBytes)} more free space`,
  );
}
