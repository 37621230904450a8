// What every node call works with, and the look-ups that most of them begin with.

import { deviceNode } from '../dm/observed.ts';
import { locateVolume, requireHere } from '../csi/handles.ts';
import type { OneAtATime } from '../csi/one-at-a-time.ts';
import type { ActiveVolume, Engine, Volume } from '../engine/engine.ts';
import { fail, isOfRecords } from '../vocabulary/errors.ts';
import type { Exec } from '../system/exec.ts';
import { isTopUuid, isVolumeId, parseHandle } from '../vocabulary/ids.ts';
import type { Pools } from '../pools/pools.ts';
import { bytes } from '../vocabulary/units.ts';
import type { Files } from './files.ts';
import type { MountEntry } from './mountinfo.ts';

export interface NodeContext {
  readonly pools: Pools;
  readonly nodeName: string;
  /** 0: as many as the scheduler likes. */
  readonly maxVolumes: number;
  readonly exec: Exec;
  readonly files: Files;
  /** One call at a time for one volume. */
  readonly oneOfVolume: OneAtATime;
}

export interface VolumeHere {
  readonly engine: Engine;
  readonly volume: Volume;
}

export async function requireVolume({ pools }: Pick<NodeContext, 'pools'>, text: string): Promise<VolumeHere> {
  const { engine, id } = requireHere(locateVolume(pools, text), 'volume', text);
  const volume = await engine.getVolume(id);
  return volume === undefined
    ? fail('not-found', `Cannot find volume '${text}': it does not exist`)
    : { engine, volume };
}

/**
 * The device of a volume that is staged, as the kernel has it: what is to be taken away is found and unmounted although the
 * pool is away, LVM hangs, or the volume's records are in trouble. Of one that has none the engine is asked, which knows
 * whether there is such a volume.
 */
export async function stagedDevice(
  { pools, files }: Pick<NodeContext, 'pools' | 'files'>,
  text: string,
): Promise<ActiveVolume | undefined> {
  const handle = parseHandle(text);
  if (handle !== undefined && isVolumeId(handle.id)) {
    const { vg, id } = handle;
    const majorMinor = await files.numberOf((uuid) => isTopUuid(uuid, vg, id));
    const found = majorMinor === undefined ? undefined : await files.mapped(majorMinor);
    if (majorMinor !== undefined && found !== undefined)
      return { path: deviceNode(majorMinor), majorMinor, size: bytes(found.bytes) };
  }
  if (locateVolume(pools, text).at === 'waiting') return undefined;
  try {
    const { engine, volume } = await requireVolume({ pools }, text);
    return await engine.active(volume.id);
  } catch (error) {
    if (isOfRecords(error)) return undefined;
    throw error;
  }
}

export function isMountOf(entry: MountEntry, active: ActiveVolume): boolean {
  return entry.majorMinor === active.majorMinor;
}

/** Where the file system of a volume is mounted, staging and targets alike. */
export async function mountsOf(
  { files }: Pick<NodeContext, 'files'>,
  active: ActiveVolume,
): Promise<readonly MountEntry[]> {
  return (await files.mounts()).filter((entry) => isMountOf(entry, active));
}

/** Whoever writes to the device of a mounted file system spoils it. */
export async function refuseMounted(
  context: Pick<NodeContext, 'files'>,
  active: ActiveVolume,
  doing: string,
): Promise<void> {
  const [mounted] = await mountsOf(context, active);
  if (mounted !== undefined) fail('precondition', `${doing}: its file system is mounted at ${mounted.mountPoint}`);
}

/** Paths at which the volume's device node is published for raw use. */
export async function blockTargetsOf(
  { files }: Pick<NodeContext, 'files'>,
  active: ActiveVolume,
): Promise<readonly MountEntry[]> {
  const name = active.path.slice(active.path.lastIndexOf('/'));
  const candidates = (await files.mounts()).filter(({ root }) => root.endsWith(name) || /\/loop\d+$/.test(root));
  const found = await Promise.all(
    candidates.map(async (entry) => ((await isDevice(files, entry.mountPoint, active)) ? [entry] : [])),
  );
  return found.flat();
}

/** A use of the volume, as a mount or as a device node, at another place than `path`. */
export async function usedElsewhere(
  context: Pick<NodeContext, 'files'>,
  active: ActiveVolume,
  path?: string,
): Promise<MountEntry | undefined> {
  const used = [...(await mountsOf(context, active)), ...(await blockTargetsOf(context, active))];
  const here = path === undefined ? undefined : await context.files.placeOf(path);
  for (const entry of used) if ((await context.files.placeOf(entry.mountPoint)) !== here) return entry;
  return undefined;
}

/** The path is the volume's device node, or that of its read-only loop device. */
export async function isDevice(files: Files, path: string, active: ActiveVolume): Promise<boolean> {
  const kind = await files.kindOf(path);
  if (kind?.kind !== 'block') return false;
  return kind.majorMinor === active.majorMinor || (await files.backingOf(kind.majorMinor)) === active.path;
}
