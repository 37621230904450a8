// NodePublishVolume and NodeUnpublishVolume: the staged file system, or the device node, bind mounted at a target path.
// What is published where is read from mountinfo and the target itself; nothing is remembered.

import type { NodePublishVolumeResponse } from '#proto/csi/v1/NodePublishVolumeResponse.ts';
import type { NodeUnpublishVolumeResponse } from '#proto/csi/v1/NodeUnpublishVolumeResponse.ts';
import { z } from 'zod';
import { requireCapability, volumeCapability } from '../csi/capability.ts';
import type { Capability } from '../csi/capability.ts';
import { optionalPath, requiredPath, requiredText } from '../csi/fields.ts';
import type { ActiveVolume } from '../engine/engine.ts';
import { SnapmergeError, fail } from '../vocabulary/errors.ts';
import { isDevice, isMountOf, refuseMounted, requireVolume, stagedDevice, usedElsewhere } from './context.ts';
import type { NodeContext } from './context.ts';
import { bindMount, unmountAll } from './filesystem.ts';
import { detachUnpublished, readOnlyLoop } from './loops.ts';
import { isReadOnly, mountAt, otherFlag } from './mountinfo.ts';

export const publishRequest = z.object({
  volume_id: requiredText,
  staging_target_path: optionalPath,
  target_path: requiredPath,
  volume_capability: volumeCapability.nullable(),
  readonly: z.boolean(),
});
export const unpublishRequest = z.object({ volume_id: requiredText, target_path: requiredPath });

type PublishRequest = z.output<typeof publishRequest>;

export async function publish(context: NodeContext, request: PublishRequest): Promise<NodePublishVolumeResponse> {
  const capability = requireCapability(request.volume_capability);
  const { engine, volume } = await requireVolume(context, request.volume_id);
  if (request.staging_target_path === '') {
    fail('precondition', `Cannot publish '${request.volume_id}': staging_target_path is missing; stage it first`);
  }
  const staging = await context.files.canonical(request.staging_target_path);
  const target = await context.files.canonical(request.target_path);
  if (target === staging) fail('invalid', `Cannot publish at ${target}: it is the staging path`);
  const readOnly = request.readonly || capability.readOnly;
  // A restore that is being prepared has seen that nobody has the device open, and a pod would open it.
  return engine.stage(volume.id, async () => {
    const active = await engine.active(volume.id);
    if (active === undefined) fail('precondition', `Cannot publish '${request.volume_id}': it is not staged`);
    if (await isPublished(context, active, { staging, target }, capability, readOnly)) return {};
    if (capability.type === 'block') await refuseMounted(context, active, `Cannot publish the device at ${target}`);
    await refuseSecondTarget(context, active, capability, staging);
    await (capability.type === 'block'
      ? publishBlock(context, active, target, readOnly)
      : publishMount(context, active, staging, target, readOnly, capability.mountFlags));
    return {};
  });
}

/** True: the same is there already. Throws `exists` when it is there in another way, `precondition` when it is a stranger. */
async function isPublished(
  { files }: NodeContext,
  active: ActiveVolume,
  { staging, target }: { readonly staging: string; readonly target: string },
  capability: Capability,
  readOnly: boolean,
): Promise<boolean> {
  const mounts = await files.mounts();
  const entry = mountAt(mounts, target);
  if (entry === undefined) return false;
  const type = isMountOf(entry, active) ? 'mount' : (await isDevice(files, target, active)) ? 'block' : undefined;
  if (type === undefined) fail('precondition', `Cannot publish at ${target}: ${entry.source} is mounted there`);
  if (type !== capability.type)
    fail('exists', `Cannot publish as ${capability.type} at ${target}: it is published there as ${type}`);
  if (isReadOnly(entry) !== readOnly) {
    fail(
      'exists',
      `Cannot publish at ${target}: it is published there ${isReadOnly(entry) ? 'read-only' : 'for writing'}`,
    );
  }
  const other =
    capability.type === 'mount' ? otherFlag(entry, capability.mountFlags, mountAt(mounts, staging)) : undefined;
  if (other !== undefined) fail('exists', `Cannot publish at ${target}: it is published there ${other}`);
  return true;
}

