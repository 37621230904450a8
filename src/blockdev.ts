// The Host port over the blkdiscard command: zeroes in a part of a store, in pieces so that progress can be told.

import { fail } from './errors.ts';
import type { Exec } from './exec.ts';
import { output } from './exec.ts';
import { LIST_DEVICES, listing } from './dm/listing.ts';
import { nodeOf, storeOfRow } from './dm/observed.ts';
import { parseDevices } from './dm/parse.ts';
import type { Host } from './host.ts';
import type { StoreName, VgUuid } from './ids.ts';
import type { Bytes } from './units.ts';
import { bytes, mib, minBytes } from './units.ts';

export interface HostOptions {
  readonly exec: Exec;
  readonly vgName: string;
  readonly vgUuid: VgUuid;
  readonly nowMs?: () => number;
}

/** A disk that writes 100 MB/s tells of its progress twice a second; one that zeroes by itself soon gets whole gigabytes. */
const FIRST_PIECE = mib(64);
const LARGEST_PIECE = mib(4096);
const QUICK_MS = 1000;

export function createHost(options: HostOptions): Host {
  const { exec } = options;
  const nowMs = options.nowMs ?? Date.now;

  async function node(store: StoreName): Promise<string> {
    const rows = parseDevices(await listing(exec, LIST_DEVICES));
    const row = rows.find((device) => storeOfRow(device, options) === store);
    return row === undefined
      ? fail('internal', `Cannot zero store '${store}': it is not active`)
      : nodeOf(row.majorMinor);
  }

  return {
    zero: async (store, offset, length, progress) => {
      const device = await node(store);
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
  };
}
