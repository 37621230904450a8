// Short words for tests of the simulation alone, in the spirit of the proofs: one step a line, a model of what each device
// must show.

import { expect } from 'vitest';
import type { Table } from '../../src/dm/table.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { CHUNK, key, store } from '../contract/words.ts';
import { refuse } from './errors.ts';
import { draw } from './random.ts';
import type { World, WorldOptions } from './world.ts';
import { createWorld } from './world.ts';

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
      await kernel.apply([{ do: 'create', device: key(name) }]);
      await rig.load(name, table);
      await rig.resume(name);
    },
    load: (name, table) => kernel.apply([{ do: 'load', device: key(name), table, readOnly: false }]),
    suspend: async (...names) => {
      for (const name of names) await kernel.apply([{ do: 'suspend', device: key(name) }]);
    },
    resume: async (...names) => {
      for (const name of names) await kernel.apply([{ do: 'resume', device: key(name) }]);
    },
    remove: async (...names) => {
      for (const name of names) await kernel.apply([{ do: 'remove', device: key(name) }]);
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
