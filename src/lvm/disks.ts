// Which disks a volume group lies on: asked of LVM once, over every block device of the node that may be a disk. LVM's
// and our own devices are left out, and what somebody has put over ours, so that what a tenant wrote into a volume is
// never read; and so are suspended ones, which would not answer.

import { z } from 'zod';
import { fail, messageOf } from '../vocabulary/errors.ts';
import type { Argv, Exec } from '../system/exec.ts';
import { failureOf, output } from '../system/exec.ts';
import { DM_UUID_PREFIX, HIDDEN_UUID_PREFIX, lockUuid } from '../vocabulary/ids.ts';
import type { VgUuid } from '../vocabulary/ids.ts';
import { LIST_DEVICES, listing } from '../dm/listing.ts';
import { deviceNode } from '../dm/observed.ts';
import { parseDevices } from '../dm/parse.ts';
import type { DeviceRow } from '../dm/parse.ts';
import { DEFAULT_IO_MEMORY_KIB, lvmArgv } from './config.ts';
import { exportedReason } from './lvm.ts';

/** Never a disk of a pool: optical drives, floppies, RAM disks and swap in RAM. */
const NO_DISKS = /^(sr|fd|ram|zram)\d/;

export interface GroupOnDisks {
  readonly vgName: string;
  /** As LVM prints it, with dashes. */
  readonly vgUuid: string;
  readonly disks: readonly string[];
  /** Why LVM lets nobody here use it, and what helps: set aside by `vgexport`, or another system's. */
  readonly barred: string | undefined;
}

/** What the kernel says of the devices of a node, as text. */
export interface DeviceTexts {
  /** /proc/partitions. */
  readonly partitions: string;
  /** A line for each device under another: `md0/slaves/dm-3`. */
  readonly slaves?: string;
  /** A line for each loop device: its number, that of the file system its file is in, and the file's inode there. */
  readonly loops?: string;
  /** A line for each of our devices: the number of the file system its node is in, the inode there, its path. */
  readonly nodes?: string;
}

/** Paths of the block devices that may be disks of a pool. */
export function candidateDisks(texts: DeviceTexts, devices: readonly DeviceRow[]): readonly string[] {
  const ours = ourContents(texts, devices);
  const hidden = new Set(
    devices
      .filter(({ uuid, suspended }) => suspended || uuid.startsWith('LVM-') || uuid.startsWith(DM_UUID_PREFIX))
      .map(({ majorMinor }) => majorMinor),
  );
  return blocksOf(texts).flatMap(({ name, majorMinor, isEmpty }) => {
    if (isEmpty || NO_DISKS.test(name)) return [];
    return hidden.has(majorMinor) || ours.has(name) ? [] : [`/dev/${name.replaceAll('!', '/')}`];
  });
}

function blocksOf({ partitions }: DeviceTexts) {
  return partitions
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+)\s+(\d+)\s+(\S+)$/.exec(line))
    .flatMap((match) => {
      const [, major, minor, blocks, name] = match ?? [];
      if (name === undefined) return [];
      return [{ name, majorMinor: `${major}:${minor}`, isEmpty: blocks === '0' }];
    });
}

/** What shows a volume or a part of one; the owner's claim shows nothing. */
function isOurs({ uuid }: DeviceRow): boolean {
  return (uuid.startsWith(DM_UUID_PREFIX) && !uuid.startsWith(lockUuid(''))) || uuid.startsWith(HIDDEN_UUID_PREFIX);
}

/**
 * Names of devices that show what is in a volume of ours: over it directly or over each other, or a file in a file system of
 * it. Not of LVM's own devices: under a pool may lie a loop file of a root file system that is a logical volume.
 */
function ourContents(texts: DeviceTexts, devices: readonly DeviceRow[]): ReadonlySet<string> {
  const blocks = blocksOf(texts);
  const nameOf = new Map(blocks.map(({ name, majorMinor }) => [majorMinor, name]));
  const found = new Set(devices.filter(isOurs).map(({ majorMinor }) => nameOf.get(majorMinor) ?? ''));
  const over = [...slavesOf(texts), ...loopsOf(texts, nameOf), ...partsOf(blocks.map(({ name }) => name))];
  for (let size = -1; size !== found.size;) {
    size = found.size;
    for (const { upper, lower } of over) if (found.has(lower)) found.add(upper);
  }
  return found;
}

