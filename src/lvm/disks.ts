// Which disks a volume group lies on: asked of LVM once, over every block device of the node that may be a disk. LVM's
// and our own devices are left out, so that a volume is never read, and so are suspended ones, which would not answer.

import { z } from 'zod';
import { fail } from '../errors.ts';
import type { Exec } from '../exec.ts';
import { failureOf, output } from '../exec.ts';
import { DM_UUID_PREFIX } from '../ids.ts';
import { LIST_DEVICES, listing } from '../dm/listing.ts';
import { parseDevices } from '../dm/parse.ts';
import type { DeviceRow } from '../dm/parse.ts';
import { DEFAULT_IO_MEMORY_KIB, lvmArgv } from './config.ts';

/** Never a disk of a pool: optical drives, floppies, RAM disks and swap in RAM. */
const NO_DISKS = /^(sr|fd|ram|zram)\d/;

export interface GroupOnDisks {
  readonly vgName: string;
  /** As LVM prints it, with dashes. */
  readonly vgUuid: string;
  readonly disks: readonly string[];
}

/** Paths of the block devices in the text of /proc/partitions that may be disks of a pool. */
export function candidateDisks(partitions: string, devices: readonly DeviceRow[]): readonly string[] {
  const hidden = new Set(
    devices
      .filter(({ uuid, suspended }) => suspended || uuid.startsWith('LVM-') || uuid.startsWith(DM_UUID_PREFIX))
      .map(({ majorMinor }) => majorMinor),
  );
  return partitions
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)$/.exec(line))
    .flatMap((match) => {
      const [, major, minor, blocks, name] = match ?? [];
      if (name === undefined || blocks === '0' || NO_DISKS.test(name)) return [];
      return hidden.has(`${major}:${minor}`) ? [] : [`/dev/${name.replaceAll('!', '/')}`];
    });
}

const REPORT = z.object({
  report: z.array(
    z.object({
      pv: z.array(z.object({ pv_name: z.string(), vg_name: z.string(), vg_uuid: z.string(), pv_in_use: z.string() })),
    }),
  ),
});
type Row = z.infer<typeof REPORT>['report'][number]['pv'][number];

export interface FoundGroups {
  readonly groups: readonly GroupOnDisks[];
  /** Disks that say of themselves that a group uses them, while no disk has records of that group that LVM can read. */
  readonly unreadable: readonly string[];
}

/** All volume groups of the node with their disks. `unavailable` when LVM does not answer. */
export async function findGroups(exec: Exec): Promise<FoundGroups> {
  const devices = parseDevices(await listing(exec, LIST_DEVICES));
  const disks = candidateDisks(await output(exec, ['cat', '/proc/partitions']), devices);
  if (disks.length === 0) return { groups: [], unreadable: [] };
  const call = { disks, known: false, ioMemoryKib: 8 * DEFAULT_IO_MEMORY_KIB };
  // --readonly takes no locks: nothing of other groups waits for this, nor this for them.
  const args = ['--readonly', '--reportformat', 'json', '-o', 'pv_name,vg_name,vg_uuid,pv_in_use'];
  const result = await exec(lvmArgv(call, 'pvs', args));
  if (result.code !== 0) fail('unavailable', `Cannot list physical volumes: ${failureOf(result)}`);
  return groupsOf(REPORT.parse(JSON.parse(result.stdout)).report.flatMap(({ pv }) => pv));
}

function groupsOf(rows: readonly Row[]): FoundGroups {
  // A disk whose group cannot be read has a name in brackets there, and no UUID.
  const groups = Map.groupBy(
    rows.filter((row) => row.vg_uuid !== ''),
    (row) => row.vg_uuid,
  );
  return {
    groups: [...groups].map(([vgUuid, members]) => ({
      vgUuid,
      vgName: members[0]?.vg_name ?? '',
      disks: pathsOf(members),
    })),
    unreadable: pathsOf(rows.filter((row) => row.vg_uuid === '' && row.pv_in_use !== '')),
  };
}

/** What LVM calls [unknown] is a disk that is not there. */
function pathsOf(rows: readonly Row[]): readonly string[] {
  return rows.map((row) => row.pv_name).filter((path) => path.startsWith('/'));
}

/**
 * The group of that name. `unavailable` when it is not there, with `hint` behind the reason; `contradiction` when two
 * have its name.
 */
export function pickGroup({ groups, unreadable }: FoundGroups, vgName: string, hint = ''): GroupOnDisks {
  const [group, ...more] = groups.filter((found) => found.vgName === vgName);
  if (more.length > 0) fail('contradiction', `Cannot use volume group '${vgName}': ${more.length + 1} have that name`);
  if (group !== undefined) return group;
  const damaged =
    unreadable.length === 0
      ? ''
      : `; of the group that ${unreadable.join(', ')} belong${unreadable.length === 1 ? 's' : ''} to LVM cannot read ` +
        `the records (docs/recovery.md has the way back)`;
  return fail('unavailable', `Cannot find volume group '${vgName}': no disk of this node has it${damaged}${hint}`);
}
