// The Lvm port over the lvm command. Each change is one command and, where LVM can, one metadata commit. Whether a
// command that failed has failed is decided by the report afterwards, never by LVM's words.

import { SnapmergeError, fail } from '../vocabulary/errors.ts';
import type { Exec, ExecResult } from '../system/exec.ts';
import { failureOf, output } from '../system/exec.ts';
import type { StoreName, VgUuid } from '../vocabulary/ids.ts';
import { limited, shareNext } from '../system/single-flight.ts';
import { bytes, formatBytes } from '../vocabulary/units.ts';
import { DEFAULT_IO_MEMORY_KIB, lvmArgv } from './config.ts';
import { findGroups, pickGroup } from './disks.ts';
import { lockHolder } from './lock-holder.ts';
import { isOpen } from './lvm.ts';
import type { Layout, Lvm, PoolReport, StoreReport } from './lvm.ts';
import { parseReport, reportArgs } from './report.ts';
import { fits } from './room.ts';
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

/**
 * What is in a new store is the caller's affair: it cleans all of it before it decides that the store counts. Until the
 * driver has composed it, a mount would write past its snapshots, so nobody else activates it: with the skip flag
 * neither an autoactivation nor a plain `vgchange -ay` does.
 */
const NEW_STORE = [
  '--wipesignatures',
  'n',
  '--zero',
  'n',
  '--activate',
  'y',
  '--setactivationskip',
  'y',
  '--ignoreactivationskip',
] as const;

/** A group whose policy is `contiguous` or `cling` has free extents that it would not give to a store which grows piece by piece. */
const WHEREVER = ['--alloc', 'normal'] as const;

const MUCH_METADATA = 32n * 1024n * 1024n;

/** The headers say no more than that nothing has changed: a disk that takes longer is asked by LVM itself. */
const STAMP_MS = 2000;
/** While disks stay missing, how often to look for them again. */
const LOOK_AGAIN_MS = 30_000;