interface Over {
  readonly upper: string;
  readonly lower: string;
}

function slavesOf({ slaves = '' }: DeviceTexts): readonly Over[] {
  return slaves.split('\n').flatMap((line) => {
    const [upper, , lower] = line.split('/');
    return upper === undefined || lower === undefined ? [] : [{ upper, lower }];
  });
}

/**
 * Over a file a loop device is over the file system that holds it. Over a device it is told by the node's inode: the kubelet
 * puts one over each raw volume that is published, by the path that it is mounted at.
 */
function loopsOf({ loops = '', nodes = '' }: DeviceTexts, nameOf: ReadonlyMap<string, string>): readonly Over[] {
  const nodeOf = new Map(
    nodes.split('\n').flatMap((line) => {
      const [, inode, name] = /^(\S+ \d+) \/dev\/(\S+)$/.exec(line) ?? [];
      return inode === undefined || name === undefined ? [] : [[inode, name] as const];
    }),
  );
  return loops.split('\n').flatMap((line) => {
    const [, number = '', under = '', inode = ''] = /^\s*(\d+:\d+)\s+(\d+:\d+)\s+(\d+)\s*$/.exec(line) ?? [];
    const upper = nameOf.get(number);
    const lower = nodeOf.get(`${under} ${inode}`) ?? nameOf.get(under);
    return upper === undefined || lower === undefined ? [] : [{ upper, lower }];
  });
}

function partsOf(names: readonly string[]): readonly Over[] {
  const all = new Set(names);
  return names.flatMap((upper) => {
    const lower = /^(.*\d)p\d+$/.exec(upper)?.[1] ?? '';
    return all.has(lower) ? [{ upper, lower }] : [];
  });
}

/** From the kernel and from what nodes and links are called: nothing that reads a device. */
async function readTexts(exec: Exec, devices: readonly DeviceRow[]): Promise<DeviceTexts> {
  const partitions = await output(exec, ['cat', '/proc/partitions']);
  const ours = devices.filter(isOurs).map(({ majorMinor }) => deviceNode(majorMinor));
  if (ours.length === 0) return { partitions };
  // Devices come and go meanwhile, and then a command ends with another code.
  const tree: Argv = ['find', '/sys/devices/virtual/block', '-mindepth', '3', '-maxdepth', '3'];
  const { stdout: slaves } = await exec([...tree, '-path', '*/slaves/*', '-printf', '%P\\n']);
  const { stdout: nodes } = await exec(['stat', '--format', '%Hd:%Ld %i %n', ...ours]);
  const { stdout: padded } = await exec(['losetup', '--list', '--noheadings', '--raw', '--output', LOOP_FIELDS]);
  // Before 2.40 util-linux pads numbers also where it is told not to.
  const loops = padded.replaceAll('\\x20', '');
  return { partitions, slaves, nodes, loops };
}

const LOOP_FIELDS = 'MAJ:MIN,BACK-MAJ:MIN,BACK-INO';

