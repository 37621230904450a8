// Short words for tests of the kernel's rules, in the spirit of the proofs: devices and stores by letters, tables in one
// call, lengths in blocks of 4 KiB.

import type { CowMode, Ref, Table, Target } from '../../src/dm/table.ts';
import { onDevice, onStore } from '../../src/dm/table.ts';
import type { DeviceKey, DevicePart, StoreName } from '../../src/vocabulary/ids.ts';
import { deviceKey, storeName, volumeId } from '../../src/vocabulary/ids.ts';
import { sectors } from '../../src/vocabulary/units.ts';
import { BLOCK_BYTES } from './rig.ts';

/** Of a device, and of a chunk, where nothing else is said. */
export const BLOCKS = 128;
export const CHUNK = 2;

const SECTORS_PER_BLOCK = BLOCK_BYTES / 512;
const LETTERS: Readonly<Record<string, string>> = { i: 'j', l: 'k', o: 'q', u: 'v' };

/** Ten characters that an id may have, from a short name. */
function idOf(name: string): string {
  const letters = Array.from(name.toLowerCase(), (letter) => LETTERS[letter] ?? letter);
  return letters.join('').padStart(10, '0');
}

export function key(name: string, part: DevicePart = 'view'): DeviceKey {
  return deviceKey(volumeId(`v-${idOf(name)}`), part);
}

export function store(name: string): StoreName {
  return storeName(`sm_${idOf(name)}`);
}

export const s = (name: string): Ref => onStore(store(name));
export const d = (name: string): Ref => onDevice(key(name));
const length = (blocks: number) => sectors(blocks * SECTORS_PER_BLOCK);

export const linear = (on: Ref, blocks = BLOCKS, offset = 0): Target => ({
  type: 'linear',
  length: length(blocks),
  on,
  offset: length(offset),
});
export const origin = (on: Ref, blocks = BLOCKS): Table => [
  { type: 'snapshot-origin', length: length(blocks), origin: on },
];
export const filler = (type: 'zero' | 'error' | 'hold', blocks: number): Target => ({ type, length: length(blocks) });

/** A cow device: so many blocks of a store, and a tail for what the store has no room for. */
export const tailed = (store: Ref, blocks: number, tail: Ref, rest: number): Table => [
  linear(store, blocks),
  linear(tail, rest),
];

interface Shape {
  readonly blocks?: number;
  readonly chunk?: number;
  readonly mode?: CowMode;
}

function composed(type: 'snapshot' | 'snapshot-merge', origin: Ref, cow: Ref, shape: Shape): Table {
  const { blocks = BLOCKS, chunk = CHUNK, mode = 'P' } = shape;
  return [{ type, length: length(blocks), origin, cow, mode, chunk: length(chunk) }];
}
export const snapshot = (on: Ref, cow: Ref, shape: Shape = {}): Table => composed('snapshot', on, cow, shape);
export const merge = (on: Ref, cow: Ref, shape: Shape = {}): Table => composed('snapshot-merge', on, cow, shape);

export function zeroes(blocks = BLOCKS): number[] {
  return Array.from<number>({ length: blocks }).fill(0);
}
