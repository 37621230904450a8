// Steps -> the commands that a person can paste into a root shell to do the same without the driver. Devices carry the
// driver's names and UUIDs, so that a driver that starts over them takes them for its own. Lower devices are named by the
// number that the kernel gives at that moment: no link in /dev is needed, with udev or without. Pure.

import type { Step } from '../dm/step.ts';
import type { Ref, Table } from '../dm/table.ts';
import type { PoolReport } from '../lvm/lvm.ts';
import { LEG_SECTORS, targetLine } from '../dm/table.ts';
import { fail, unreachable } from '../vocabulary/errors.ts';
import type { DeviceKey, Leg, PoolName, StoreName, VgUuid } from '../vocabulary/ids.ts';
import { LEGS, deviceKey, dmName, dmUuid, isTail, isTop, legName, lockUuid, volumeId } from '../vocabulary/ids.ts';

export interface Names {
  readonly pool: PoolName;
  readonly vgName: string;
  readonly vgUuid: VgUuid;
}

/**
 * What the commands below begin with: while a driver owns the group, none of them is carried out, because it would take away
 * what that has staged, or make what it knows nothing of.
 * `$n` begins the names of this pool's devices, `$l` those that its tails are made over, `$u` and `$h` (below what is mounted) their UUIDs, `dm NAME` is the number of a device, `shown LABEL NAME`
 * says where to find it. Once LVM has committed anything since `seqno`, a store may
 * be longer than these tables know, and what lies there would be lost: `dm` then gives nothing, so that no table is taken.
 */
export function preamble({ pool, vgName, vgUuid }: Names, { seqno, physicalVolumes }: PoolReport): readonly string[] {
  const disks = physicalVolumes.filter(({ missing }) => !missing).map(({ path }) => path);
  const stale = `STOP: volume group '${vgName}' is not as it was when this was printed: print it again`;
  return [
    `owned=$(dmsetup info -c --noheadings -o open -u ${lockUuid(vgName)} 2>/dev/null || echo 0)`,
    `[ "$owned" = 0 ] || echo "STOP: a driver owns volume group '${vgName}': nothing of this is done"`,
    `dmsetup() { [ "$owned" = 0 ] && command dmsetup "$@"; }`,
    `lvchange() { [ "$owned" = 0 ] && command lvchange "$@"; }`,
    // Of all others LVM would read one that a driver left suspended, and wait for it for ever.
    `quiet='--devices ${disks.join(',')}'`,
    `seqno=$(vgs $quiet --noheadings -o vg_seqno ${vgName} | tr -d ' ')`,
    `[ "$seqno" = ${seqno} ] || echo "${stale}"`,
    `n=${before(dmName(pool, ANY), ANY)} l=${legName(pool, vgUuid, 'zero').slice(0, -'-zero'.length)} u=${before(dmUuid(vgUuid, ANY), ANY)} h=${before(dmUuid(vgUuid, HIDDEN), HIDDEN)}`,
    `dm() { [ "$seqno" = ${seqno} ] && dmsetup info -c --noheadings --separator : -o major,minor "$1"; }`,
    `shown() { echo "$1: /dev/dm-$(dmsetup info -c --noheadings -o minor "$2")"; }`,
  ];
}

/** Stands for any device where only what is before it matters. */
const ANY = deviceKey(volumeId('v-0000000000'), 'top');
const HIDDEN = deviceKey(volumeId('v-0000000000'), 'view');
const before = (text: string, key: DeviceKey): string => text.slice(0, -`-${key}`.length);

/** What tails are made over, where it is not there. */
export function legCommands(steps: readonly Step[]): readonly string[] {
  const isHeld = steps.some((step) => 'table' in step && step.table.some(({ type }) => type === 'hold'));
  if (!isHeld) return [];
  const make = (leg: Leg): string =>
    `dmsetup create $l-${leg} --uuid $h-${leg} --noudevsync --table "0 ${LEG_SECTORS} ${leg}"`;
  return [
    '# what the ends of all stores of this pool are made over',
    ...LEGS.map((leg) => `dm $l-${leg} >/dev/null 2>&1 || ${make(leg)}`),
  ];
}

/** Where the last tail may go with these steps: the kernel refuses while one is left. */
export function legRemoval(steps: readonly Step[]): readonly string[] {
  if (!steps.some((step) => step.do === 'remove' && isTail(step.device))) return [];
  const names = LEGS.map((leg) => `$l-${leg}`).join(' ');
  return ['# what the ends of stores were made over', `dmsetup remove --noudevsync ${names} 2>/dev/null`];
}

/** The name of a device in these commands. */
export const nameOf = (device: DeviceKey): string => `$n-${device}`;

const uuidOf = (device: DeviceKey): string => `${isTop(device) ? '$u' : '$h'}-${device}`;

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
        if (!isDone) lines.push(`dmsetup resume --noudevsync ${nameOf(step.device)}`);
        return;
      }
      case 'activate':
        lines.push(`lvchange $quiet -ay -K ${step.stores.map((store) => `${names.vgName}/${store}`).join(' ')}`);
        return;
      case 'deactivate':
        lines.push(`lvchange $quiet -an ${step.stores.map((store) => `${names.vgName}/${store}`).join(' ')}`);
        return;
      case 'remove':
        lines.push(`dmsetup remove --noudevsync ${nameOf(step.device)}`);
        return;
      case 'make':
        lines.push(`# ${explain(step.device)}`, createCommand(step, names));
        return;
      case 'swap':
        lines.push(`# ${explain(step.device)}`, ...loadCommands(step, names, false, false));
        lines.push(`dmsetup resume --nolockfs --noflush --noudevsync ${nameOf(step.device)}`);
        return;
      case 'clear':
      case 'suspend':
        lines.push(`dmsetup ${step.do} ${nameOf(step.device)}`);
        return;
      case 'flush':
        lines.push(`sync /dev/dm-$(dmsetup info -c --noheadings -o minor ${nameOf(step.device)})`);
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

type TableStep = Extract<Step, { readonly table: Table }>;

function loadCommands(step: TableStep, names: Names, isNew: boolean, isResumed: boolean): readonly string[] {
  if (isNew && isResumed) return [createCommand(step, names)];
  const create = `dmsetup create ${nameOf(step.device)} --uuid ${uuidOf(step.device)} --noudevsync --notable`;
  return [...(isNew ? [create] : []), `dmsetup load ${nameOf(step.device)}${tableOptions(step, names)}`];
}

/** Made with its table, live at once. */
function createCommand(step: TableStep, names: Names): string {
  return `dmsetup create ${nameOf(step.device)} --uuid ${uuidOf(step.device)} --noudevsync${tableOptions(step, names)}`;
}

function tableOptions({ table, readOnly }: TableStep, names: Names): string {
  return `${readOnly ? ' --readonly' : ''} --table "${tableArgument(table, names)}"`;
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

function deviceOf(ref: Ref, { vgName }: Names): string {
  switch (ref.on) {
    case 'device':
      return nameOf(ref.device);
    case 'store':
      return storeDevice(vgName, ref.store);
    case 'leg':
      return `$l-${ref.leg}`;
    case 'stranger':
      return fail('internal', `Cannot name device ${ref.majorMinor}: it is none of ours`);
    default:
      return unreachable(ref);
  }
}
