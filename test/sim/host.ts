// The rest of the node that the engine needs: zeroing a part of an active store, durable when done.

import type { Host } from '../../src/host.ts';
import { flushExtents } from './disk.ts';
import type { Around } from './effects.ts';
import { effect } from './effects.ts';
import { refuse } from './errors.ts';
import type { Io } from './io.ts';
import type { Machine } from './machine.ts';
import { BLOCK_BYTES } from './machine.ts';

export function createHost(m: Machine, io: Io, around: Around): Host {
  return {
    zero: async (store, offset, length, progress) => {
      effect(
        m,
        `zero ${store} ${offset} ${length}`,
        () => {
          const device = m.stores.get(store) ?? refuse(`Cannot zero ${store}: it is not active`);
          const count = Number(length) / BLOCK_BYTES;
          const block = Number(offset) / BLOCK_BYTES;
          if (!Number.isInteger(count) || !Number.isInteger(block))
            refuse(`Cannot zero ${store}: no whole blocks of 4 KiB`);
          const zeroes = Array.from<number>({ length: count }).fill(0);
          if (!io.write(device, block, zeroes, 0, count, false)) refuse(`Cannot zero ${store}: input/output error`);
          flushExtents(m.space, device.extents);
        },
        around,
      );
      progress?.(length);
    },
  };
}
