// The devices between a snapshot and its store: `cow`, which is the store and a tail behind it, and the tail, which holds a
// write for which the store has no room, so that it waits instead of failing. Pure.
//
//     cow  = linear(store) ++ linear(tail)      as long as the store can ever need to be
//     tail = hold                               gives zeroes to who reads it: nobody waits but who writes
//
// An extension never touches the cow: the tail's own table becomes linear to the new part of the store and to a new tail,
// and what waited in it goes on. So tails nest, one an extension, until the cow is laid flat again.

import type { DeviceKey, StoreName } from '../vocabulary/ids.ts';
import { isTail, storeDevice, storeOf } from '../vocabulary/ids.ts';
import type { Bytes, Sectors } from '../vocabulary/units.ts';
import { minBytes, sectors, toSectors } from '../vocabulary/units.ts';
import type { Desired, DesiredDevice } from './device.ts';
import type { Observed } from '../dm/kernel.ts';
import type { Table, Target } from '../dm/table.ts';
import { lengthOf, onDevice, onStore } from '../dm/table.ts';

/** The cow of a store of `size` bytes that can need `most`, and its tail if it can need more than it has. */
export function cowDevices(store: StoreName, size: Bytes, most: Bytes): readonly DesiredDevice[] {
  return flat(store, toSectors(minBytes(size, most)), toSectors(most), 0);
}

function flat(store: StoreName, size: Sectors, most: Sectors, tail: number): readonly DesiredDevice[] {
  const key = storeDevice(store, `tail${tail}`);
  const body: Target = { type: 'linear', length: size, on: onStore(store), offset: sectors(0) };
  const rest = sectors(most - size);
  const cow = { key: storeDevice(store, 'cow'), readOnly: false };
  if (rest === 0n) return [{ ...cow, table: [body] }];
  const end: Target = { type: 'linear', length: rest, on: onDevice(key), offset: sectors(0) };
  return [lastTail(key, rest), { ...cow, table: [body, end] }];
}

function lastTail(key: DeviceKey, length: Sectors): DesiredDevice {
  return { key, table: [{ type: 'hold', length }], readOnly: false };
}

/** What a live cow comes down to. */
interface Resolved {
  /** Sectors of the store that it reaches. */
  readonly size: Sectors;
  /** The last tail, with its length; undefined: the store is all of it. */
  readonly end: { readonly key: DeviceKey; readonly length: Sectors } | undefined;
  /** Tails on the way that are linear by now. */
  readonly passed: readonly DeviceKey[];
}

/** Undefined when it is not what an extension, or this file, makes. */
function resolve(store: StoreName, observed: Observed): Resolved | undefined {
  let table: Table | undefined = observed.devices.get(storeDevice(store, 'cow'))?.live;
  let size = 0n;
  const passed: DeviceKey[] = [];
  for (;;) {
    const [body, next, ...more] = table ?? [];
    if (body?.type !== 'linear' || body.on.on !== 'store' || body.on.store !== store) return undefined;
    if (body.offset !== size || more.length > 0) return undefined;
    size += body.length;
    if (next === undefined) return { size: sectors(size), end: undefined, passed };
    if (next.type !== 'linear' || next.offset !== 0n || next.on.on !== 'device') return undefined;
    const { device: key } = next.on;
    if (!isTail(key) || storeOf(key) !== store || passed.includes(key)) return undefined;
    table = observed.devices.get(key)?.live;
    const [only, ...others] = table ?? [];
    if (isLast(only) && others.length === 0) {
      return only.length >= next.length
        ? { size: sectors(size), end: { key, length: next.length }, passed }
        : undefined;
    }
    passed.push(key);
  }
}

/** What it was in earlier versions counts too: errors, standing still. */
function isLast(target: Target | undefined): target is Target & { readonly type: 'hold' | 'error' } {
  return target?.type === 'hold' || target?.type === 'error';
}

/**
 * The desired devices with cows as they are where they are right, extended where their store has grown, and laid flat where
 * that is asked for. A cow whose length is to change, or that is none of ours, is wanted anew.
 */
