// What a converge never does, whatever the records say: take a staged volume's device away, or show what would lie deeper than
// a kernel bears. Looked at before each plan; nothing is touched where it is refused. Pure.

import { SnapmergeError } from '../vocabulary/errors.ts';
import type { VolumeId } from '../vocabulary/ids.ts';
import { deviceKey, entityOf, isVolumeId } from '../vocabulary/ids.ts';
import { deepest } from './depth.ts';
import type { Desired } from './device.ts';
import type { Observed } from '../dm/kernel.ts';

/**
 * A staged volume's top is not wanted, and nobody has unstaged it. A pod may have that device, opened or not: its number would
 * be the next volume's, and the pod would read that one.
 */
export class StillStaged extends SnapmergeError {
  readonly volumes: readonly VolumeId[];
  constructor(volumes: readonly VolumeId[]) {
    const names = volumes.map((id) => `'${id}'`).join(', ');
    const are = volumes.length === 1 ? `volume ${names} is` : `volumes ${names} are`;
    super(
      'contradiction',
      `Cannot take any device away: ${are} staged, and the records do not say so; nothing is touched`,
    );
    this.name = 'StillStaged';
    this.volumes = volumes;
  }
}

/** Tops that would go although nobody has unstaged their volumes. */
export function refuseStaged(seen: Observed, { devices }: Desired, mayGo: ReadonlySet<VolumeId>): void {
  const wanted = new Set(devices.map(({ key }) => key));
  const staged = stagedIn(seen).filter((id) => !wanted.has(deviceKey(id, 'top')) && !mayGo.has(id));
  if (staged.length > 0) throw new StillStaged(staged);
}

/** Volumes whose top has a table: without one nobody has been given it. */
export function stagedIn({ devices }: Observed): readonly VolumeId[] {
  return [...devices.values()].flatMap(({ key, live }): readonly VolumeId[] => {
    const id = entityOf(key);
    return live !== undefined && id !== undefined && isVolumeId(id) && key === deviceKey(id, 'top') ? [id] : [];
  });
}

/** Whatever the records say: what is left undone can be put right, a kernel that is down takes the whole node with it. */
export function refuseTooDeep(desired: Desired, seen: Observed): void {
  const found = deepest(desired, seen);
  if (found === undefined) return;
  const { key, depth, most } = found;
  throw new SnapmergeError(
    'precondition',
    `Cannot show '${key}': ${depth} devices would lie on top of each other, and more than ${most} could bring the kernel down`,
  );
}
