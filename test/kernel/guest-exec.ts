// The Exec port into a guest, and its disks: the adapters' logic runs here, their commands there.

import type { Exec } from '../../src/system/exec.ts';
import { output } from '../../src/system/exec.ts';
import type { ReadDisk } from '../../src/lvm/stamp.ts';
import type { Guest } from '../../vm/guest.ts';

/** What the driver's commands have there: its own lvm.conf, as in its image. */
export const DRIVER_ENV = { LC_ALL: 'C', LVM_SYSTEM_DIR: '/etc/snapmerge/lvm' } as const;

export function guestExec(guest: Guest): Exec {
  return async (argv, options = {}) => {
    const { stdin, signal } = options;
    const result = await guest.exec(argv, {
      env: DRIVER_ENV,
      ...(stdin === undefined ? {} : { stdin }),
      ...(signal === undefined ? {} : { signal }),
    });
    return {
      code: result.code ?? undefined,
      stdout: Buffer.from(result.stdout).toString(),
      stderr: Buffer.from(result.stderr).toString(),
    };
  };
}

/** Parts of a guest's disks, through its page cache like the driver's own reads. */
export function guestDisk(exec: Exec): ReadDisk {
  return async (path, offset, length) => {
    const line = `dd if=${path} iflag=skip_bytes,count_bytes skip=${offset} count=${length} status=none | base64 -w 0`;
    return Buffer.from(await output(exec, ['sh', '-c', line]), 'base64');
  };
}
