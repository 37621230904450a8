// Device-mapper tables as values: what a device shows, with symbolic references instead of major:minor. A table that was
// wanted and a table that the kernel reports compare with `sameTable`. Pure.

import type { DeviceKey, Leg, StoreName } from '../vocabulary/ids.ts';
import { LEGS, storeOf } from '../vocabulary/ids.ts';
import type { Sectors } from '../vocabulary/units.ts';
import { sectors } from '../vocabulary/units.ts';

/** What a target lies on: a store (logical volume) of the pool, a device of ours in the same pool, a leg of its tails, or none. */
export type Ref =
  | { readonly on: 'store'; readonly store: StoreName }
  | { readonly on: 'device'; readonly device: DeviceKey }
  | { readonly on: 'leg'; readonly leg: Leg }
  | { readonly on: 'stranger'; readonly majorMinor: string };

/** P persistent, N transient, PO persistent where a write to the snapshot that finds no room fails without invalidating it. */
export type CowMode = 'P' | 'N' | 'PO';

export type Target =
  | { readonly type: 'linear'; readonly length: Sectors; readonly on: Ref; readonly offset: Sectors }
  | {
      readonly type: 'snapshot' | 'snapshot-merge';
      readonly length: Sectors;
      readonly origin: Ref;
      readonly cow: Ref;
      readonly mode: CowMode;
      readonly chunk: Sectors;
    }
  | { readonly type: 'snapshot-origin'; readonly length: Sectors; readonly origin: Ref }
  /**
   * `hold`: reads give zeroes, and writes wait until another table takes its place; a mirror of a leg that takes them and one
   * that fails, which keeps what has failed for whoever mends it (`handle_errors`).
   */
  | { readonly type: 'zero' | 'error' | 'hold'; readonly length: Sectors }
  | { readonly type: 'other'; readonly length: Sectors; readonly name: string; readonly params: string };

/** Targets one after the other; each begins where the one before it ends, the first at sector 0. */
export type Table = readonly Target[];

export const onStore = (store: StoreName): Ref => ({ on: 'store', store });
export const onDevice = (device: DeviceKey): Ref => ({ on: 'device', device });

/** Every reference of a table, in order; a snapshot gives its origin and then its store. */
export function refsOf(table: Table): readonly Ref[] {
  return table.flatMap((target): readonly Ref[] => {
    switch (target.type) {
      case 'linear':
        return [target.on];
      case 'snapshot':
      case 'snapshot-merge':
        return [target.origin, target.cow];
      case 'snapshot-origin':
        return [target.origin];
      case 'zero':
      case 'error':
      case 'hold':
      case 'other':
        return [];
    }
  });
}

/** Stores whose exceptions a table holds in memory, directly or through a cow: at most one may, except in a handover. */
export function heldStores(table: Table | undefined): readonly StoreName[] {
  return (table ?? []).flatMap((target) => {
    if (!('cow' in target)) return [];
    if (target.cow.on === 'store') return [target.cow.store];
    return target.cow.on === 'device' ? (storeOf(target.cow.device) ?? []) : [];
  });
}

/** All that is read or written there fails. */
export function errors(length: Sectors): Table {
  return [{ type: 'error', length }];
}

/** Whether that is what a table does. */
export function showsErrors(table: Table | undefined): boolean {
  return table !== undefined && table.every(({ type }) => type === 'error');
}

export function lengthOf(table: Table): Sectors {
  return sectors(table.reduce((sum, { length }) => sum + length, 0n));
}

export function refText(ref: Ref): string {
  switch (ref.on) {
    case 'store':
      return `store:${ref.store}`;
    case 'device':
      return `device:${ref.device}`;
    case 'leg':
      return `leg:${ref.leg}`;
    case 'stranger':
      return ref.majorMinor;
  }
}

/** One line a target, as dmsetup would print it, with symbolic names: for logs, stories, golden tests and comparison. */
export function tableText(table: Table): string {
  let start = 0n;
  const lines: string[] = [];
  for (const target of table) {
    lines.push(targetLine(target, start, refText));
    start += target.length;
  }
  return lines.join('\n');
}

/** One table line in the kernel's own form; `name` turns a reference into what the kernel is to read. */
export function targetLine(target: Target, start: bigint, name: (ref: Ref) => string): string {
  const head = `${start} ${target.length}`;
  switch (target.type) {
    case 'linear':
      return `${head} linear ${name(target.on)} ${target.offset}`;
    case 'snapshot':
    case 'snapshot-merge':
      return `${head} ${target.type} ${name(target.origin)} ${name(target.cow)} ${target.mode} ${target.chunk}`;
    case 'snapshot-origin':
      return `${head} snapshot-origin ${name(target.origin)}`;
    case 'zero':
    case 'error':
      return `${head} ${target.type}`;
    case 'hold': {
      const legs = LEGS.map((leg) => `${name({ on: 'leg', leg })} 0`).join(' ');
      return `${head} mirror core 2 ${regionOf(target.length)} nosync ${LEGS.length} ${legs} 1 handle_errors`;
    }
    case 'other':
      return `${head} ${target.name}${target.params === '' ? '' : ` ${target.params}`}`;
  }
}

/** How long both legs are, longer than any tail: 2 PiB. */
export const LEG_SECTORS: Sectors = sectors(2n ** 42n);

/** Sectors: the mirror splits what reaches over the end of a region, so it has as few as it may. */
const LARGEST_REGION = 2n ** 30n;

/** The largest power of two that is no longer than the target. */
export function regionOf(length: Sectors): Sectors {
  const whole = 2n ** BigInt(length.toString(2).length - 1);
  return sectors(whole < LARGEST_REGION ? whole : LARGEST_REGION);
}

export function sameTable(a: Table, b: Table): boolean {
  return tableText(a) === tableText(b);
}
