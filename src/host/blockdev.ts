// The Host port over commands on a store's device: zeroes in a part of it, in pieces so that progress can be told, and how
// far its exceptions reach.

import { fail } from '../vocabulary/errors.ts';
import type { Argv, Exec } from '../system/exec.ts';
import { output } from '../system/exec.ts';
import { areaOffset, parseArea } from '../dm/exceptions.ts';
import { LIST_DEVICES, listing } from '../dm/listing.ts';
import { deviceNode, storeOfRow } from '../dm/observed.ts';
import { parseDevices } from '../dm/parse.ts';
import { holdersOf } from '../system/holders.ts';
import type { Host } from './host.ts';
import type { StoreName, VgUuid } from '../vocabulary/ids.ts';
import type { Bytes } from '../vocabulary/units.ts';
import { bytes, maxBytes, mib, minBytes } from '../vocabulary/units.ts';

export interface HostOptions {
  readonly exec: Exec;
  readonly vgName: string;
  readonly vgUuid: VgUuid;
  readonly monotonicMs?: () => number;
}

/** A disk that writes 100 MB/s tells of its progress twice a second; one that zeroes by itself soon gets whole gigabytes. */
const FIRST_PIECE = mib(64);
const LARGEST_PIECE = mib(4096);
const QUICK_MS = 1000;

/** A command and not a read of our own: one that a disk holds up must hold up nothing else. */
const PRINT_PAIRS: Argv = ['od', '--address-radix=n', '--format=u8', '--width=16', '--output-duplicates'];

export function createHost(options: HostOptions): Host {
  const { exec } = options;
  const monotonicMs = options.monotonicMs ?? (() => performance.now());

  async function node(store: StoreName, what: string): Promise<string> {
    const rows = parseDevices(await listing(exec, LIST_DEVICES));
    const row = rows.find((device) => storeOfRow(device, options) === store);
    return row === undefined
      ? fail('internal', `Cannot ${what} store '${store}': it is not active`)
      : deviceNode(row.majorMinor);
  }

  return {
    zero: async (store, offset, length, progress) => {
      const device = await node(store, 'zero');
      let piece = FIRST_PIECE;
      let done: Bytes = bytes(0);
      while (done < length) {
        const size = minBytes(piece, bytes(length - done));
        const startedMs = monotonicMs();
        // --force, or it refuses a store whose old bytes look like a file system, and one that is in use while it grows.
        const range = ['--offset', `${offset + done}`, '--length', `${size}`];
        await output(exec, ['blkdiscard', '--zeroout', '--force', ...range, device]);
        done = bytes(done + size);
        if (monotonicMs() - startedMs < QUICK_MS) piece = minBytes(bytes(piece * 2n), LARGEST_PIECE);
        progress?.(done);
      }
      await output(exec, ['sync', device]);
    },
    exceptionsEnd: async (store, chunk, from) => {
      const device = await node(store, 'read');
      // The kernel writes a store past the page cache of its device, in which a probe may have left what was there before.
      const size = BigInt(await output(exec, ['blockdev', '--flushbufs', '--getsize64', device]));
      let end: Bytes = bytes(0);
      for (let area = from; ; area += 1n) {
        const offset = areaOffset(area, chunk);
        // One that fills is followed by another before it is written to: it was there.
        if (offset + chunk > size) return bytes(offset + chunk);
        const range = [`--skip-bytes=${offset}`, `--read-bytes=${chunk}`];
        const found = parseArea(await output(exec, [...PRINT_PAIRS, ...range, device]), chunk);
        if (found === undefined) return undefined;
        end = maxBytes(end, found.end);
        if (!found.isFull) return end;
        end = maxBytes(end, bytes(areaOffset(area + 1n, chunk) + chunk));
      }
    },
    holders: async (majorMinor) => holdersOf(exec, majorMinor),
  };
}
