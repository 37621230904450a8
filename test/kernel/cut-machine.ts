// A guest that loses power as real machines do: its pool lies on disks with a write cache that is empty afterwards. The
// power can fail at once or before a chosen change of the disks, wherever in a command that is.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Random } from '../contract/random.ts';
import type { Guest } from '../../vm/guest.ts';
import { removeGuest, startGuest } from '../../vm/guest.ts';
import type { LossyDisk } from '../../vm/lossy-disk.ts';
import type { Loss, Lost } from '../../vm/medium.ts';
import { createLossyDisk } from '../../vm/lossy-disk.ts';
import { makePool } from './rig.ts';

export interface CutMachine {
  readonly guest: Guest;
  readonly disks: readonly LossyDisk[];
  /** Writes and flushes that reached the disks so far. */
  readonly changes: () => number;
  /** Both disks stop before the change after so many more; resolves when that has happened. Replaces what was asked before. */
  readonly stopAfter: (changes: number) => Promise<void>;
  /** The machine is off, and what its disks had not flushed is gone as drawn. */
  readonly cut: (loss: Loss, random: Random) => Promise<Lost>;
  readonly boot: () => Promise<void>;
  /** Off, and on again with an empty pool. */
  readonly reset: () => Promise<void>;
  readonly close: () => Promise<void>;
}

const DISKS = 2;
const DISK_BYTES = 96 * 1024 ** 2;
/**
 * LVM's own: it writes the text of a commit and then the header that points to it, without a flush between them. A disk
 * that keeps the header and loses the text makes the whole group unreadable, and no user of LVM can help that.
 */
const METADATA = { offset: 0, length: 16 * 1024 ** 2 };

export async function startCutMachine(
  name: string,
  { udev = false }: { readonly udev?: boolean } = {},
): Promise<CutMachine> {
  const dir = await mkdtemp(join(tmpdir(), 'snapmerge-cut-'));
  let left = Number.POSITIVE_INFINITY;
  let stopped = (): void => undefined;
  const goesOn = (): boolean => {
    left -= 1;
    if (left >= 0) return true;
    stopped();
    return false;
  };
  const disks: LossyDisk[] = [];
  for (let index = 0; index < DISKS; index += 1)
    disks.push(
      await createLossyDisk({ path: join(dir, `${index}.sock`), sizeBytes: DISK_BYTES, ordered: METADATA, goesOn }),
    );
  const guest = await startGuest({ name, udev, sockets: disks.map(({ path }) => path) });
  await makePool(guest);
  for (const disk of guest.disks) await guest.output(['sync', disk]);
  const empty = disks.map((disk) => disk.save());

  const off = async (loss: Loss, random: Random): Promise<Lost> => {
    for (const disk of disks) disk.stop();
    await guest.cut();
    left = Number.POSITIVE_INFINITY;
    const lost = disks.map((disk) => disk.losePower(loss, random));
    return {
      uncovered: lost.reduce((sum, { uncovered }) => sum + uncovered, 0),
      lost: lost.reduce((sum, one) => sum + one.lost, 0),
    };
  };
  return {
    guest,
    disks,
    changes: () => disks.reduce((sum, disk) => sum + disk.changes(), 0),
    stopAfter: (changes) =>
      new Promise((resolve) => {
        left = changes;
        stopped = resolve;
      }),
    cut: off,
    boot: () => guest.boot(),
    reset: async () => {
      await off('nothing', { below: () => 0, chance: () => false, pick: () => undefined });
      disks.forEach((disk, index) => disk.restore(empty[index] ?? Buffer.alloc(0)));
      await guest.boot();
    },
    close: async () => {
      await guest.cut();
      for (const disk of disks) await disk.close();
      await removeGuest(name);
      await rm(dir, { recursive: true, force: true });
    },
  };
}
