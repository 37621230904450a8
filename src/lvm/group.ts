// A volume group as its commands find it: on which disks it is, what its report says, and what became of a change. Whether a
// command that failed has failed is decided by the report afterwards, never by LVM's words.

import { fail } from '../vocabulary/errors.ts';
import type { Exec, ExecResult } from '../system/exec.ts';
import { failureOf } from '../system/exec.ts';
import type { VgUuid } from '../vocabulary/ids.ts';
import { formatBytes } from '../vocabulary/units.ts';
import { DEFAULT_IO_MEMORY_KIB, lvmArgv } from './config.ts';
import { findGroups, pickGroup } from './disks.ts';
import { isOpen } from './lvm.ts';
import type { PoolReport } from './lvm.ts';
import { parseReport, reportArgs } from './report.ts';

const MUCH_METADATA = 32n * 1024n * 1024n;

/** While disks stay missing, how often to look for them again. */
const LOOK_AGAIN_MS = 30_000;

export interface Change {
  /** What it does, as "Cannot ..." goes on. */
  readonly what: string;
  readonly command: string;
  /** Its arguments where so many disks of the group are there and not closed. */
  readonly argsOn: (openDisks: number) => readonly string[];
  /** What a report says of a command that failed. */
  readonly judge: (report: PoolReport) => 'done' | 'no-room' | 'failed';
}

export interface Group {
  /** The disks that every command is restricted to. */
  readonly disks: () => Promise<readonly string[]>;
  readonly report: () => Promise<PoolReport>;
  /** `exhausted` for want of room, `unavailable` while disks are missing, `internal` otherwise. */
  readonly change: (change: Change) => Promise<void>;
}

/** Does not need the group to be there yet: each call that finds no group looks for it and is `unavailable` meanwhile. */
export function createGroup(exec: Exec, vgName: string, monotonicMs: () => number): Group {
  let known: readonly string[] | undefined;
  // Of the first report: a group that is given the name later is another one.
  let served: VgUuid | undefined;
  let lookedMs = 0;
  let missing = 0;
  // Unknown before the first report, which must succeed however much there is.
  let metadataBytes = MUCH_METADATA;
  let openDisks: number | undefined;

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

  async function change({ what, command, argsOn, judge }: Change): Promise<void> {
    const before = await disks();
    let result = await lvm(command, argsOn(openDisks ?? before.length));
    if (result.code === 0) return;
    let after = await report();
    const now = await disks();
    if (now.join() !== before.join() && judge(after) === 'failed') {
      result = await lvm(command, argsOn(openDisks ?? now.length));
      if (result.code === 0) return;
      after = await report();
    }
    const failure = failureOf(result);
    if (judge(after) !== 'done') refuse({ what, after, failure, isFull: judge(after) === 'no-room' });
  }

  return { disks, report, change };
}

interface Refused {
  readonly what: string;
  readonly after: PoolReport;
  /** What LVM said. */
  readonly failure: string;
  readonly isFull: boolean;
}

function refuse({ what, after, failure, isFull }: Refused): never {
  if (isFull) {
    fail(
      'exhausted',
      `Cannot ${what}: volume group '${after.vgName}' has ${formatBytes(after.free)} free (${failure})`,
    );
  }
  if (missingIn(after) === 0) fail('internal', `Cannot ${what}: ${failure}`);
  fail(
    'unavailable',
    `Cannot ${what}: ${missingText(after)}, and LVM changes nothing without them. When they are back it goes on ` +
      `by itself within ${LOOK_AGAIN_MS / 1000} s (${failure})`,
  );
}

function missingIn(report: PoolReport): number {
  return report.physicalVolumes.filter((disk) => disk.missing).length;
}

function missingText(report: PoolReport): string {
  const { length: all } = report.physicalVolumes;
  return `${missingIn(report)} of the ${all} disks of volume group '${report.vgName}' do not answer`;
}

/** LVM needs a whole copy of the text in memory; twice what it is now leaves room for what a command adds. */
function ioMemoryKib(metadataBytes: bigint): number {
  const wanted = Number(metadataBytes / 1024n) * 2;
  return Math.max(DEFAULT_IO_MEMORY_KIB, 2 ** Math.ceil(Math.log2(Math.max(1, wanted))));
}
