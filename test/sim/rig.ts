// The simulated node as a rig for the scenarios that the real kernel runs too.

import { inTurn } from '../../src/dm/kernel.ts';
import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import type { Rig } from '../contract/rig.ts';
import { isLookedAt } from '../contract/rig.ts';
import type { Underway, Waits } from '../contract/waits.ts';
import { SimHang } from './errors.ts';
import type { Done } from './user.ts';
import type { World } from './world.ts';

export function simRig(world: World, vg: Rig['vg']): Rig {
  let strangersLook = false;
  const lookAtAll = (): void => {
    for (const key of strangersLook ? world.inspect.devices().filter(isLookedAt) : []) world.stranger.look(key, 0);
  };
  return {
    vg,
    kernel: {
      ...world.kernel,
      apply: inTurn(async (step) => {
        lookAtAll();
        await world.kernel.apply([step]);
      }),
    },
    lvm: world.lvm,
    host: world.host,
    read: (...devices) => {
      const contents = devices.map((device) => {
        const blocks = world.inspect.content(device);
        if (blocks === undefined) throw new Error(`Cannot read '${device}': it is not there`);
        return blocks;
      });
      return Promise.resolve(contents);
    },
    write: (device, writes) => {
      for (const { block, tags } of writes) {
        const outcome = world.user.write(device, block, tags);
        if (outcome !== 'done') throw new Error(`Cannot write '${device}': ${outcome}`);
      }
      world.user.flush(device);
      return Promise.resolve();
    },
    pause: () => {
      world.control.merge(3);
      return Promise.resolve();
    },
    finishMerges: () => {
      if (!world.control.finishMerges()) throw new Error('Cannot finish the merges: one is stuck');
      return Promise.resolve();
    },
    killDriver: () => {
      world.control.crashDriver();
      return Promise.resolve();
    },
    cutPower: () => {
      world.control.crashPower();
      return Promise.resolve();
    },
    strangers: {
      lookThroughout: async (work) => {
        strangersLook = true;
        try {
          return await work();
        } finally {
          strangersLook = false;
        }
      },
      hold: (device) => {
        world.stranger.open(device);
        return Promise.resolve(() => Promise.resolve(world.stranger.close(device)));
      },
      readEnd: async (device) => {
        const blocks = world.inspect.content(device)?.length ?? 0;
        if (!world.stranger.look(device, blocks - 1)) throw new Error(`A read of the end of '${device}' waits`);
      },
    },
    notices: (living) =>
      world.inspect
        .notices()
        .filter(({ kind, key }) => kind !== 'unfed-write' || living.has(key.slice(0, 12)))
        .map((notice) => JSON.stringify(notice)),
  };
}

/** A step that hangs is tried again at each look, from the state it was left in: a real one would go on by itself. */
export function simWaits(world: World): Waits {
  return {
    step: (step) =>
      tried(async () => {
        try {
          await world.kernel.apply([step]);
          return 'done';
        } catch (error) {
          if (error instanceof SnapmergeError) return 'failed';
          if (!(error instanceof SimHang)) throw error;
          return 'queued';
        }
      }),
    write: (device, { block, tags }) => {
      const first = world.user.write(device, block, tags);
      const id = world.user.queued().at(-1)?.id;
      return tried(async () => (first === 'queued' && id !== undefined ? world.user.outcome(id) : first));
    },
    flush: (device) => tried(async () => world.user.flush(device)),
    inflight: async (key) => world.user.queued().filter(({ path }) => path.some((device) => device.key === key)).length,
    settle: async () => {
      world.control.finishMerges();
    },
  };
}

/** The first attempt is made at once, in order with what comes after. */
function tried(attempt: () => Promise<Done>): Underway {
  let last = attempt();
  const look = async (): Promise<Done> => {
    if ((await last) === 'queued') last = attempt();
    return await last;
  };
  return {
    waits: async () => (await look()) === 'queued',
    ends: async () => {
      const outcome = await look();
      if (outcome === 'queued') throw new Error('Cannot wait for its end: it would wait for ever');
      return outcome;
    },
  };
}
