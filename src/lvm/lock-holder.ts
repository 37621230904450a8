// Who keeps LVM's commands waiting: each takes a lock of its volume group, a file on which the kernel tells who has it. A
// prompt that somebody left open holds it for as long as he likes.

import type { Argv, Exec } from '../system/exec.ts';
import { processNamed } from '../system/holders.ts';

/** Where LVM keeps its locks unless its configuration says otherwise. */
const LOCKS = '/run/lock/lvm';
const LIMIT_MS = 5000;

/** In words; undefined where nobody has it, or nobody whom this process can see. Takes no lock and reads no disk. */
export async function lockHolder(exec: Exec, vgName: string): Promise<string | undefined> {
  const signal = AbortSignal.timeout(LIMIT_MS);
  const textOf = async (argv: Argv): Promise<string> => {
    const result = await exec(argv, { signal }).catch(() => undefined);
    return result?.code === 0 ? result.stdout : '';
  };
  const inode = parseInode(await textOf(['stat', '--format', '%Hd %Ld %i', `${LOCKS}/V_${vgName}`]));
  const pid = inode === undefined ? undefined : holderIn(await textOf(['cat', '/proc/locks']), inode);
  if (pid === undefined) return undefined;
  return `LVM's lock of volume group '${vgName}' is held by ${await processNamed(pid, textOf)}`;
}

/** As /proc/locks names a file: `00:1a:1234`, the device in hexadecimal and the inode in decimal. */
function parseInode(text: string): string | undefined {
  const [, major, minor, inode] = /^(\d+) (\d+) (\d+)\n/.exec(text) ?? [];
  if (inode === undefined) return undefined;
  const hex = (number: string | undefined): string => Number(number).toString(16).padStart(2, '0');
  return `${hex(major)}:${hex(minor)}:${inode}`;
}

/** `2: FLOCK  ADVISORY  WRITE 812 00:1a:1234 0 EOF`; whoever waits for it has an arrow before FLOCK. */
function holderIn(locks: string, inode: string): string | undefined {
  for (const line of locks.split('\n')) {
    const [, type, , , pid, file] = line.split(/\s+/);
    if (type === 'FLOCK' && file === inode && pid !== undefined && /^[1-9]\d*$/.test(pid)) return pid;
  }
  return undefined;
}
