// Row 6: how fast a merge gets on, alone and with a writer on the volume, and what the writer loses by it.

import { fioArgv, parseFio, resultOf } from '../fio.ts';
import type { Rolled, Roller } from '../merges.ts';
import { byLvconvert, mergeSpeed, mibPerSecond, ours } from '../merges.ts';
import type { Place } from '../place.ts';
import type { Figure } from '../record.ts';
import type { Found } from '../rounds.ts';
import { inTurn, of } from '../rounds.ts';
import type { Bench, Findings, Row } from '../row.ts';
import { isSettled } from '../row.ts';
import { ratiosOf, spreadOf } from '../spread.ts';

const MIB = 1024 ** 2;
const WRITER_MS = 2500;
const KEPT = 'snapmerge, snapshot kept';
const OURS = 'snapmerge, not kept';
const LVM = 'lvconvert --merge';
const WAYS: readonly (readonly [string, Roller])[] = [
  [OURS, ours(false)],
  [LVM, byLvconvert],
  [KEPT, ours(true)],
];

async function writerIops(place: Place, device: string): Promise<number> {
  // Not where the next restore is known by what it shows first.
  const span = { filename: device, offset: MIB, time_based: 1, runtime: `${WRITER_MS}ms` };
  const writer = { name: 'writer', options: { ...span, rw: 'randwrite', bs: 4096, iodepth: 1 } };
  return resultOf(parseFio(await place.output(fioArgv([writer]))), writer.name).iops;
}

interface Beside {
  /** Bytes a second. */
  readonly beside: number;
  /** IOPS during the merge, as a share of those after it. */
  readonly writer: number;
}

interface Merged extends Partial<Beside> {
  /** Bytes a second. */
  readonly alone: number;
}

async function mergeAlone(place: Place, volume: Rolled): Promise<number> {
  await volume.change();
  await volume.begin();
  const speed = await mergeSpeed(place);
  await volume.show();
  await volume.merged();
  return speed;
}

async function mergeBeside(place: Place, volume: Rolled): Promise<Beside> {
  await volume.change();
  await volume.begin();
  await volume.show();
  const [beside, during] = await Promise.all([mergeSpeed(place), writerIops(place, volume.device)]);
  await volume.merged();
  return { beside, writer: during / (await writerIops(place, volume.device)) };
}

async function run({ place, quick, rounds, say }: Bench): Promise<Findings> {
  // A merge that takes seconds, wherever that is.
  const mib = !place.about.emulated ? 1024 : quick ? 48 : 128;
  const ways = quick ? WAYS.slice(0, 2) : WAYS;
  const volumes: (readonly [string, Rolled])[] = [];
  for (const [name, make] of ways)
    volumes.push([name, await make(place, { name: `m${volumes.length}`, mib, snapshots: 1, scattered: true })]);
  const figuresOf = (found: Found<string, Merged>): readonly Figure[] => {
    const figures: Figure[] = [];
    for (const [key, what] of [
      ['alone', 'throughput, alone'],
      ['beside', 'throughput, with a writer'],
      ['writer', 'IOPS left to a writer'],
    ] as const) {
      if (quick && key !== 'alone') continue;
      const values = (name: string): readonly number[] => of(found, name).flatMap((merged) => merged[key] ?? []);
      for (const name of quick ? [OURS] : [OURS, KEPT]) {
        const ratio = ratiosOf(values(name), values(LVM));
        const wanted = key === 'writer' ? { atLeast: 1 } : { atLeast: 0.95 };
        figures.push({ what, ours: name, against: LVM, ratio, ...(name === OURS ? { wanted } : {}) });
      }
      for (const [name] of ways) {
        const own =
          key === 'writer'
            ? { against: 'after the merge', ratio: spreadOf(values(name)) }
            : { against: 'by itself', ratio: spreadOf(values(name).map(mibPerSecond)), unit: 'MiB/s' };
        figures.push({ what, ours: name, ...own });
      }
    }
    return figures;
  };
  const found = await inTurn<string, Merged>(
    rounds,
    volumes.map(([name, volume]) => [
      name,
      async (round): Promise<Merged> => {
        say(`round ${round + 1}: ${name}`);
        const alone = await mergeAlone(place, volume);
        return { alone, ...(quick ? {} : await mergeBeside(place, volume)) };
      },
    ]),
    (sofar) => isSettled(figuresOf(sofar)),
  );
  return {
    figures: figuresOf(found),
    notes: [
      `${mib} MiB of 64 KiB chunks, all changed, in random order. LVM's merge consumes the snapshot; "not kept" is the same for us, ${quick ? 'our default keeps it, and writes each chunk once more, into its new store.' : '"kept" is our default and writes each chunk once more, into the snapshot\'s new store.'}`,
      ...(quick ? [] : [`The writer: 4 KiB at random, queue depth 1, ${WRITER_MS} ms.`]),
    ],
  };
}

export const merge: Row = {
  row: 6,
  title: 'Merge',
  wanted: 'at least 0.95 of the throughput of `lvconvert --merge`; the writer loses no more',
  run,
};
