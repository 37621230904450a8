// udev on a node: finding out whether it runs, and telling it to keep its hands off our devices. dmsetup cannot set the
// flag that stops the probing by others, so a rule of ours does. Waits for udev never.

import type { Exec } from '../system/exec.ts';
import { output } from '../system/exec.ts';
import type { VgUuid } from '../vocabulary/ids.ts';
import { DM_UUID_PREFIX, HIDDEN_UUID_PREFIX } from '../vocabulary/ids.ts';

/** /run is empty after a boot, and so is the list of our devices: the driver writes the rule before it makes the first. */
export const UDEV_RULES_DIR = '/run/udev/rules.d';

/**
 * The same text under two names, because udev reads all files in the order of their names and systems differ. It has to
 * come after the rules that set the flags and before the ones that obey them: 10-dm, 11-dm-lvm and 13-dm-disk upstream,
 * 55-dm, 56-lvm and 60-persistent-storage-dm on Debian (where 55-dm takes back what an earlier file sets).
 */
export const UDEV_RULES_FILES: readonly string[] = ['12-snapmerge.rules', '57-snapmerge.rules'];

/** Rules for the devices of these volume groups. They match what the kernel says of a device, not what other rules left. */
export function udevRules(groups: readonly VgUuid[]): string {
  const stores = groups.map(
    (group) => `ATTR{dm/uuid}=="LVM-${group}*", ATTR{dm/name}=="*-sm_??????????*", GOTO="snapmerge_hide"`,
  );
  return `${[
    '# Written by snapmerge. Its volumes, and the devices below them, are not for others to probe, link, watch or hold',
    '# open: a snapshot has the UUID of the file system it shows, and a probe in the wrong moment waits for ever.',
    'ACTION=="remove", GOTO="snapmerge_end"',
    'SUBSYSTEM!="block", GOTO="snapmerge_end"',
    'KERNEL!="dm-[0-9]*", GOTO="snapmerge_end"',
    `ATTR{dm/uuid}=="${DM_UUID_PREFIX}*", GOTO="snapmerge_hide"`,
    `ATTR{dm/uuid}=="${HIDDEN_UUID_PREFIX}*", GOTO="snapmerge_hide"`,
    ...stores,
    'GOTO="snapmerge_end"',
    'LABEL="snapmerge_hide"',
    'ENV{DM_UDEV_DISABLE_DISK_RULES_FLAG}="1"',
    'ENV{DM_UDEV_DISABLE_OTHER_RULES_FLAG}="1"',
    'ENV{SYSTEMD_READY}="0"',
    'OPTIONS:="nowatch"',
    'LABEL="snapmerge_end"',
  ].join('\n')}\n`;
}

/** Whether a udev daemon runs on this node. Without one nobody probes, and nobody makes links. */
export async function udevRuns(exec: Exec): Promise<boolean> {
  return (await exec(['test', '-S', '/run/udev/control'])).code === 0;
}

/** Puts the rules in place and has udevd read them; resolves with whether anything had to be changed. */
export async function installUdevRules(exec: Exec, groups: readonly VgUuid[]): Promise<boolean> {
  const text = udevRules(groups);
  let changed = false;
  for (const file of UDEV_RULES_FILES) {
    const path = `${UDEV_RULES_DIR}/${file}`;
    const present = await exec(['cat', path]);
    if (present.code === 0 && present.stdout === text) continue;
    // udevd may read the folder at any time: half a file must never have a name that it takes for rules.
    await output(exec, ['mkdir', '-p', UDEV_RULES_DIR]);
    await output(exec, ['dd', `of=${path}.new`, 'status=none'], { stdin: text });
    await output(exec, ['mv', `${path}.new`, path]);
    changed = true;
  }
  // udevd would find out by itself, but only up to three seconds later.
  if (changed) await output(exec, ['udevadm', 'control', '--reload']);
  return changed;
}