/** Does not need the group to be there yet: each call that finds no group looks for it and is `unavailable` meanwhile. */
export function createLvm(options: LvmOptions): LvmCommands {
  const { exec, vgName } = options;
  const monotonicMs = options.monotonicMs ?? (() => performance.now());
  const stamp = options.readDisk === undefined ? undefined : createStamp(options.readDisk);
  let known: readonly string[] | undefined;
  // Of the first report: a group that is given the name later is another one.
  let served: VgUuid | undefined;
  let lookedMs = 0;
  let missing = 0;
  // Unknown before the first report, which must succeed however much there is.
  let metadataBytes = MUCH_METADATA;
  // Disks that are not missing or closed; before the first report all.
  let openDisks: number | undefined;
  let fsOption: boolean | undefined;

  async function disks(): Promise<readonly string[]> {
    known ??= await look();
    return known;
  }

  async function look(): Promise<readonly string[]> {
    lookedMs = monotonicMs();
    return pickGroup(await findGroups(exec), vgName, { vgUuid: served }).disks;
  }

  /** Looks for the disks again; true when they are others than before. */
  async function looksDifferent(): Promise<boolean> {
    const before = known?.join();
    known = await look();
    return known.join() !== before;
  }

  async function lvm(command: string, args: readonly string[]): Promise<ExecResult> {
    const call = { disks: await disks(), known: true, ioMemoryKib: ioMemoryKib(metadataBytes) };
    return await exec(lvmArgv(call, command, args));
  }

  async function reportOnce(): Promise<PoolReport | string> {
    const result = await lvm('fullreport', reportArgs(vgName));
    if (result.code !== 0) return failureOf(result);
    return parseReport(result.stdout, vgName) ?? 'the group is not on its disks';
  }

  async function report(): Promise<PoolReport> {
    const first = await reportOnce();
    // A disk that was added elsewhere is a missing one to us until we look again; one that stays missing has failed.
    const again =
      typeof first === 'string' ||
      (missingIn(first) > 0 && (missingIn(first) !== missing || monotonicMs() - lookedMs >= LOOK_AGAIN_MS));
    const last = again && (await looksDifferent()) ? await reportOnce() : first;
    if (typeof last === 'string') return fail('unavailable', `Cannot read volume group '${vgName}': ${last}`);
    served ??= last.vgUuid;
    if (last.vgUuid !== served)
      return fail('unavailable', `Cannot use volume group '${vgName}': another group has that name now`);
    missing = missingIn(last);
    // A disk that was taken out of the group is nobody's to open any more, and one that is lost does not answer.
    known = last.physicalVolumes.filter((disk) => !disk.missing).map(({ path }) => path);
    metadataBytes = last.metadataSize / 2n - last.metadataFree;
    openDisks = last.physicalVolumes.filter(isOpen).length;
    return last;
  }

  /** Runs a changing command. One that fails is judged by the state it leaves: done, no room, or a fault. */
  async function change(
    what: string,
    command: string,
    argsOn: (disks: readonly string[]) => readonly string[],
    judge: (report: PoolReport) => 'done' | 'no-room' | 'failed',
  ): Promise<void> {
    const before = await disks();
    let result = await lvm(command, argsOn(before));
    if (result.code === 0) return;
    let after = await report();
    const now = await disks();
    if (now.join() !== before.join() && judge(after) === 'failed') {
      result = await lvm(command, argsOn(now));
      if (result.code === 0) return;
      after = await report();
    }
    switch (judge(after)) {
      case 'done':
        return;
      case 'no-room':
        return fail(
          'exhausted',
          `Cannot ${what}: volume group '${vgName}' has ${formatBytes(after.free)} free (${failureOf(result)})`,
        );
      case 'failed':
        if (missingIn(after) > 0) {
          return fail(
            'unavailable',
            `Cannot ${what}: ${missingText(after)}, and LVM changes nothing without them. When they are back it goes on ` +
              `by itself within ${LOOK_AGAIN_MS / 1000} s (${failureOf(result)})`,
          );
        }
        return fail('internal', `Cannot ${what}: ${failureOf(result)}`);
    }
  }

  const path = (store: StoreName): string => `${vgName}/${store}`;
  const find = (report: PoolReport, store: StoreName): StoreReport | undefined =>
    report.stores.find((other) => other.store === store);

  /** From 2.03.17 on a reduction looks at the file system inside unless told not to. */
  async function ignoreFs(): Promise<readonly string[]> {
    fsOption ??= await hasFsOption(exec);
    return fsOption ? ['--fs', 'ignore'] : [];
  }

  async function activation(stores: readonly StoreName[], wanted: boolean): Promise<void> {
    const verb = wanted ? 'activate' : 'deactivate';
    const args = wanted ? ['--activate', 'y', '--ignoreactivationskip'] : ['--activate', 'n'];
    await change(
      `${verb} store '${stores.join("', '")}'`,
      'lvchange',
      () => [...args, ...stores.map(path)],
      (report) => {
        const isDone = (store: StoreName): boolean => (find(report, store)?.active ?? false) === wanted;
        return stores.every(isDone) ? 'done' : 'failed';
      },
    );
  }

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

    create: async (store, size, layout, tags) => {
      const args = (on: readonly string[]): readonly string[] => [
        '--yes',
        '--name',
        store,
        '--size',
        `${size}b`,
        ...layoutArgs(layout, openDisks ?? on.length),
        ...WHEREVER,
        ...NEW_STORE,
        ...tags.flatMap((tag) => ['--addtag', tag]),
        vgName,
      ];
      await change(`create store '${store}' of ${formatBytes(size)}`, 'lvcreate', args, (report) => {
        if (find(report, store) !== undefined) return 'failed';
        return fits(report, layout, size) ? 'failed' : 'no-room';
      });
    },

    remove: async (store) => {
      await change(
        `remove store '${store}'`,
        'lvremove',
        () => ['--yes', path(store)],
        (report) => (find(report, store) === undefined ? 'done' : 'failed'),
      );
    },

    extend: async (store, size) => {
      const args = ['--yes', '--size', `${size}b`, ...WHEREVER, ...(await ignoreFs()), path(store)];
      await change(
        `extend store '${store}' to ${formatBytes(size)}`,
        'lvextend',
        () => args,
        (report) => {
          const found = find(report, store);
          if (found === undefined) return 'failed';
          if (found.size >= size) return 'done';
          return fits(report, found.layout, bytes(size - found.size)) ? 'failed' : 'no-room';
        },
      );
    },

    shrink: async (store, size) => {
      const args = ['--yes', '--force', '--size', `${size}b`, ...(await ignoreFs()), path(store)];
      await change(
        `shrink store '${store}' to ${formatBytes(size)}`,
        'lvreduce',
        () => args,
        (report) => {
          const found = find(report, store);
          // LVM rounds up to whole extents, so a little more than asked is as small as it gets.
          return found !== undefined && found.size < size + report.extent ? 'done' : 'failed';
        },
      );
    },

    retag: async (store, add, remove) => {
      if (add.length === 0 && remove.length === 0) return;
      const args = [...add.flatMap((tag) => ['--addtag', tag]), ...remove.flatMap((tag) => ['--deltag', tag])];
      await change(
        `change tags of store '${store}'`,
        'lvchange',
        () => [...args, path(store)],
        (report) => {
          const tags = find(report, store)?.tags;
          if (tags === undefined) return 'failed';
          return add.every((tag) => tags.includes(tag)) && !remove.some((tag) => tags.includes(tag))
            ? 'done'
            : 'failed';
        },
      );
    },

    flush,

    activate: async (stores) => await activation(stores, true),
    deactivate: async (stores) => await activation(stores, false),
  };
}

function missingIn(report: PoolReport): number {
  return report.physicalVolumes.filter((disk) => disk.missing).length;
}

function missingText(report: PoolReport): string {
  const { length: all } = report.physicalVolumes;
  return `${missingIn(report)} of the ${all} disks of volume group '${report.vgName}' do not answer`;
}

const LINEAR = ['--type', 'linear'] as const;
const NO_AUTO = ['--setautoactivation', 'n'] as const;

/**
 * LVM refuses --setautoactivation for a raid (2.03.31), so there the skip flag alone has to do.
 *
 * A raid1 is made without its initial copy: what it would copy is undefined content, and every part of a store that is
 * ever read was written before, to both halves.
 */
function layoutArgs(layout: Layout, disks: number): readonly string[] {
  switch (layout) {
    case 'linear':
      return [...LINEAR, ...NO_AUTO];
    case 'striped':
      return [...(disks < 2 ? LINEAR : ['--type', 'striped', '--stripes', `${disks}`]), ...NO_AUTO];
    case 'raid1':
      return ['--type', 'raid1', '--mirrors', '1', '--nosync'];
  }
}

/** LVM needs a whole copy of the text in memory; twice what it is now leaves room for what a command adds. */
function ioMemoryKib(metadataBytes: bigint): number {
  const wanted = Number(metadataBytes / 1024n) * 2;
  return Math.max(DEFAULT_IO_MEMORY_KIB, 2 ** Math.ceil(Math.log2(Math.max(1, wanted))));
}
