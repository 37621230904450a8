// File systems on a volume's device: mounting, growing, unmounting. Every command is an argv; what a mount means is read
// from mountinfo before and after, never from a command's words.

import type { FsType } from '../csi/fstype.ts';
import { fail } from '../vocabulary/errors.ts';
import type { ActiveVolume } from '../engine/engine.ts';
import { failureOf } from '../system/exec.ts';
import type { Argv, Exec } from '../system/exec.ts';
import type { Files } from './files.ts';
import { mountAt } from './mountinfo.ts';

export interface MountOptions {
  readonly fsType: FsType;
  readonly readOnly: boolean;
  readonly flags: readonly string[];
}

export async function mountDevice(exec: Exec, device: string, path: string, options: MountOptions): Promise<void> {
  // A fork and a restored volume carry the UUID of their origin, and xfs mounts a UUID once; ext4 does not mind.
  const own = options.fsType === 'xfs' ? ['nouuid'] : [];
  const words = [options.readOnly ? 'ro' : 'rw', ...own, ...options.flags];
  const result = await exec(['mount', '-t', options.fsType, '-o', words.join(','), device, path]);
  if (result.code !== 0)
    fail('internal', `Cannot mount ${device} (${options.fsType}) at ${path}: ${failureOf(result)}`);
}

/** The bit of e2fsck's code for errors that it left. Lower ones say that some were mended, higher ones that it could not look. */
const E2FSCK_LEFT = 4;

/**
 * What `fsck -p` does at a boot, and the kubelet for its own volumes: replays the journal, mends what needs no decision,
 * and takes the note of an error away, with which ext4 would not grow. xfs does all that when it is mounted.
 */
export async function mend(exec: Exec, fsType: FsType, device: string): Promise<void> {
  if (fsType !== 'ext4') return;
  const result = await exec(['e2fsck', '-p', device]);
  // Where it could not look, because of a feature that it does not know or a mount in another namespace, the kernel decides.
  if (((result.code ?? 0) & E2FSCK_LEFT) === 0) return;
  fail(
    'precondition',
    `Cannot mount ${device}: its ext4 has errors that need a decision. Restore a snapshot, or mend it by hand ` +
      `(docs/recovery.md, A file system with errors): ${failureOf(result)} ${result.stdout.trim()}`,
  );
}

/** Mount flags that belong to one mount, not to the file system: a bind mount has its own. */
const PER_MOUNT = new Set(['nosuid', 'nodev', 'noexec', 'noatime', 'nodiratime', 'relatime', 'strictatime']);

export async function bindMount(
  exec: Exec,
  source: string,
  target: string,
  readOnly: boolean,
  flags: readonly string[],
): Promise<void> {
  const own = flags.flatMap((flag) => flag.split(',')).filter((flag) => PER_MOUNT.has(flag));
  const result = await exec(['mount', '-o', ['bind', readOnly ? 'ro' : 'rw', ...own].join(','), source, target]);
  if (result.code !== 0) fail('internal', `Cannot publish ${source} at ${target}: ${failureOf(result)}`);
}

const MAX_STACKED = 16;

/** Takes away every mount at `path` that `isOurs`; a call that was cut short may have left several. */
export async function unmountAll(
  exec: Exec,
  files: Files,
  path: string,
  isOurs: (path: string) => Promise<boolean>,
): Promise<void> {
  for (let round = 0; round < MAX_STACKED; round += 1) {
    if (mountAt(await files.mounts(), path) === undefined) return;
    if (!(await isOurs(path))) {
      fail('precondition', `Cannot unmount ${path}: something that is not this volume is mounted there`);
    }
    const result = await exec(['umount', path]);
    if (result.code !== 0 && mountAt(await files.mounts(), path) !== undefined) {
      fail('precondition', `Cannot unmount ${path}: ${failureOf(result)}`);
    }
  }
  fail('internal', `Cannot unmount ${path}: more than ${MAX_STACKED} mounts lie there`);
}

/** Makes a mounted file system as large as its device; one that fills it already stays as it is. */
export async function growMounted(exec: Exec, fsType: FsType, device: string, mountPoint: string): Promise<void> {
  const argv: Argv = fsType === 'ext4' ? ['resize2fs', device] : ['xfs_growfs', '-d', mountPoint];
  const result = await exec(argv);
  if (result.code !== 0) fail('internal', `Cannot grow the ${fsType} at ${mountPoint}: ${failureOf(result)}`);
}

/** Of a pool that is away: its driver finds no staged volume there when it is back, and takes away what lies below. */
export async function removeTop(exec: Exec, files: Files, { path, majorMinor }: ActiveVolume): Promise<void> {
  const device = await files.mapped(majorMinor);
  if (device === undefined) return;
  // By its UUID: a number may be another's a moment later.
  const argv: Argv = ['dmsetup', 'remove', '--noudevsync', '--uuid', device.uuid];
  const result = await exec(argv);
  if (result.code !== 0) fail('precondition', `Cannot take ${path} away: ${failureOf(result)}`);
}