export function fitTails(desired: Desired, observed: Observed, flatten: ReadonlySet<StoreName>): Desired {
  const devices: DesiredDevice[] = [];
  const cows = new Set(desired.devices.flatMap(({ key }) => (isTail(key) ? [] : (storeOf(key) ?? []))));
  for (const device of desired.devices) {
    const store = storeOf(device.key);
    if (store === undefined || !cows.has(store)) devices.push(device);
    else if (!isTail(device.key)) devices.push(...fitCow(store, device, observed, flatten.has(store)));
  }
  return { ...desired, devices };
}

function fitCow(store: StoreName, want: DesiredDevice, observed: Observed, flatten: boolean): readonly DesiredDevice[] {
  const have = observed.devices.get(want.key);
  const most = lengthOf(want.table);
  const size = want.table[0]?.length ?? most;
  const free = freeTail(store, observed);
  if (have?.live === undefined)
    return flat(store, size, most, unusedTail(store, observed, sectors(most - size)) ?? free);
  const found = resolve(store, observed);
  const total = (found?.size ?? 0n) + (found?.end?.length ?? 0n);
  if (found === undefined || total !== most) return flat(store, size, most, free);
  if (found.size < size && found.end !== undefined) return extended(store, have.live, found, size, observed, free);
  const { end, passed } = found;
  if (flatten && passed.length > 0) {
    const body: Target = { type: 'linear', length: found.size, on: onStore(store), offset: sectors(0) };
    if (end === undefined) return [{ ...want, table: [body] }];
    const rest: Target = { type: 'linear', length: end.length, on: onDevice(end.key), offset: sectors(0) };
    return [lastAsFound(end.key, observed), { ...want, table: [body, rest] }];
  }
  // A report may be older than the last extension: what is there is not taken back.
  return [
    ...(end === undefined ? [] : [lastAsFound(end.key, observed)]),
    ...passed.toReversed().map((key) => asFound(key, observed)),
    { ...want, table: have.live },
  ];
}

function asFound(key: DeviceKey, observed: Observed): DesiredDevice {
  return { key, table: observed.devices.get(key)?.live ?? [], readOnly: false };
}

/** It may be longer than the cow shows of it. */
function lastAsFound(key: DeviceKey, observed: Observed): DesiredDevice {
  return lastTail(key, lengthOf(observed.devices.get(key)?.live ?? []));
}

function extended(
  store: StoreName,
  cow: Table,
  { size: reached, end, passed }: Resolved,
  size: Sectors,
  observed: Observed,
  free: number,
): readonly DesiredDevice[] {
  if (end === undefined) return [];
  const more = sectors(size - reached);
  const rest = sectors(end.length - more);
  const key = storeDevice(store, `tail${free}`);
  const body: Target = { type: 'linear', length: more, on: onStore(store), offset: reached };
  const next: Target = { type: 'linear', length: rest, on: onDevice(key), offset: sectors(0) };
  const isAll = rest === 0n;
  return [
    ...(isAll ? [] : [lastTail(key, rest)]),
    { key: end.key, table: isAll ? [body] : [body, next], readOnly: false },
    ...passed.toReversed().map((one) => asFound(one, observed)),
    { key: storeDevice(store, 'cow'), table: cow, readOnly: false },
  ];
}

/** One that a driver made before it died, for a cow that it did not get to. */
function unusedTail(store: StoreName, { devices }: Observed, length: Sectors): number | undefined {
  for (let at = 0; at < devices.size; at += 1) {
    const [only, ...more] = devices.get(storeDevice(store, `tail${at}`))?.live ?? [];
    if (isLast(only) && only.length === length && more.length === 0) return at;
  }
  return undefined;
}

/** The lowest number that no tail of the store has. */
function freeTail(store: StoreName, { devices }: Observed): number {
  let free = 0;
  while (devices.has(storeDevice(store, `tail${free}`))) free += 1;
  return free;
}

/** The stores whose cows have been extended since they were laid flat. */
export function nested(observed: Observed): readonly StoreName[] {
  return [...observed.devices.keys()].flatMap((key) => {
    const store = isTail(key) ? undefined : storeOf(key);
    return store !== undefined && (resolve(store, observed)?.passed.length ?? 0) > 0 ? [store] : [];
  });
}

/** Sectors of its store that a live cow reaches, which a writer may have used up; undefined for a store without a tail. */
export function reach(store: StoreName, observed: Observed): Sectors | undefined {
  const found = resolve(store, observed);
  return found?.end === undefined ? undefined : found.size;
}
