// The Lvm port over the lvm command.

import { SnapmergeError } from '../vocabulary/errors.ts';
import type { Exec } from '../system/exec.ts';
import { output } from '../system/exec.ts';
import type { StoreName } from '../vocabulary/ids.ts';
import { limited, shareNext } from '../system/single-flight.ts';
import { activation, creation, extension, reduction, removal, retagging } from './changes.ts';
import { createGroup } from './group.ts';
import { lockHolder } from './lock-holder.ts';
import type { Lvm } from './lvm.ts';
import type { ReadDisk } from './stamp.ts';
import { createStamp } from './stamp.ts';
import { hasFsOption } from './version.ts';

export interface LvmOptions {
  readonly exec: Exec;
  readonly vgName: string;
  readonly monotonicMs?: () => number;
  /** Of the machine that the commands run on. Without it nothing tells that the metadata has not changed. */
  readonly readDisk?: ReadDisk;
}

/** The port, and what the kernel's adapter and the start of the driver need besides. */
export interface LvmCommands extends Lvm {
  readonly waitsFor: () => Promise<string | undefined>;
  /** Makes stores' devices appear; already there is no error. No metadata commit. */
  readonly activate: (stores: readonly StoreName[]) => Promise<void>;
  /** Takes stores' devices away; already gone is no error. LVM refuses for those that anything uses. */
  readonly deactivate: (stores: readonly StoreName[]) => Promise<void>;
  /** The disks that every command is restricted to. */
  readonly disks: () => Promise<readonly string[]>;
}

/** The headers say no more than that nothing has changed: a disk that takes longer is asked by LVM itself. */
const STAMP_MS = 2000;

export function createLvm(options: LvmOptions): LvmCommands {
  const { exec, vgName, readDisk, monotonicMs = () => performance.now() } = options;
  const { disks, report, change } = createGroup(exec, vgName, monotonicMs);
  const stamp = readDisk === undefined ? undefined : createStamp(readDisk);
  let fsOption: boolean | undefined;

  /** From 2.03.17 on a reduction looks at the file system inside unless told not to. */
  const ignoreFs = async (): Promise<readonly string[]> => {
    fsOption ??= await hasFsOption(exec);
    return fsOption ? ['--fs', 'ignore'] : [];
  };

  // One that begins after they asked is as good for many as for one.
  const what = `Cannot flush the disks of volume group '${vgName}'`;
  const flush = shareNext(
    async () => {
      try {
        await output(exec, ['sync', ...(await disks())]);
      } catch (cause) {
        throw new SnapmergeError('internal', what, { cause });
      }
    },
    // What is written back may take a slow disk longer than any limit, and has to come to its end.
    { what, limitMs: Number.POSITIVE_INFINITY },
  );

  return {
    disks,
    report,
    waitsFor: () => lockHolder(exec, vgName),
    stamp: async () =>
      stamp === undefined
        ? undefined
        : limited(stamp(await disks()), { what: 'Cannot read metadata headers', limitMs: STAMP_MS }).catch(
            () => undefined,
          ),
    create: (store, size, layout, tags) => change(creation(vgName, { store, size, layout, tags })),
    remove: (store) => change(removal(vgName, store)),
    extend: async (store, size) => change(extension(vgName, store, size, await ignoreFs())),
    shrink: async (store, size) => change(reduction(vgName, store, size, await ignoreFs())),
    retag: async (store, add, remove) => {
      if (add.length > 0 || remove.length > 0) await change(retagging(vgName, store, add, remove));
    },
    flush,
    activate: (stores) => change(activation(vgName, stores, true)),
    deactivate: (stores) => change(activation(vgName, stores, false)),
  };
}
