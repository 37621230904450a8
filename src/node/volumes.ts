// The node's calls on volumes in use: statistics, expansion, health.

import type { NodeExpandVolumeResponse } from '#proto/csi/v1/NodeExpandVolumeResponse.ts';
import type { NodeGetStorageHealthResponse } from '#proto/csi/v1/NodeGetStorageHealthResponse.ts';
import type { NodeGetVolumeHealthResponse } from '#proto/csi/v1/NodeGetVolumeHealthResponse.ts';
import type { VolumeUsage } from '#proto/csi/v1/VolumeUsage.ts';
import type { StorageHealthErrorType } from '#proto/csi/v1/StorageHealthErrorType.ts';
import type { NodeGetVolumeStatsResponse } from '#proto/csi/v1/NodeGetVolumeStatsResponse.ts';
import { z } from 'zod';
import { volumeCapability } from '../csi/capability.ts';
import { locateVolume, requireHere } from '../csi/handles.ts';
import { capacityRange, lookedUpPath, requiredText, sizeRange } from '../csi/fields.ts';
import { isFsType } from '../csi/fstype.ts';
import type { ActiveVolume, Engine } from '../engine/engine.ts';
import { SnapmergeError, fail } from '../vocabulary/errors.ts';
import { deviceKey, dmUuid } from '../vocabulary/ids.ts';
import type { VolumeId } from '../vocabulary/ids.ts';
import { maxBytes } from '../vocabulary/units.ts';
import { healthReply } from '../csi/replies.ts';
import type { HealthEntry } from '../csi/replies.ts';
import { mountsOf, requireVolume } from './context.ts';
import type { NodeContext } from './context.ts';
import type { Files, Mapped } from './files.ts';
import { growMounted } from './filesystem.ts';
import { growLoops } from './loops.ts';
import { hasGivenUp, isReadOnly, mountAt } from './mountinfo.ts';
import type { MountEntry } from './mountinfo.ts';

export const statsRequest = z.object({ volume_id: requiredText, volume_path: lookedUpPath });
export const expandRequest = z.object({
  volume_id: requiredText,
  volume_path: lookedUpPath,
  capacity_range: capacityRange.nullable(),
  volume_capability: volumeCapability.nullable(),
});
export const healthRequest = z.object({ volume_id: requiredText });

/**
 * The kernel and the file system tell it, LVM is not asked: the kubelet wants it of every volume again and again, and of a
 * family that is left alone, too.
 */
export async function stats(
  context: NodeContext,
  request: z.output<typeof statsRequest>,
): Promise<NodeGetVolumeStatsResponse> {
  const { files, pools } = context;
  const { engine, id } = requireHere(locateVolume(pools, request.volume_id), 'volume', request.volume_id);
  const shown = await shownAt(files, engine, id, request.volume_path);
  if (shown === undefined) return notThere(request);
  if (shown.as === 'block') return { usage: [{ unit: 'BYTES', total: shown.device.bytes.toString() }] };
  const { bytes, inodes } = await files.usage(request.volume_path);
  return { usage: [usageReply('BYTES', bytes), usageReply('INODES', inodes)] };
}

interface Shown {
  readonly as: 'mount' | 'block';
  readonly device: Mapped;
}

/** How the volume is used at a path: staged or published there as a file system or as a device, or not at all. */
async function shownAt(files: Files, { vg }: Engine, id: VolumeId, path: string): Promise<Shown | undefined> {
  const shown = path.startsWith('/') ? await mappedAt(files, await files.canonical(path)) : undefined;
  return shown?.device.uuid === dmUuid(vg, deviceKey(id, 'top')) ? shown : undefined;
}

/** The device whose file system is mounted at a path, or whose node (or read-only loop device) lies there. */
async function mappedAt(files: Files, path: string): Promise<Shown | undefined> {
  const mount = mountAt(await files.mounts(), path);
  const mounted = mount === undefined ? undefined : await files.mapped(mount.majorMinor);
  if (mounted !== undefined) return { as: 'mount', device: mounted };
  const node = await files.kindOf(path);
  if (node?.kind !== 'block') return undefined;
  const backing = await files.backingOf(node.majorMinor);
  const under = backing === undefined ? node : await files.kindOf(backing);
  const device = under?.kind === 'block' ? await files.mapped(under.majorMinor) : undefined;
  return device === undefined ? undefined : { as: 'block', device };
}

function usageReply(
  unit: 'BYTES' | 'INODES',
  { total, available, used }: { readonly total: bigint; readonly available: bigint; readonly used: bigint },
): VolumeUsage {
  return { unit, total: total.toString(), available: available.toString(), used: used.toString() };
}

function notThere(request: { readonly volume_id: string; readonly volume_path: string }): never {
  fail(
    'not-found',
    `Cannot find volume '${request.volume_id}' at ${request.volume_path}: it is not staged or published there`,
  );
}

