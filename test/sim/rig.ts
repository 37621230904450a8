// The simulated node as a rig for the scenarios that the real kernel runs too.

import type { Rig } from '../contract/rig.ts';
import type { World } from './world.ts';

export function simRig(world: World, vg: Rig['vg']): Rig {
  return {
    vg,
    kernel: world.kernel,
    lvm: world.lvm,
    host: world.host,
    read: (device) => {
      const blocks = world.inspect.content(device);
      if (blocks === undefined) throw new Error(`Cannot read '${device}': it is not there`);
      return Promise.resolve(blocks);
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
    notices: () => world.inspect.notices().map((notice) => JSON.stringify(notice)),
  };
}
