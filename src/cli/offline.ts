// Pools as they are on the disks and in the kernel, read without the driver: LVM takes no lock and changes nothing, and
// dmsetup only lists. For a node where the driver is gone, and for what must not depend on it.

import type { PoolConfig } from '../config/config.ts';
import { createKernel } from '../dm/dmsetup.ts';
import type { Observed } from '../dm/kernel.ts';
import { fail, messageOf } from '../vocabulary/errors.ts';
import type { Exec } from '../system/exec.ts';
import { failureOf } from '../system/exec.ts';
import { isPoolName } from '../vocabulary/ids.ts';
import type { PoolName } from '../vocabulary/ids.ts';
import { unattended, viewPool } from '../inspect/pool.ts';
import type { PoolView } from '../inspect/view.ts';
import { DEFAULT_IO_MEMORY_KIB, lvmArgv } from '../lvm/config.ts';
import { findGroups, pickGroup } from '../lvm/disks.ts';
import type { FoundGroups, GroupOnDisks } from '../lvm/disks.ts';
import type { PoolReport } from '../lvm/lvm.ts';
import { parseReport, reportArgs } from '../lvm/report.ts';

export interface OfflinePool {
  readonly name: PoolName;
  readonly report: PoolReport;
  /** Undefined when device-mapper does not answer. */
  readonly observed: Observed | undefined;
}

/** A pool that could not be read, and why. */
export interface UnreadPool {
  readonly name: PoolName;
  readonly problem: string;
}

export interface OfflineNode {
  readonly pools: readonly OfflinePool[];
  readonly unread: readonly UnreadPool[];
}

/** Metadata that somebody else is writing at that moment does not fit its checksum: it is read again. */
const READ_ATTEMPTS = 3;

/** The configured pools, or, where none is configured, every volume group that holds stores of ours, under its own name. */
export async function readOffline(exec: Exec, configured: readonly PoolConfig[]): Promise<OfflineNode> {
  const found = await findGroups(exec);
  // One that nobody may use is nobody's pool unless somebody says so.
  const inUse = found.groups.filter(({ barred }) => barred === undefined);
  const wanted = configured.length > 0 ? configured : inUse.flatMap(namedAfterGroup);
  const pools: OfflinePool[] = [];
  const unread: UnreadPool[] = [];
  for (const pool of wanted) {
    try {
      const report = await readReport(exec, groupOf(found, pool));
      if (configured.length > 0 || report.stores.length > 0) pools.push(await withDevices(exec, pool.name, report));
    } catch (error) {
      unread.push({ name: pool.name, problem: messageOf(error) });
    }
  }
  return { pools, unread };
}

function namedAfterGroup({ vgName }: GroupOnDisks): readonly PoolConfig[] {
  // `./dev up` and `pool create` call the group of pool NAME either NAME or snapmerge-NAME.
  const name = vgName.replace(/^snapmerge-/, '').toLowerCase();
  return isPoolName(name) ? [{ name, volumeGroup: vgName }] : [];
}

function groupOf(found: FoundGroups, { volumeGroup, loopFile }: PoolConfig): GroupOnDisks {
  const loop = loopFile === undefined ? '' : `; attach its file first: losetup --find --direct-io=on ${loopFile}`;
  return pickGroup(found, volumeGroup, { hint: loop });
}

async function readReport(exec: Exec, { vgName, disks }: GroupOnDisks): Promise<PoolReport> {
  const call = { disks, known: true, ioMemoryKib: 8 * DEFAULT_IO_MEMORY_KIB };
  let last = 'the group is not on its disks';
  for (let attempt = 0; attempt < READ_ATTEMPTS; attempt += 1) {
    const result = await exec(lvmArgv(call, 'fullreport', ['--readonly', ...reportArgs(vgName)]));
    const report = result.code === 0 ? parseReport(result.stdout, vgName) : undefined;
    if (report !== undefined) return report;
    if (result.code !== 0) last = failureOf(result);
  }
  return fail('unavailable', `Cannot read volume group '${vgName}': ${last}`);
}

async function withDevices(exec: Exec, name: PoolName, report: PoolReport): Promise<OfflinePool> {
  const refuse = async (): Promise<never> => fail('internal', 'Cannot change anything here: this only reads');
  const kernel = createKernel({
    exec,
    lvm: { activate: refuse, deactivate: refuse },
    pool: name,
    vgName: report.vgName,
    vgUuid: report.vgUuid,
    udev: true,
  });
  try {
    return { name, report, observed: await kernel.observe() };
  } catch {
    return { name, report, observed: undefined };
  }
}

/** The same to look at as what a driver would give. */
export function viewOffline({ pools, unread }: OfflineNode): readonly PoolView[] {
  return [
    ...pools.map(({ name, report, observed }): PoolView => {
      if (observed === undefined) {
        return { name, problem: 'Device-mapper does not answer (dmsetup info -c says why)', contents: undefined };
      }
      return { name, problem: '', contents: viewPool({ report, observed, known: unattended(observed) }) };
    }),
    ...unread.map(({ name, problem }) => ({ name, problem, contents: undefined })),
  ];
}
