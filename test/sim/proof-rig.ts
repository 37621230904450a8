// Short words for tests of the simulation itself, in the spirit of the proofs: stores by number, one step a line, a model
// of what each device must show.

import { expect } from 'vitest';
import type { DeviceKey, DevicePart, StoreName } from '../../src/ids.ts';
import { deviceKey, storeName, volumeId } from '../../src/ids.ts';
import type { CowMode, Ref, Table, Target } from '../../src/dm/table.ts';
import { onDevice, onStore } from '../../src/dm/table.ts';
import type { Bytes } from '../../src/units.ts';
import { kib, mib, sectors } from '../../src/units.ts';
import { refuse } from './errors.ts';
import { SECTORS_PER_BLOCK } from './machine.ts';
import { draw } from './random.ts';
import type { World, WorldOptions } from './world.ts';
import { createWorld } from './world.ts';

export const BLOCKS = 128;
export const CHUNK = 2;

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
export const filler = (type: 'zero' | 'error', blocks: number): Target => ({ type, length: length(blocks) });

export interface Shape {
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

export interface Rig {
  readonly world: World;
  /** A store: made, activated, its first chunks zeroed, flushed. */
  readonly lv: (name: string, size?: Bytes) => Promise<void>;
  readonly create: (name: string, table: Table) => Promise<void>;
  readonly load: (name: string, table: Table) => Promise<void>;
  readonly suspend: (...names: readonly string[]) => Promise<void>;
  readonly resume: (...names: readonly string[]) => Promise<void>;
  readonly remove: (...names: readonly string[]) => Promise<void>;
  /** Writes `writes` random chunks, each with a tag of its own, into the device and the model. */
  readonly fill: (name: string, model: number[], writes: number, blocksEach?: number) => void;
  /** How many blocks of the device differ from the model. */
  readonly wrong: (name: string, model: readonly number[]) => number;
  readonly check: (name: string, model: readonly number[]) => void;
  readonly status: (name: string) => Promise<string>;
}

export function createRig(options: WorldOptions = {}): Rig {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(16), mib(16)], ...options });
  const { kernel, lvm, host } = world;
  const random = { state: options.seed ?? 1 };
  let tag = 0;
  const rig: Rig = {
    world,
    lv: async (name, size = mib(1)) => {
      await lvm.create(store(name), size, 'linear', []);
      await host.zero(store(name), kib(0), size);
      await lvm.flush();
    },
    create: async (name, table) => {
      await kernel.apply({ do: 'create', device: key(name) });
      await rig.load(name, table);
      await rig.resume(name);
    },
    load: (name, table) => kernel.apply({ do: 'load', device: key(name), table, readOnly: false }),
    suspend: async (...names) => {
      for (const name of names) await kernel.apply({ do: 'suspend', device: key(name) });
    },
    resume: async (...names) => {
      for (const name of names) await kernel.apply({ do: 'resume', device: key(name) });
    },
    remove: async (...names) => {
      for (const name of names) await kernel.apply({ do: 'remove', device: key(name) });
    },
    fill: (name, model, writes, blocksEach = CHUNK) => {
      for (let i = 0; i < writes; i += 1) {
        const block = draw(random, Math.floor(model.length / blocksEach)) * blocksEach;
        tag += 1;
        expect(world.user.write(key(name), block, Array.from<number>({ length: blocksEach }).fill(tag))).toBe('done');
        model.fill(tag, block, block + blocksEach);
      }
    },
    wrong: (name, model) => {
      const content = world.inspect.content(key(name)) ?? refuse(`Cannot read ${name}: no such device`);
      return model.filter((want, i) => content[i] !== want).length + Math.abs(content.length - model.length);
    },
    check: (name, model) => {
      expect(rig.wrong(name, model), `wrong blocks of ${name}`).toBe(0);
    },
    status: async (name) => {
      const status = (await kernel.statuses()).get(key(name));
      return status?.state === 'counts'
        ? `${status.used}/${status.total} ${status.metadata}`
        : (status?.state ?? 'none');
    },
  };
  return rig;
}

export function zeroes(blocks = BLOCKS): number[] {
  return Array.from<number>({ length: blocks }).fill(0);
}
