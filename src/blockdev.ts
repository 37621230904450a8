// The Host port over commands and reads of a store's device: zeroes in a part of it, in pieces so that progress can be told,
// and how far its exceptions reach.

import { fail } from './errors.ts';
import type { Exec } from './exec.ts';
import { output } from './exec.ts';
import { areaOffset, readArea } from './dm/exceptions.ts';
import { LIST_DEVICES, listing } from './dm/listing.ts';
import { nodeOf, storeOfRow } from './dm/observed.ts';
import { parseDevices } from './dm/parse.ts';
import type { Host } from './host.ts';
import type { StoreName, VgUuid } from './ids.ts';
import type { ReadDisk } from './lvm/stamp.ts';
import type { Bytes } from './units.ts';
import { bytes, maxBytes, mib, minBytes } from './units.ts';

export interface HostOptions {
  readonly exec: Exec;
  readonly readDisk: ReadDisk;
  readonly vgName: string;
  readonly vgUuid: VgUuid;
  readonly nowMs?: () => number;
}

/** A disk that writes 100 MB/s tells of its progress twice a second; one that zeroes by itself soon gets whole gigabytes. */
const FIRST_PIECE = mib(64);
const LARGEST_PIECE = mib(4096);
const QUICK_MS = 1000;

export function createHost(options: HostOptions): Host {
  const { exec, readDisk } = options;
  const nowMs = options.nowMs ?? Date.now;

  async function node(store: StoreName, what: string): Promise<string> {
    const rows = parseDevices(await listing(exec, LIST_DEVICES));
    const row = rows.find((device) => storeOfRow(device, options) === store);
    return row === undefined
      ? fail('internal', `Cannot ${what} store '${store}': it is not active`)
      : nodeOf(row.majorMinor);
  }

  return {
    zero: async (store, offset, length, progress) => {
      const device = await node(store, 'zero');
      let piece = FIRST_PIECE;
      let done: Bytes = bytes(0);
      while (done < length) {
        const size = minBytes(piece, bytes(length - done));
        const startedMs = nowMs();
        // --force, or it refuses a store whose old bytes look like a file system, and one that is in use while it grows.
        const range = ['--offset', `${offset + done}`, '--length', `${size}`];
        await output(exec, ['blkdiscard', '--zeroout', '--force', ...range, device]);
        done = bytes(done + size);
        if (nowMs() - startedMs < QUICK_MS) piece = minBytes(bytes(piece * 2n), LARGEST_PIECE);
        progress?.(done);
      }
      await output(exec, ['sync', device]);
    },
    exceptionsEnd: async (store, chunk, from) => {
      const device = await node(store, 'read');
      // The kernel writes a store past the page cache of its device, in which a probe may have left what was there before.
      await output(exec, ['blockdev', '--flushbufs', device]);
      let end: Bytes = bytes(0);
      for (let area = from; ; area += 1n) {
        const found = readArea(await readDisk(device, Number(areaOffset(area, chunk)), Number(chunk)), chunk);
        if (found === undefined) return undefined;
        end = maxBytes(end, found.end);
        if (!found.isFull) return end;
      }
    },
  };
}
