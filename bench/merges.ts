// Volumes that have changed since their snapshots and are rolled back: ours by StartRestore and the staging that follows,
// LVM's by `lvconvert --merge`, and by a copy of the snapshot over the origin. And how fast a merge gets on, as the kernel
// counts it, whoever began it.

import { setTimeout as pass } from 'node:timers/promises';
import type { Place } from './place.ts';
import { SIDES } from './sides.ts';
import type { Volume } from './volume.ts';
import { fill } from './volume.ts';

const BLOCK = { access: 'block' } as const;
const MIB = 1024 ** 2;
const SECTOR_BYTES = 512;
/** What was there at the first snapshot, and what is written after. */
const THEN = 'x';
const NOW = 'y';
const LOOK_EVERY_MS = 400;
/** So many under way, and the end need not be known. */
const SURE_LOOKS = 3;
const LIMIT_MS = 900_000;

export interface Rolled {
  readonly device: string;
  /** Snapshots, a part of the volume overwritten after each, until all of it is. */
  readonly change: () => Promise<void>;
  /** Back to the first of these snapshots: from here on the kernel merges. */
  readonly begin: () => Promise<void>;
  /** Ends when the first block of what was is read. */
  readonly show: () => Promise<void>;
  /** Until nothing of it merges any more; then it can be changed again. */
  readonly merged: () => Promise<void>;
}

export interface Change {
  readonly name: string;
  /** So much is overwritten, and so large is the volume. */
  readonly mib: number;
  readonly snapshots: number;
  /** As a database would: chunks that lie side by side on the volume are merged many at once, others one by one. */
  readonly scattered?: boolean;
}

export type Roller = (place: Place, change: Change) => Promise<Rolled>;

/** Errors when the device does not show what it is to show. */
async function readFirst(place: Place, device: string): Promise<void> {
  const block = await place.output(['dd', `if=${device}`, 'bs=4096', 'count=1', 'iflag=direct', 'status=none']);
  if (!block.startsWith(THEN)) throw new Error(`Cannot go on: '${device}' does not show what was restored`);
}

/** The ids of the snapshots, the oldest first. */
async function change(
  place: Place,
  volume: Volume,
  { mib, snapshots, scattered = false }: Change,
): Promise<readonly string[]> {
  const part = mib / snapshots;
  const taken: string[] = [];
  for (let done = 0; done < snapshots; done += 1) {
    taken.push(await volume.snapshot());
    await fill(place, volume.device, { mib: part, atMib: done * part, letter: NOW, scattered });
  }
  return taken;
}

const opened = async (place: Place, side: 'snapmerge' | 'LVM thick', { name, mib }: Change): Promise<Volume> => {
  const volume = await SIDES[side](place, { name, mib });
  place.leave(volume.remove);
  return volume;
};

/** `keep` is the driver's default: the snapshot is fed what the merge overwrites. LVM consumes it. */
export const ours =
  (keep: boolean): Roller =>
  async (place, changes) => {
    const { work } = place;
    const volume = await opened(place, 'snapmerge', changes);
    let [restore, taken]: [string, readonly string[]] = ['', []];
    return {
      device: volume.device,
      change: async () => {
        taken = await change(place, volume, changes);
        await work.leave(volume.id);
      },
      begin: async () => {
        restore = await work.restore(volume.id, taken[0] ?? '', { keep_snapshot: keep });
      },
      show: async () => {
        await work.use(volume.id, BLOCK);
        await readFirst(place, volume.device);
      },
      merged: async () => {
        await work.restoreDone(restore);
        // They cost the next change nothing, but each keeps the room of one.
        for (const snapshot_id of taken) await place.csi.tell('DeleteSnapshot', { snapshot_id });
      },
    };
  };

async function removed(place: Place, snapshots: readonly string[]): Promise<void> {
  if (snapshots.length > 0) await place.lvm('lvremove', '-qq', '--yes', ...snapshots);
}

export const byLvconvert: Roller = async (place, changes) => {
  const volume = await opened(place, 'LVM thick', changes);
  let taken: readonly string[] = [];
  return {
    device: volume.device,
    change: async () => {
      taken = await change(place, volume, changes);
    },
    begin: async () => {
      const how = ['--merge', '--background', '--interval', '1'];
      await place.lvm('lvconvert', '-qq', '--yes', ...how, ...taken.slice(0, 1));
    },
    show: () => readFirst(place, volume.device),
    merged: async () => {
      const [oldest = '', ...others] = taken;
      const name = oldest.slice(oldest.lastIndexOf('/') + 1);
      const endMs = performance.now() + LIMIT_MS;
      const list = ['--all', '--noheadings', '--options', 'lv_name', place.vg];
      while ((await place.lvm('lvs', ...list)).includes(name)) {
        if (performance.now() > endMs) throw new Error(`Cannot wait any longer for the merge of '${oldest}'`);
        await pass(LOOK_EVERY_MS);
      }
      // Each would copy what the next change overwrites.
      await removed(place, others);
    },
  };
};

export const byCopy: Roller = async (place, changes) => {
  const volume = await opened(place, 'LVM thick', { ...changes, name: `${changes.name}copy` });
  let taken: readonly string[] = [];
  return {
    device: volume.device,
    change: async () => {
      taken = await change(place, volume, changes);
    },
    begin: async () => {
      const flags = ['bs=1M', 'iflag=direct', 'oflag=direct', 'conv=notrunc', 'status=none'];
      await place.output(['dd', `if=/dev/${taken[0] ?? ''}`, `of=${volume.device}`, ...flags]);
    },
    show: () => readFirst(place, volume.device),
    merged: () => removed(place, taken),
  };
};

/**
 * Bytes a second of the one merge that runs: between the first and the last look that found it under way. One that is over
 * after a look or two is measured until it was found to be over, by a look more than it took.
 */
export async function mergeSpeed(place: Place): Promise<number> {
  const looks: Look[] = [];
  do {
    const ms = performance.now();
    looks.push({
      ms,
      left: leftOf(await place.output(['dmsetup', 'status', '--noflush', '--target', 'snapshot-merge'])),
    });
    await pass(LOOK_EVERY_MS);
  } while (looks.at(-1)?.left !== 0);
  return speedOf(looks);
}

interface Look {
  readonly ms: number;
  readonly left: number;
}

/** The last look found nothing left. */
export function speedOf(looks: readonly Look[]): number {
  const [first] = looks;
  const last = looks.at(looks.length > SURE_LOOKS ? -2 : -1);
  if (first === undefined || last === undefined || first.left === last.left) {
    throw new Error('Cannot measure the merge: it was over before it was looked at');
  }
  return (first.left - last.left) / ((last.ms - first.ms) / 1000);
}

/** Bytes that merges have before them. */
export function leftOf(status: string): number {
  const found = status.matchAll(/ snapshot-merge (\d+)\/\d+ (\d+)$/gm);
  return [...found].reduce((sum, [, used, metadata]) => sum + Number(used) - Number(metadata), 0) * SECTOR_BYTES;
}

export const mibPerSecond = (bytes: number): number => bytes / MIB;
