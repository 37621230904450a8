// What every side has: volumes of 64 KiB chunks with snapshots. The chunk is the smallest of LVM thin, so that all copy
// alike.

import { fioArgv, parseFio } from './fio.ts';
import type { Place } from './place.ts';

export const CHUNK_BYTES = 64 * 1024;
const MIB = 1024 ** 2;

export interface Volume {
  readonly name: string;
  /** What is written to. */
  readonly device: string;
  /** By which LVM or the driver knows it. */
  readonly id: string;
  /** The id of what was made. */
  readonly snapshot: () => Promise<string>;
  /** Deletes the newest. */
  readonly drop: () => Promise<void>;
  /** Devices that show the newest and the oldest snapshot, and a writable fork of the newest where there are any. */
  readonly images: () => Promise<Readonly<Record<string, string>>>;
  /** Bytes that its snapshots take beyond the volume itself. */
  readonly spentBytes: () => Promise<number>;
  readonly remove: () => Promise<void>;
}

export interface VolumeOptions {
  readonly name: string;
  readonly mib: number;
  /** First size of a snapshot's store, as large as the volume unless told otherwise. */
  readonly storeMib?: number;
}

/** A volume that is filled with something that is not zeroes: where nothing is, thin has nothing to copy. */
export type Maker = (place: Place, options: VolumeOptions) => Promise<Volume>;

export interface Fill {
  readonly mib: number;
  readonly atMib?: number;
  /** All of it, again and again. */
  readonly letter?: string;
  /** Chunk by chunk in random order, so that no two that follow each other are neighbours in a snapshot's store. */
  readonly scattered?: boolean;
}

/** Writes so much of one letter, past the page cache. */
export async function fill(
  place: Place,
  device: string,
  { mib, atMib = 0, letter = 'x', scattered = false }: Fill,
): Promise<void> {
  const pattern = `0x${letter.charCodeAt(0).toString(16)}`;
  const how = scattered ? { rw: 'randwrite', bs: CHUNK_BYTES } : { rw: 'write', bs: MIB };
  const where = { filename: device, ...how, offset: `${atMib}M`, size: `${mib}M` };
  parseFio(await place.output(fioArgv([{ name: 'fill', options: { ...where, buffer_pattern: pattern } }])));
}

/** Bytes that snapshots use, metadata included, whose device's name holds this: dm doubles `-` in the names of LVM. */
export function usedIn(status: string, name: string): number {
  const doubled = name.replaceAll('-', '--');
  const used = status.split('\n').flatMap((line) => {
    const [, device = '', sectors] = /^(\S+): \d+ \d+ snapshot (\d+)\/\d+ \d+$/.exec(line) ?? [];
    return device.includes(name) || device.includes(doubled) ? [Number(sectors)] : [];
  });
  return used.reduce((sum, sectors) => sum + sectors, 0) * 512;
}
