// The two devices that all tails of a pool are mirrors of (`hold` in table.ts). They lie on nothing and hold nothing, are made
// with the first tail, and go with the last.

import { fail } from '../vocabulary/errors.ts';
import type { Exec } from '../system/exec.ts';
import { output } from '../system/exec.ts';
import type { Leg, PoolName, VgUuid } from '../vocabulary/ids.ts';
import { LEGS, legName, legUuid } from '../vocabulary/ids.ts';
import type { DeviceRow } from './parse.ts';
import { parseCreated } from './parse.ts';
import { LEG_SECTORS } from './table.ts';

export interface Legs {
  /** Makes those that are not there, and keeps them for as long as `work` goes on, which gets `major:minor` of each. */
  readonly withNumbers: <T>(work: (numbers: ReadonlyMap<Leg, string>) => Promise<T>) => Promise<T>;
  /** No tail needs them now. The kernel refuses where one does all the same. */
  readonly remove: () => Promise<void>;
}

export interface LegsOptions {
  readonly exec: Exec;
  readonly pool: PoolName;
  readonly vgUuid: VgUuid;
  /** What each command is told about udev. */
  readonly quiet: readonly string[];
  /** Those that the kernel has now. */
  readonly find: () => Promise<ReadonlyMap<Leg, DeviceRow>>;
}

export function createLegs({ exec, pool, vgUuid, quiet, find }: LegsOptions): Legs {
  let known: Promise<ReadonlyMap<Leg, string>> | undefined;
  let users = 0;
  let going: Promise<void> = Promise.resolve();

  async function make(leg: Leg, there: DeviceRow | undefined): Promise<string> {
    const table = ['--table', `0 ${LEG_SECTORS} ${leg}`];
    if (there !== undefined) {
      // From a process that died while it made it.
      await output(exec, ['dmsetup', 'load', there.name, ...table]);
      await output(exec, ['dmsetup', 'resume', ...quiet, there.name]);
      return there.majorMinor;
    }
    const said = await output(exec, [
      ...(['dmsetup', 'create', legName(pool, vgUuid, leg), '--uuid', legUuid(vgUuid, leg), '-v'] as const),
      ...quiet,
      ...table,
    ]);
    return (
      parseCreated(said) ?? fail('internal', `Cannot read the number of '${legName(pool, vgUuid, leg)}' in '${said}'`)
    );
  }

  async function all(): Promise<ReadonlyMap<Leg, string>> {
    const there = await find();
    const numbers = new Map<Leg, string>();
    for (const leg of LEGS) {
      const row = there.get(leg);
      numbers.set(leg, row?.live === true ? row.majorMinor : await make(leg, row));
    }
    return numbers;
  }

  return {
    withNumbers: async (work) => {
      users += 1;
      try {
        await going;
        known ??= all();
        return await work(await known);
      } catch (error) {
        // Somebody may have taken away what nothing lay on.
        known = undefined;
        throw error;
      } finally {
        users -= 1;
      }
    },
    remove: async () => {
      if (users > 0) return;
      known = undefined;
      going = exec(['dmsetup', 'remove', ...quiet, ...LEGS.map((leg) => legName(pool, vgUuid, leg))]).then(
        nothing,
        nothing,
      );
      await going;
    },
  };
}

/** What is in use, or not there, stays as it is. */
const nothing = (): void => undefined;
