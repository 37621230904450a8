// What every node call works with, and the look-ups that most of them begin with.

import { locateVolume, requireHere } from '../csi/handles.ts';
import type { Keyed } from '../csi/keyed.ts';
import type { ActiveVolume, Engine, Volume } from '../engine/engine.ts';
import { fail } from '../errors.ts';
import type { Exec } from '../exec.ts';
import type { Pools } from '../pools.ts';
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
  readonly oneOfVolume: Keyed;
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

/** The path is the volume's device node, or that of its read-only loop device. */
export async function isDevice(files: Files, path: string, active: ActiveVolume): Promise<boolean> {
  const kind = await files.kindOf(path);
  if (kind?.kind !== 'block') return false;
  return kind.majorMinor === active.majorMinor || (await files.backingOf(kind.majorMinor)) === active.path;
}
