// The rest of the node that the engine needs: zeroing a part of an active store, durable when done, and how far the
// exceptions in one reach.

import type { Host } from '../../src/host/host.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import { bytes } from '../../src/vocabulary/units.ts';
import { flushExtents } from './disk.ts';
import type { Around } from './effects.ts';
import { alive, effect } from './effects.ts';
import { refuse } from './errors.ts';
import type { Io } from './io.ts';
import type { Machine, StoreDevice } from './machine.ts';
import { BLOCK_BYTES, sizeBlocks } from './machine.ts';
import { areaChunk, exceptionsPerArea, parseAreaBlock } from './store-format.ts';

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
    exceptionsEnd: async (store, chunk, area) => {
      alive(m);
      const device = m.stores.get(store) ?? refuse(`Cannot read ${store}: it is not active`);
      return exceptionsEnd(m, io, device, Number(chunk) / BLOCK_BYTES, Number(area));
    },
    holders: async () => {
      alive(m);
      return [];
    },
  };
}

function exceptionsEnd(m: Machine, io: Io, store: StoreDevice, chunkBlocks: number, from: number): Bytes | undefined {
  let end = 0;
  for (let area = from; ; area += 1) {
    const after = (areaChunk(chunkBlocks, area) + 1) * chunkBlocks;
    if (after > sizeBlocks(m, store)) return bytes(after * BLOCK_BYTES);
    let count = 0;
    for (let block = 0; block < chunkBlocks; block += 1) {
      const pairs = parseAreaBlock(m, io.read(store, areaChunk(chunkBlocks, area) * chunkBlocks + block));
      if (pairs === undefined) return undefined;
      count += pairs.length / 2;
      for (let at = 1; at < pairs.length; at += 2) end = Math.max(end, (pairs[at] ?? 0) + 1);
    }
    if (count < exceptionsPerArea(chunkBlocks)) return bytes(end * chunkBlocks * BLOCK_BYTES);
    end = Math.max(end, areaChunk(chunkBlocks, area + 1) + 1);
  }
}
