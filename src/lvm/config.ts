// How every lvm command of ours is called: it sees the pool's disks and nothing else, waits for nobody, and writes
// nothing outside of the disks. Pure: argv in, argv out.

import type { Argv } from '../system/exec.ts';

/**
 * Settings that hold whatever lvm.conf of the machine says. Why each:
 * - use_devicesfile, hints, obtain_device_list_from_udev, external_device_info_source: the list of disks comes from us.
 * - scan_lvs: a volume may hold a PV of its user's; it is not ours to read. Suspended devices would hang the reader.
 * - issue_discards: removing a store must not discard what a mistake in the records might still need.
 * - udev_sync: a command that waits for udev may wait for a probe that waits for a suspended device. With udev_rules off
 *   as well LVM makes its own nodes, so that it finds them at once whether udev runs, lags or is not there.
 * - monitoring: dmeventd would act on stores behind the driver's back.
 * - use_lvmpolld, notify_dbus, event_activation: no other process takes part.
 * - backup, archive: each commit would write all metadata as text once more, on a file system that a container throws
 *   away. The metadata is on every disk of the pool already.
 * - report, report_command_log: how lists are written and which fields there are is read by report.ts.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  'devices/use_devicesfile': '0',
  'devices/hints': '"none"',
  'devices/obtain_device_list_from_udev': '0',
  'devices/external_device_info_source': '"none"',
  'devices/scan_lvs': '0',
  'devices/ignore_suspended_devices': '1',
  'devices/issue_discards': '0',
  'activation/udev_sync': '0',
  'activation/udev_rules': '0',
  'activation/verify_udev_operations': '0',
  'activation/monitoring': '0',
  'global/use_lvmpolld': '0',
  'global/notify_dbus': '0',
  'global/event_activation': '0',
  'backup/backup': '0',
  'backup/archive': '0',
  'report/compact_output': '0',
  'report/compact_output_cols': '""',
  'report/list_item_separator': '","',
  'log/report_command_log': '0',
};

/** The disks are named one by one, so nothing has to find out what else they might be. */
const KNOWN_DISKS: Readonly<Record<string, string>> = {
  'devices/multipath_component_detection': '0',
  'devices/md_component_detection': '0',
  'devices/fw_raid_component_detection': '0',
};

/** LVM's default, and the least that is worth giving. It allocates this much at each start. */
export const DEFAULT_IO_MEMORY_KIB = 8192;

export interface LvmCall {
  /** Whole device paths; LVM opens these and no others. */
  readonly disks: readonly string[];
  /** False for the look-up that finds a pool's disks among all: then parts of multipath and MD devices are told apart. */
  readonly known: boolean;
  /** Must hold one copy of the metadata text, or LVM cannot read the group. */
  readonly ioMemoryKib: number;
}

/** argv of an lvm command (`lvs`, `lvcreate`, ...) with the restriction to the disks of the call. */
export function lvmArgv(call: LvmCall, command: string, args: readonly string[]): Argv {
  const settings = { ...SETTINGS, ...(call.known ? KNOWN_DISKS : {}) };
  const config = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
  if (call.ioMemoryKib > DEFAULT_IO_MEMORY_KIB) config.push(`global/io_memory_size=${call.ioMemoryKib}`);
  return ['lvm', command, '--devices', call.disks.join(','), '--config', config.join(' '), ...args];
}