/** Only SINGLE_NODE_MULTI_WRITER is published at several targets of a node. */
async function refuseSecondTarget(
  context: NodeContext,
  active: ActiveVolume,
  capability: Capability,
  staging: string,
): Promise<void> {
  if (capability.mode === 'multi-writer') return;
  const other = await usedElsewhere(context, active, staging);
  if (other === undefined) return;
  fail(
    'precondition',
    `Cannot publish a second time: the volume is at ${other.mountPoint}, and its access mode allows one target`,
  );
}

async function publishMount(
  { exec, files }: NodeContext,
  active: ActiveVolume,
  staging: string,
  target: string,
  readOnly: boolean,
  flags: readonly string[],
): Promise<void> {
  const staged = mountAt(await files.mounts(), staging);
  if (staged === undefined || !isMountOf(staged, active)) {
    fail('precondition', `Cannot publish at ${target}: the volume is not staged at ${staging}`);
  }
  if (isReadOnly(staged) && !readOnly) {
    fail('precondition', `Cannot publish at ${target} for writing: the volume is staged read-only`);
  }
  await requireKind(files, target, 'directory');
  await files.makeDirectory(target);
  await bindMount(exec, staging, target, readOnly, flags);
}

async function publishBlock(
  { exec, files }: NodeContext,
  active: ActiveVolume,
  target: string,
  readOnly: boolean,
): Promise<void> {
  await requireKind(files, target, 'file');
  await files.makeFile(target);
  const device = readOnly ? await readOnlyLoop(exec, active) : active.path;
  await bindMount(exec, device, target, readOnly, []);
}

async function requireKind(files: NodeContext['files'], target: string, want: 'directory' | 'file'): Promise<void> {
  const there = await files.kindOf(target);
  if (there === undefined || there.kind === want) return;
  if (there.kind === 'unreadable')
    fail('precondition', `Cannot publish at ${target}: the file system there has stopped after an error`);
  fail('precondition', `Cannot publish at ${target}: it is a ${there.kind}, not a ${want}`);
}

/** Takes away what publishing made: the mount, and the directory or file under it. */
export async function unpublish(
  context: NodeContext,
  request: z.output<typeof unpublishRequest>,
): Promise<NodeUnpublishVolumeResponse> {
  const { exec, files } = context;
  const target = await files.canonical(request.target_path);
  const there = await files.kindOf(target);
  const active = await stagedDevice(context, request.volume_id).catch((error: unknown) => {
    // Of a volume that is gone there may be something left to take away.
    if (there !== undefined && error instanceof SnapmergeError && error.kind === 'not-found') return undefined;
    throw error;
  });
  await unmountAll(exec, files, target, async (at) => {
    const entry = mountAt(await files.mounts(), at);
    return (
      active !== undefined && entry !== undefined && (isMountOf(entry, active) || (await isDevice(files, at, active)))
    );
  });
  await removeTarget(files, target);
  if (active !== undefined && there?.kind !== 'directory') await detachUnpublished(exec, files, active);
  return {};
}

async function removeTarget(files: NodeContext['files'], target: string): Promise<void> {
  const there = await files.kindOf(target);
  if (there === undefined) return;
  if (there.kind === 'directory') {
    if (!(await files.removeDirectory(target))) {
      fail('precondition', `Cannot remove ${target}: it is not empty, and nothing is mounted there`);
    }
    return;
  }
  if (there.kind !== 'file' || !(await files.isEmptyFile(target))) {
    fail('precondition', `Cannot remove ${target}: it is not the empty file that publishing makes`);
  }
  await files.removeFile(target);
}