/** The whole of an expansion: the volume, its device, and the file system where it is mounted for writing. */
export async function expand(
  context: NodeContext,
  request: z.output<typeof expandRequest>,
): Promise<NodeExpandVolumeResponse> {
  const range = sizeRange(request.capacity_range);
  const { engine, volume } = await requireVolume(context, request.volume_id).catch(askAgain);
  const before = await engine.active(volume.id);
  const raw = request.volume_capability?.access_type === 'block';
  const shown = await shownAt(context.files, engine, volume.id, request.volume_path);
  // A raw volume that is staged only has no path of its own: kubelet then names the staging directory.
  if (before === undefined || (shown === undefined && !raw)) return notThere(request);
  if (range?.limit !== undefined && range.limit < volume.size) {
    fail(
      'out-of-range',
      `Cannot expand to at most ${range.limit} bytes: the volume has ${volume.size}, and does not shrink`,
    );
  }
  // Also for one that has the size in its records already: whether the kernel shows that, the engine sees to.
  const required = maxBytes(range?.required ?? volume.size, volume.size);
  const size = await engine.expandVolume(volume.id, required, range?.limit).catch(askAgain);
  const active = await engine.active(volume.id);
  if (active !== undefined) await growWhereMounted(context, active);
  return { capacity_bytes: size.toString() };
}

/** What stands in the way now may go: after FAILED_PRECONDITION the kubelet would never ask again. */
function askAgain(error: unknown): never {
  const heals = error instanceof SnapmergeError && (error.kind === 'precondition' || error.kind === 'contradiction');
  throw heals ? new SnapmergeError('busy', error.message, { cause: error }) : error;
}

// A file system that is mounted read-only grows when it is next staged for writing.
async function growWhereMounted(context: NodeContext, active: ActiveVolume): Promise<void> {
  const mounted = (await mountsOf(context, active)).find((entry) => !isReadOnly(entry) && !hasGivenUp(entry));
  if (mounted === undefined) await growLoops(context.exec, active);
  if (mounted === undefined || !isFsType(mounted.fsType)) return;
  await growMounted(context.exec, mounted.fsType, active.path, mounted.mountPoint);
}

export async function volumeHealth(
  context: NodeContext,
  request: z.output<typeof healthRequest>,
): Promise<NodeGetVolumeHealthResponse> {
  const { engine, volume } = await requireVolume(context, request.volume_id);
  const active = await engine.active(volume.id);
  const mounts = active === undefined ? [] : await mountsOf(context, active);
  return { volume_health: healthReply(engine, volume, await stoppedIn(context.files, mounts)) };
}

/** ext4 makes itself read-only after an error, xfs answers nothing any more. */
async function stoppedIn(files: Files, mounts: readonly MountEntry[]): Promise<readonly HealthEntry[]> {
  for (const entry of mounts) {
    const at = `the file system at ${entry.mountPoint} met an error and`;
    if (hasGivenUp(entry)) {
      const message = `${at} is read-only; unmount and check it`;
      return [{ status: 'INACCESSIBLE', reason: 'FilesystemReadOnly', message }];
    }
    if ((await files.kindOf(entry.mountPoint))?.kind === 'unreadable') {
      const message = `${at} has stopped; it goes on when it is unmounted and mounted anew`;
      return [{ status: 'INACCESSIBLE', reason: 'FilesystemStopped', message }];
    }
  }
  return [];
}

/** The pools of this node that do not answer, or lack disks. */
export async function storageHealth({ pools }: NodeContext): Promise<NodeGetStorageHealthResponse> {
  const starting = [...pools.waiting()].map(([pool, why]) =>
    unreachable([`pool '${pool}': ${why ?? 'it is being started'}`]),
  );
  const answers = await Promise.all(
    [...pools.engines()].map(async ([pool, engine]): Promise<readonly StorageEntry[]> => {
      const { ready, reachable, problems } = await engine.health();
      if (ready) return [];
      const told = problems.map((problem) => `pool '${pool}': ${problem}`);
      return reachable
        ? [{ status: 'STORAGE_DEGRADED', reason: 'DisksMissing', message: told.join('; ') }]
        : [unreachable(told)];
    }),
  );
  // One entry for each reason: whoever reads them tells entries apart by that.
  const byReason = Map.groupBy([...starting, ...answers.flat()], ({ reason }) => reason);
  return {
    backend_health: [...byReason.values()].flatMap(([first, ...more]) =>
      first === undefined ? [] : [{ ...first, message: [first, ...more].map(({ message }) => message).join('; ') }],
    ),
  };
}

interface StorageEntry {
  readonly status: StorageHealthErrorType;
  readonly reason: string;
  readonly message: string;
}

function unreachable(problems: readonly string[]): StorageEntry {
  return { status: 'STORAGE_UNREACHABLE', reason: 'PoolNotReady', message: problems.join('; ') };
}
