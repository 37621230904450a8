// Behind `snapmerge pool create`: a volume group on disks that hold nothing, or on a file. Every disk is looked at from
// all sides first, all reasons against are told at once, and nothing is written unless there is none.

import { fail } from '../../vocabulary/errors.ts';
import type { Exec } from '../../system/exec.ts';
import { failureOf, output } from '../../system/exec.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { bytes, formatBytes, gib, mib } from '../../vocabulary/units.ts';
import { DEFAULT_IO_MEMORY_KIB, lvmArgv } from '../config.ts';
import type { Disk } from './disk-check.ts';
import { inspectDisks } from './disk-check.ts';
import { findGroups } from '../disks.ts';

export interface CreatePool {
  readonly exec: Exec;
  readonly vgName: string;
  /** Paths of block devices; links are followed. At least one. */
  readonly disks: readonly string[];
}

export interface CreateLoopPool {
  readonly exec: Exec;
  readonly vgName: string;
  /** Absolute path of a file that does not exist yet. */
  readonly file: string;
  readonly size: Bytes;
}

export interface CreatedPool {
  readonly vgName: string;
  readonly disks: readonly string[];
  /** Of each disk, taken by LVM's metadata. */
  readonly metadataSize: Bytes;
}

/** With dashes doubled and a store's name behind it, the name of a device must stay below the kernel's 127 characters. */
const GROUP_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,46}$/;
const SMALLEST_DISK = mib(256);

/**
 * Makes a volume group on empty disks. Errors: `invalid` for a bad name, `exists` for a group of that name anywhere on
 * this node, `precondition` with every reason why a disk cannot be used; then nothing was changed.
 */
export async function createPool({ exec, vgName, disks }: CreatePool): Promise<CreatedPool> {
  checkName(vgName);
  if (disks.length === 0) fail('invalid', `Cannot make volume group '${vgName}': no disk is given`);
  const { groups } = await findGroups(exec);
  if (groups.some((group) => group.vgName === vgName)) {
    fail('exists', `Cannot make volume group '${vgName}': there is one of that name on this node`);
  }
  const { usable, problems } = await inspectDisks(exec, disks);
  const small = usable
    .filter(({ size }) => size < SMALLEST_DISK)
    .map(({ path, size }) => `'${path}' has ${formatBytes(size)}, want at least ${formatBytes(SMALLEST_DISK)}`);
  const reasons = [...problems, ...small];
  if (reasons.length > 0) {
    fail('precondition', `Cannot make volume group '${vgName}': ${reasons.join('; ')}. Nothing was changed`);
  }
  return await makeGroup(exec, vgName, usable);
}

/** Makes a file, attaches it as a loop device and makes the group on that: for trying it out. `exists` when the file is there. */
export async function createLoopPool({ exec, vgName, file, size }: CreateLoopPool): Promise<CreatedPool> {
  checkName(vgName);
  if (!file.startsWith('/')) fail('invalid', `Cannot use loop file '${file}': want an absolute path`);
  if (size < SMALLEST_DISK) {
    fail('invalid', `Cannot use loop file '${file}': ${formatBytes(size)} is less than ${formatBytes(SMALLEST_DISK)}`);
  }
  if ((await exec(['test', '-e', file])).code === 0) {
    fail('exists', `Cannot make loop file '${file}': it is there already, and may hold something`);
  }
  await output(exec, ['truncate', '--size', `${size}`, file]);
  let device: string | undefined;
  try {
    device = await attachLoop(exec, file);
    return await createPool({ exec, vgName, disks: [device] });
  } catch (error) {
    // The file is ours and new, so that a second try finds the same emptiness.
    if (device !== undefined) await exec(['losetup', '--detach', device]);
    await exec(['rm', '--force', file]);
    throw error;
  }
}

/**
 * The pool of a loop file, made where it is not there yet. Calling again is enough after any failure: a file without a
 * group is one that we did not finish with if it is empty, and is refused with what was found in it if it is not.
 */
export async function ensureLoopPool(request: CreateLoopPool): Promise<void> {
  const { exec, vgName, file } = request;
  if ((await exec(['test', '-e', file])).code !== 0) {
    await createLoopPool(request);
    return;
  }
  const device = await attachLoop(exec, file);
  const { groups } = await findGroups(exec);
  if (groups.some((group) => group.vgName === vgName && group.disks.includes(device))) return;
  await createPool({ exec, vgName, disks: [device] });
}

/**
 * The loop device of a file, attached if it is not: the pool of a loop file needs it again after each boot. `unavailable`
 * when there is no such file.
 */
export async function attachLoop(exec: Exec, file: string): Promise<string> {
  if ((await exec(['test', '-f', file])).code !== 0) {
    fail('unavailable', `Cannot attach loop file '${file}': there is no such file; 'snapmerge pool create' makes one`);
  }
  const attached = (await output(exec, ['losetup', '--noheadings', '--output', 'NAME', '--associated', file])).trim();
  if (attached !== '') return attached.split('\n')[0] ?? attached;
  const device = (await output(exec, ['losetup', '--find', '--show', '--nooverlap', file])).trim();
  // Past the page cache of the file, so that nothing is kept twice; not every file system can do that.
  await exec(['losetup', '--direct-io=on', device]);
  return device;
}

function checkName(vgName: string): void {
  if (GROUP_NAME.test(vgName) && vgName !== '.' && vgName !== '..') return;
  fail(
    'invalid',
    `Cannot use '${vgName}' as the name of a volume group: 1 to 47 letters, digits and '_.+-', not beginning with '.+-'`,
  );
}

async function makeGroup(exec: Exec, vgName: string, disks: readonly Disk[]): Promise<CreatedPool> {
  const paths = disks.map(({ path }) => path);
  const metadataSize = metadataSizeFor(disks);
  const call = { disks: paths, known: true, ioMemoryKib: DEFAULT_IO_MEMORY_KIB };
  // No --yes: should LVM see what we did not, its question finds nobody to answer it, and it refuses.
  const args = ['--metadatasize', `${metadataSize}b`, vgName, ...paths];
  const result = await exec(lvmArgv(call, 'vgcreate', args));
  if (result.code !== 0) fail('internal', `Cannot make volume group '${vgName}': ${failureOf(result)}`);
  await output(exec, ['sync', ...paths]);
  return { vgName, disks: paths, metadataSize };
}

/**
 * How much of each disk is set aside for LVM's metadata, which cannot grow later. LVM keeps the text of the last commit
 * beside the new one, so half of it counts. A store takes about 1.3 KB of text with a thousand characters of tags
 * (measured), and 200 bytes more for each piece it lies in: a cow store that was extended forty times some 9 KB. 128 MiB
 * so hold 7,000 stores of the latter kind and 50,000 of the former; by then it is the time of a commit, which grows
 * with the text, that sets the limit. Small disks give a 64th, enough for hundreds.
 */
export function metadataSizeFor(disks: readonly Pick<Disk, 'size'>[]): Bytes {
  const smallest = disks.reduce((least, { size }) => (size < least ? size : least), disks[0]?.size ?? bytes(0));
  if (smallest >= gib(32)) return mib(128);
  if (smallest >= gib(4)) return mib(64);
  return mib(smallest / 64n / mib(1) + 1n);
}
