// A rig in short words: one step a line, and a model of what each device must show.

import type { Table } from '../../src/dm/table.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { bytes, mib } from '../../src/vocabulary/units.ts';
import type { Random } from './random.ts';
import { createRandom } from './random.ts';
import type { BlockWrite, Rig } from './rig.ts';
import type { Underway, Waits } from './waits.ts';
import { CHUNK, key, store } from './words.ts';

/** The same words, begun and not waited for. */
export interface Begin {
  readonly load: (name: string, table: Table) => Underway;
  readonly suspend: (name: string) => Underway;
  readonly resume: (name: string) => Underway;
  readonly remove: (name: string) => Underway;
  readonly write: (name: string, block: number, tags: readonly number[]) => Underway;
  readonly flush: (name: string) => Underway;
}

export interface RuleRig {
  readonly rig: Rig;
  /** A store: made, activated, all zeroes, flushed. */
  readonly lv: (name: string, size?: Bytes) => Promise<void>;
  /** A store with whatever lies there. */
  readonly dirtyLv: (name: string, size?: Bytes) => Promise<void>;
  readonly zero: (name: string, size: Bytes) => Promise<void>;
  readonly dropLv: (name: string) => Promise<void>;
  /** A device without a table. */
  readonly make: (...names: readonly string[]) => Promise<void>;
  /** A device with this table, live. */
  readonly create: (name: string, table: Table) => Promise<void>;
  readonly load: (name: string, table: Table) => Promise<void>;
  /** Another table in the place of the live one; what it holds goes on in that. */
  readonly swap: (name: string, table: Table) => Promise<void>;
  readonly clear: (name: string) => Promise<void>;
  readonly suspend: (...names: readonly string[]) => Promise<void>;
  readonly resume: (...names: readonly string[]) => Promise<void>;
  readonly remove: (...names: readonly string[]) => Promise<void>;
  /** Writes so many random pieces, each with a tag of its own, into the device and the model. */
  readonly fill: (name: string, model: number[], writes: number, blocksEach?: number) => Promise<void>;
  /** One write of these tags at a block, into the model too. */
  readonly write: (name: string, model: number[], block: number, tags: readonly number[]) => Promise<void>;
  /** How many blocks of the device differ from the model. */
  readonly wrong: (name: string, model: readonly number[]) => Promise<number>;
  readonly status: (name: string) => Promise<string>;
  readonly finishMerges: () => Promise<void>;
  readonly begin: Begin;
  /** I/O that has entered a device and not left it. */
  readonly inflight: (name: string) => Promise<number>;
  /** Long enough for merges to get as far as they can. */
  readonly settle: () => Promise<void>;
}

export function createRuleRig(rig: Rig, waits: Waits): RuleRig {
  const random: Random = createRandom(1);
  let tag = 0;
  const each = async (step: 'create' | 'suspend' | 'resume' | 'remove', names: readonly string[]): Promise<void> => {
    await rig.kernel.apply(names.map((name) => ({ do: step, device: key(name) })));
  };
  const words: RuleRig = {
    rig,
    lv: async (name, size = mib(1)) => {
      await words.dirtyLv(name, size);
      await words.zero(name, size);
    },
    dirtyLv: (name, size = mib(1)) => rig.lvm.create(store(name), size, 'linear', ['snapmerge']),
    zero: async (name, size) => {
      await rig.host.zero(store(name), bytes(0), size);
      await rig.lvm.flush();
    },
    dropLv: (name) => rig.lvm.remove(store(name)),
    make: async (...names) => each('create', names),
    create: async (name, table) => {
      await words.make(name);
      await words.load(name, table);
      await words.resume(name);
    },
    load: (name, table) => rig.kernel.apply([{ do: 'load', device: key(name), table, readOnly: false }]),
    swap: (name, table) => rig.kernel.apply([{ do: 'swap', device: key(name), table, readOnly: false }]),
    clear: (name) => rig.kernel.apply([{ do: 'clear', device: key(name) }]),
    suspend: async (...names) => each('suspend', names),
    resume: async (...names) => each('resume', names),
    remove: async (...names) => each('remove', names),
    fill: async (name, model, count, blocksEach = CHUNK) => {
      const writes: BlockWrite[] = [];
      for (let index = 0; index < count; index += 1) {
        const block = random.below(Math.floor(model.length / blocksEach)) * blocksEach;
        tag += 1;
        writes.push({ block, tags: Array.from({ length: blocksEach }, () => tag) });
        model.fill(tag, block, block + blocksEach);
      }
      await rig.write(key(name), writes);
    },
    write: async (name, model, block, tags) => {
      await rig.write(key(name), [{ block, tags }]);
      model.splice(block, tags.length, ...tags);
    },
    wrong: async (name, model) => {
      const [content = []] = await rig.read(key(name));
      return model.filter((want, index) => content[index] !== want).length + Math.abs(content.length - model.length);
    },
    status: async (name) => {
      const status = (await rig.kernel.statuses()).get(key(name));
      return status?.state === 'counts' ? `${status.used} ${status.metadata}` : (status?.state ?? 'none');
    },
    finishMerges: () => rig.finishMerges(),
    begin: {
      load: (name, table) => waits.step({ do: 'load', device: key(name), table, readOnly: false }),
      suspend: (name) => waits.step({ do: 'suspend', device: key(name) }),
      resume: (name) => waits.step({ do: 'resume', device: key(name) }),
      remove: (name) => waits.step({ do: 'remove', device: key(name) }),
      write: (name, block, tags) => waits.write(key(name), { block, tags }),
      flush: (name) => waits.flush(key(name)),
    },
    inflight: (name) => waits.inflight(key(name)),
    settle: () => waits.settle(),
  };
  return words;
}
