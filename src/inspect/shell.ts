// Steps -> the commands that a person can paste into a root shell to do the same without the driver. Devices carry the
// driver's names and UUIDs, so that a driver that starts over them takes them for its own. Lower devices are named by the
// number that the kernel gives at that moment: no link in /dev is needed, with udev or without. Pure.

import type { Step } from '../dm/step.ts';
import type { Ref, Table } from '../dm/table.ts';
import { targetLine } from '../dm/table.ts';
import { fail, unreachable } from '../errors.ts';
import type { DeviceKey, PoolName, StoreName, VgUuid } from '../ids.ts';
import { dmName, dmUuid } from '../ids.ts';

export interface Names {
  readonly pool: PoolName;
  readonly vgName: string;
  readonly vgUuid: VgUuid;
}

/** What the commands below begin with: `dm NAME` is the number of a device, `at LABEL NAME` says where to find it. */
export const PREAMBLE: readonly string[] = [
  `dm() { dmsetup info -c --noheadings --separator : -o major,minor "$1"; }`,
  `at() { echo "$1: /dev/dm-$(dmsetup info -c --noheadings -o minor "$2")"; }`,
];

/** The name of a store's own device. */
export function storeDevice(vgName: string, store: StoreName): string {
  return `${vgName.replaceAll('-', '--')}-${store}`;
}

/**
 * Commands in the order of the steps, each with what `explain` says of its device above it. A device that is made,
 * loaded and resumed becomes one `dmsetup create`.
 */
export function commandsOf(
  steps: readonly Step[],
  names: Names,
  explain: (device: DeviceKey) => string,
): readonly string[] {
  const unmade = new Set<DeviceKey>();
  const lines: string[] = [];
  steps.forEach((step, index) => {
    const next = steps[index + 1];
    switch (step.do) {
      case 'create':
        unmade.add(step.device);
        return;
      case 'load': {
        lines.push(`# ${explain(step.device)}`);
        const isResumed = next?.do === 'resume' && next.device === step.device;
        lines.push(...loadCommands(step, names, unmade.has(step.device), isResumed));
        unmade.delete(step.device);
        return;
      }
      case 'resume': {
        const before = steps[index - 1];
        const isDone = before?.do === 'load' && before.device === step.device && made(lines);
        if (!isDone) lines.push(`dmsetup resume --noudevsync ${dmName(names.pool, step.device)}`);
        return;
      }
      case 'activate':
        lines.push(`lvchange -ay -K ${step.stores.map((store) => `${names.vgName}/${store}`).join(' ')}`);
        return;
      case 'deactivate':
        lines.push(`lvchange -an ${step.stores.map((store) => `${names.vgName}/${store}`).join(' ')}`);
        return;
      case 'remove':
        lines.push(`dmsetup remove --noudevsync ${dmName(names.pool, step.device)}`);
        return;
      case 'clear':
      case 'suspend':
        lines.push(`dmsetup ${step.do} ${dmName(names.pool, step.device)}`);
        return;
      case 'flush':
        lines.push(`sync /dev/dm-$(dmsetup info -c --noheadings -o minor ${dmName(names.pool, step.device)})`);
        return;
      default:
        unreachable(step);
    }
  });
  return lines;
}

/** Whether the last command made a device at once, with its table live. */
function made(lines: readonly string[]): boolean {
  return lines.at(-1)?.includes('dmsetup create') === true && !lines.at(-1)?.includes('--notable');
}

function loadCommands(
  step: Extract<Step, { readonly do: 'load' }>,
  names: Names,
  isNew: boolean,
  isResumed: boolean,
): readonly string[] {
  const name = dmName(names.pool, step.device);
  const create = `dmsetup create ${name} --uuid ${dmUuid(names.vgUuid, step.device)} --noudevsync`;
  const table = `${step.readOnly ? ' --readonly' : ''} --table "${tableArgument(step.table, names)}"`;
  if (isNew && isResumed) return [create + table];
  return [...(isNew ? [`${create} --notable`] : []), `dmsetup load ${name}${table}`];
}

/** Between double quotes: names have no character that means anything there. */
function tableArgument(table: Table, names: Names): string {
  let start = 0n;
  const lines: string[] = [];
  for (const target of table) {
    lines.push(targetLine(target, start, (ref) => `$(dm ${deviceOf(ref, names)})`));
    start += target.length;
  }
  return lines.join('\n');
}

function deviceOf(ref: Ref, { pool, vgName }: Names): string {
  switch (ref.on) {
    case 'device':
      return dmName(pool, ref.device);
    case 'store':
      return storeDevice(vgName, ref.store);
    case 'stranger':
      return fail('internal', `Cannot name device ${ref.majorMinor}: it is none of ours`);
    default:
      return unreachable(ref);
  }
}
