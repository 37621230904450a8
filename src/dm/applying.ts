// One step as one command of dmsetup, or of LVM for a store's own device.

import { SnapmergeError, fail, messageOf } from '../vocabulary/errors.ts';
import type { DeviceKey, Leg, PoolName, StoreName, VgUuid } from '../vocabulary/ids.ts';
import { dmName, dmUuid, isTail, isTop } from '../vocabulary/ids.ts';
import type { Argv, Exec } from '../system/exec.ts';
import { output } from '../system/exec.ts';
import type { Call } from './kernel.ts';
import { HeldOpen, calls } from './kernel.ts';
import type { KnownDevices } from './known-devices.ts';
import type { Legs } from './legs.ts';
import type { DeviceIndex } from './observed.ts';
import { deviceNode } from './observed.ts';
import { parseCreated } from './parse.ts';
import { deactivate, remove } from './removing.ts';
import type { Step } from './step.ts';
import { stepText } from './step.ts';
import type { Ref, Table } from './table.ts';
import { refText, targetLine } from './table.ts';

export interface Applying {
  readonly exec: Exec;
  readonly pool: PoolName;
  readonly vgUuid: VgUuid;
  readonly lvm: {
    readonly activate: (stores: readonly StoreName[]) => Promise<void>;
    readonly deactivate: (stores: readonly StoreName[]) => Promise<void>;
  };
  readonly known: KnownDevices;
  readonly legs: Legs;
  /** What each command is told about udev. */
  readonly quiet: readonly string[];
  readonly sleep: (ms: number) => Promise<void>;
}

export async function applySteps(to: Applying, steps: readonly Step[]): Promise<void> {
  try {
    for (const call of calls(steps)) await act(to, call);
  } catch (error) {
    const kind = error instanceof SnapmergeError ? error.kind : 'internal';
    const message = `Cannot apply '${steps.map(stepText).join(', ')}': ${messageOf(error)}`;
    if (error instanceof HeldOpen) throw new HeldOpen(error.held, message, { cause: error });
    throw new SnapmergeError(kind, message, { cause: error });
  }
}

async function act(to: Applying, call: Call): Promise<void> {
  const [first] = call;
  if (first.do !== 'suspend' && first.do !== 'resume') return await actAlone(to, first);
  const devices = call.flatMap((step) => ('device' in step ? [step.device] : []));
  return await (first.do === 'suspend'
    ? suspend(to, devices)
    : simple(to, ['dmsetup', 'resume', ...to.quiet], devices));
}

async function actAlone(to: Applying, step: Exclude<Step, { readonly do: 'suspend' | 'resume' }>): Promise<void> {
  const { exec, lvm, known, legs, quiet } = to;
  switch (step.do) {
    case 'activate':
      return await lvm.activate(step.stores);
    case 'deactivate':
      return await deactivate(to, step.stores);
    case 'create':
      return await create(to, step.device, ['--notable', ...quiet]);
    case 'make':
      return await withLines(to, step.table, async (lines) =>
        create(to, step.device, [...(step.readOnly ? ['--readonly'] : []), ...quiet, '--table', lines]),
      );
    case 'load':
      return await load(to, step);
    case 'swap':
      await load(to, step);
      // Nothing is mounted on it. What a tail holds goes on in the new table, where without `--noflush` it would fail.
      return await simple(to, ['dmsetup', 'resume', '--nolockfs', '--noflush', ...quiet], [step.device]);
    case 'clear':
      return await simple(to, ['dmsetup', 'clear'], [step.device]);
    case 'flush': {
      const { majorMinor } = await known.row(step.device);
      await output(exec, ['sync', deviceNode(majorMinor)]);
      return;
    }
    case 'remove':
      await remove(to, step.device);
      if (isTail(step.device) && ![...known.index().devices.keys()].some(isTail)) await legs.remove();
      return;
  }
}

/** The default: freezes a mounted file system and waits for all I/O under way. */
async function suspend(to: Applying, devices: readonly DeviceKey[]): Promise<void> {
  try {
    await simple(to, ['dmsetup', 'suspend'], devices);
  } catch (error) {
    if (!devices.some(isTop)) throw error;
    const hint =
      'where its file system has stopped itself after an error, it cannot be frozen before it is unmounted and mounted anew';
    const kind = error instanceof SnapmergeError ? error.kind : 'internal';
    throw new SnapmergeError(kind, `${messageOf(error)}; ${hint}`, { cause: error });
  }
}

async function simple({ exec, known }: Applying, command: Argv, devices: readonly DeviceKey[]): Promise<void> {
  const names: string[] = [];
  for (const device of devices) names.push((await known.row(device)).name);
  await output(exec, [...command, ...names]);
}

/**
 * What it prints has the number, so that a table over the device needs no listing. Never `--verbose`: dmsetup takes the
 * next argument for its value, and so makes read-only devices writable and waits for udev, for ever in a container.
 */
async function create({ exec, pool, vgUuid, known }: Applying, key: DeviceKey, args: readonly string[]): Promise<void> {
  const [name, uuid] = [dmName(pool, key), dmUuid(vgUuid, key)];
  const majorMinor = parseCreated(await output(exec, ['dmsetup', 'create', name, '--uuid', uuid, '-v', ...args]));
  if (majorMinor === undefined) return;
  known.created(key, {
    name,
    uuid,
    majorMinor,
    openCount: 0,
    live: false,
    inactive: false,
    suspended: false,
    readOnly: args.includes('--readonly'),
  });
}

async function load(to: Applying, step: Step & { readonly do: 'load' | 'swap' }): Promise<void> {
  const { name } = await to.known.row(step.device);
  await withLines(to, step.table, async (lines) =>
    output(to.exec, ['dmsetup', 'load', name, ...(step.readOnly ? ['--readonly'] : []), '--table', lines]),
  );
}

/** What `work` does with a table's lines; what a tail is made over is there meanwhile. */
async function withLines<T>({ known, legs }: Applying, table: Table, work: (lines: string) => Promise<T>): Promise<T> {
  if (!table.some(({ type }) => type === 'hold')) return work(await tableLines(known, table, new Map()));
  return legs.withNumbers(async (numbers) => work(await tableLines(known, table, numbers)));
}

async function tableLines(known: KnownDevices, table: Table, legNumbers: ReadonlyMap<Leg, string>): Promise<string> {
  try {
    return linesOf(table, numbersIn(known.index(), legNumbers));
  } catch {
    return linesOf(table, numbersIn(await known.list(), legNumbers));
  }
}

type Numbers = (ref: Ref) => string | undefined;

function numbersIn({ devices, stores }: DeviceIndex, legNumbers: ReadonlyMap<Leg, string>): Numbers {
  return (ref) => {
    if (ref.on === 'device') return devices.get(ref.device)?.majorMinor;
    if (ref.on === 'leg') return legNumbers.get(ref.leg);
    return ref.on === 'store' ? stores.get(ref.store)?.majorMinor : undefined;
  };
}

/** Throws `internal` for what is not there. */
function linesOf(table: Table, numberOf: Numbers): string {
  let start = 0n;
  const lines: string[] = [];
  for (const target of table) {
    if (target.type === 'other') fail('internal', `it has a '${target.name}' target, which is none of ours`);
    lines.push(
      targetLine(
        target,
        start,
        (ref) => numberOf(ref) ?? fail('internal', `${refText(ref)} is no active device of ours`),
      ),
    );
    start += target.length;
  }
  return lines.join('\n');
}