const REPORT = z.object({
  report: z.array(
    z.object({
      pv: z.array(
        z.object({
          pv_name: z.string(),
          vg_name: z.string(),
          vg_uuid: z.string(),
          vg_exported: z.string(),
          vg_systemid: z.string(),
          pv_in_use: z.string(),
        }),
      ),
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
  const disks = candidateDisks(await readTexts(exec, devices), devices);
  if (disks.length === 0) return { groups: [], unreadable: [] };
  const call = { disks, known: false, ioMemoryKib: 8 * DEFAULT_IO_MEMORY_KIB };
  // --readonly takes no locks: nothing of other groups waits for this, nor this for them. -qq: see reportArgs.
  const args = ['-qq', '--readonly', '--foreign', '--reportformat', 'json', '-o', FIELDS];
  const result = await exec(lvmArgv(call, 'pvs', args));
  if (result.code !== 0) fail('unavailable', `Cannot list physical volumes: ${failureOf(result)}`);
  const rows = readRows(result.stdout);
  const isAnySystems = rows.every(({ vg_systemid: system }) => system === '');
  const own = isAnySystems ? '' : await ownSystem(exec);
  return groupsOf(withoutNamesakes(rows, own), own);
}

/** Another system's group is told of only where none of ours has its name: LVM itself passes it over. */
export function withoutNamesakes<R extends Pick<Row, 'vg_name' | 'vg_systemid'>>(
  rows: readonly R[],
  own: string,
): readonly R[] {
  const isForeign = ({ vg_systemid: system }: R) => system !== '' && system !== own;
  const ours = new Set(rows.filter((row) => !isForeign(row)).map((row) => row.vg_name));
  return rows.filter((row) => !isForeign(row) || !ours.has(row.vg_name));
}

const FIELDS = 'pv_name,vg_name,vg_uuid,vg_exported,vg_systemid,pv_in_use';

/** LVM's system id of this process; empty where it has none, as in the driver's image. */
async function ownSystem(exec: Exec): Promise<string> {
  return /^\s*system ID: *(\S*)/m.exec(await output(exec, ['lvm', 'systemid']))?.[1] ?? '';
}

function readRows(text: string): readonly Row[] {
  try {
    return REPORT.parse(JSON.parse(text)).report.flatMap(({ pv }) => pv);
  } catch (cause) {
    return fail('internal', `Cannot read LVM's list of physical volumes: ${messageOf(cause)}`, cause);
  }
}

function groupsOf(rows: readonly Row[], own: string): FoundGroups {
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
      barred: members.map((row) => whyBarred(row, own)).find((why) => why !== undefined),
    })),
    unreadable: pathsOf(rows.filter((row) => row.vg_uuid === '' && row.pv_in_use !== '')),
  };
}

function whyBarred(
  { vg_name: name, vg_exported: exported, vg_systemid: system }: Row,
  own: string,
): string | undefined {
  if (exported !== '' && exported !== '0') return exportedReason(name);
  if (system === '' || system === own) return undefined;
  return (
    `it belongs to the system '${system}' (LVM's system id), and here that is ${own === '' ? 'none' : `'${own}'`}; ` +
    `where it belongs, with nothing of it active, this gives it free: vgchange --systemid "" ${name}`
  );
}

/** What LVM calls [unknown] is a disk that is not there. */
function pathsOf(rows: readonly Row[]): readonly string[] {
  return rows.map((row) => row.pv_name).filter((path) => path.startsWith('/'));
}

/**
 * The group of that name, and of that UUID where it is known: never another that was given its name. `unavailable` when it is
 * not there or cannot be used, with `hint` behind the reason; `contradiction` when two have its name.
 */
export function pickGroup(
  { groups, unreadable }: FoundGroups,
  vgName: string,
  { hint = '', vgUuid }: { readonly hint?: string; readonly vgUuid?: VgUuid | undefined } = {},
): GroupOnDisks {
  const no = (why: string): never => fail('unavailable', `Cannot use volume group '${vgName}': ${why}${hint}`);
  const named = groups.filter((found) => found.vgName === vgName);
  const known = groups.find((found) => found.vgUuid.replaceAll('-', '') === vgUuid);
  if (known !== undefined && known.vgName !== vgName)
    no(`it is called '${known.vgName}' now; give it its name back: vgrename ${known.vgName} ${vgName}`);
  if (named.length > 1 && known === undefined)
    fail('contradiction', `Cannot use volume group '${vgName}': ${named.length} have that name`);
  const group = vgUuid === undefined ? named[0] : known;
  if (group?.barred !== undefined) no(group.barred);
  if (group !== undefined) return group;
  if (named.length > 0) no('another group has that name now, and the one that was served is on no disk of this node');
  const damaged =
    unreadable.length === 0
      ? ''
      : `; of the group that ${unreadable.join(', ')} belong${unreadable.length === 1 ? 's' : ''} to LVM cannot read ` +
        `the records (docs/recovery.md has the way back)`;
  return fail('unavailable', `Cannot find volume group '${vgName}': no disk of this node has it${damaged}${hint}`);
}
