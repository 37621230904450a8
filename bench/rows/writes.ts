// Row 1: what a write costs with so many snapshots. The first to a chunk since the newest snapshot, which is copied out
// before, and every further one. Each round has a part of the volumes for itself, so that first writes are first ones
// on all sides in every round, and no snapshot has to be made again.

import type { Job, JobResult } from '../fio.ts';
import { fioArgv, parseFio, replayLog, resultOf, shuffled } from '../fio.ts';
import type { Place } from '../place.ts';
import type { Figure, Plot } from '../record.ts';
import type { Found } from '../rounds.ts';
import { inTurn, of } from '../rounds.ts';
import type { Bench, Findings, Row } from '../row.ts';
import { isSettled } from '../row.ts';
import type { SideName } from '../sides.ts';
import { SIDES } from '../sides.ts';
import type { Volume } from '../volume.ts';
import { CHUNK_BYTES } from '../volume.ts';
import { ratiosOf } from '../spread.ts';

const MIB = 1024 ** 2;
const AGAIN_MS = 500;

interface Pattern {
  readonly name: string;
  readonly rw: 'randwrite' | 'write';
  readonly bytes: number;
  /** First writes of a round, and the same with so many snapshots that LVM's copies would fill the memory. */
  readonly writes: number;
  readonly fewWrites: number;
}

const PATTERNS: readonly Pattern[] = [
  { name: 'random 4k', rw: 'randwrite', bytes: 4096, writes: 64, fewWrites: 16 },
  { name: 'random 64k', rw: 'randwrite', bytes: 65536, writes: 32, fewWrites: 16 },
  { name: 'sequential 1M', rw: 'write', bytes: MIB, writes: 8, fewWrites: 4 },
];
/** The pattern of the short form. */
const QUICK_PATTERNS = PATTERNS.slice(0, 1);
const MANY_SNAPSHOTS = 64;
/** Each round has a part of the volumes of its own, of which LVM keeps a copy for each snapshot: memory sets the limit. */
const MOST_ROUNDS = 15;

type Measured = ReadonlyMap<string, JobResult>;

const writesOf = (pattern: Pattern, snapshots: number): number =>
  snapshots >= MANY_SNAPSHOTS ? pattern.fewWrites : pattern.writes;
/** What a pattern's writes touch in a round. */
const regionBytes = (pattern: Pattern, snapshots: number): number =>
  writesOf(pattern, snapshots) * Math.max(pattern.bytes, CHUNK_BYTES);
const roundBytes = (patterns: readonly Pattern[], snapshots: number): number =>
  patterns.reduce((sum, pattern) => sum + regionBytes(pattern, snapshots), 0);

interface Contender {
  readonly side: SideName;
  readonly snapshots: number;
  readonly volume: Volume;
}

const keyOf = (side: SideName, snapshots: number): string => `${side}/${snapshots}`;
const logOf = (pattern: Pattern): string => `/tmp/bench-${pattern.name.replace(' ', '-')}.log`;

async function measure(
  place: Place,
  patterns: readonly Pattern[],
  { volume, snapshots }: Contender,
  round: number,
): Promise<ReadonlyMap<string, JobResult>> {
  const jobs: Job[] = [];
  let offset = round * roundBytes(patterns, snapshots);
  for (const pattern of patterns) {
    const region = regionBytes(pattern, snapshots);
    const step = Math.max(pattern.bytes, CHUNK_BYTES);
    const count = writesOf(pattern, snapshots);
    const order = pattern.rw === 'write' ? Array.from({ length: count }, (_, index) => index) : shuffled(count);
    const begin = offset;
    const text = replayLog(
      volume.device,
      order.map((index) => begin + index * step),
      pattern.bytes,
    );
    await place.output(['dd', `of=${logOf(pattern)}`, 'status=none'], text);
    const first = { read_iolog: logOf(pattern), replay_no_stall: 1 };
    const again = { filename: volume.device, rw: pattern.rw, bs: pattern.bytes, offset, size: region };
    jobs.push({ name: `first ${pattern.name}`, options: { stonewall: 1, ...first } });
    jobs.push({
      name: `again ${pattern.name}`,
      options: { stonewall: 1, ...again, time_based: 1, runtime: `${AGAIN_MS}ms` },
    });
    offset += region;
  }
  return parseFio(await place.output(fioArgv(jobs)));
}

const COMPARED: readonly Exclude<SideName, 'linear' | 'snapmerge'>[] = ['LVM thick', 'LVM thin'];

async function run({ place, quick, rounds, say }: Bench): Promise<Findings> {
  const patterns = quick ? QUICK_PATTERNS : PATTERNS;
  const { least } = rounds;
  const most = Math.max(least, Math.min(rounds.most, MOST_ROUNDS));
  const counts = quick ? [0, 1, 16] : [0, 1, 4, 16, MANY_SNAPSHOTS];
  const contenders: Contender[] = [];
  const make = async (side: SideName, snapshots: number): Promise<void> => {
    const mib = Math.ceil((most * roundBytes(patterns, snapshots)) / MIB) + 1;
    const volume = await SIDES[side](place, { name: `w${String(snapshots).padStart(2, '0')}`, mib });
    for (let made = 0; made < snapshots; made += 1) await volume.snapshot();
    place.leave(volume.remove);
    contenders.push({ side, snapshots, volume });
  };
  await make('linear', 0);
  for (const snapshots of counts) {
    say(`volumes with ${snapshots} snapshots`);
    for (const side of ['snapmerge', ...COMPARED] as const) await make(side, snapshots);
  }
  const values = (
    found: Found<string, Measured>,
    side: SideName,
    snapshots: number,
    job: string,
    of_: (result: JobResult) => number,
  ): readonly number[] => of(found, keyOf(side, snapshots)).map((results) => of_(resultOf(results, job)));
  const iops = (found: Found<string, Measured>, side: SideName, snapshots: number, job: string): readonly number[] =>
    values(found, side, snapshots, job, (result) => result.iops);
  const p99 = (found: Found<string, Measured>, side: SideName, snapshots: number, job: string): readonly number[] =>
    values(found, side, snapshots, job, (result) => result.p99Ms);

  const some = counts.filter((count) => count > 0);
  const figuresOf = (found: Found<string, Measured>): readonly Figure[] => {
    const figures: Figure[] = [];
    for (const { name } of patterns) {
      for (const side of ['snapmerge', ...COMPARED] as const) {
        figures.push({
          what: `${name}, no snapshot, IOPS`,
          ours: side,
          against: 'linear',
          ratio: ratiosOf(iops(found, side, 0, `again ${name}`), iops(found, 'linear', 0, `again ${name}`)),
          ...(side === 'snapmerge' ? { wanted: { atLeast: 0.98 } } : {}),
        });
      }
    }
    for (const kind of ['first', 'again']) {
      for (const { name } of patterns) {
        const job = `${kind} ${name}`;
        const words = kind === 'first' ? 'first writes' : 'further writes';
        for (const count of some) {
          for (const side of COMPARED) {
            const wanted = side === 'LVM thin' ? { atLeast: 1 } : count === 16 ? { atLeast: 8 } : undefined;
            figures.push({
              what: `${name}, ${words}, ${plural(count)}, IOPS`,
              ours: 'snapmerge',
              against: side,
              ratio: ratiosOf(iops(found, 'snapmerge', count, job), iops(found, side, count, job)),
              ...(kind === 'first' && wanted !== undefined ? { wanted } : {}),
            });
          }
        }
        if (kind === 'again') continue;
        figures.push({
          what: `${name}, first writes, 16 snapshots, IOPS`,
          ours: 'snapmerge',
          against: 'snapmerge with 1 snapshot',
          ratio: ratiosOf(iops(found, 'snapmerge', 16, job), iops(found, 'snapmerge', 1, job)),
          wanted: { atLeast: 0.9 },
        });
        for (const side of COMPARED) {
          figures.push({
            what: `${name}, first writes, 16 snapshots, p99 latency`,
            ours: 'snapmerge',
            against: side,
            ratio: ratiosOf(p99(found, 'snapmerge', 16, job), p99(found, side, 16, job)),
          });
        }
      }
    }
    return figures;
  };
  const found = await inTurn<string, Measured>(
    { least, most },
    contenders.map((one) => [
      keyOf(one.side, one.snapshots),
      async (round) => {
        if (one.side === 'linear') say(`round ${round + 1}`);
        return measure(place, patterns, one, round);
      },
    ]),
    (sofar) => isSettled(figuresOf(sofar)),
  );
  const plot = (kind: 'first' | 'again', { name }: Pattern): Plot => ({
    name: `${kind}-writes-${name.replace(' ', '-').toLowerCase()}`,
    title: `${kind === 'first' ? 'First writes' : 'Further writes'}, ${name}`,
    x: 'snapshots',
    y: 'IOPS, share of a plain linear volume',
    ticks: some.map(String),
    logarithmic: true,
    series: (['snapmerge', ...COMPARED] as const).map((side) => ({
      name: side,
      values: some.map((count) =>
        ratiosOf(iops(found, side, count, `${kind} ${name}`), iops(found, 'linear', 0, `again ${name}`)),
      ),
    })),
  });
  return {
    figures: figuresOf(found),
    notes: [
      `Queue depth 4, O_DIRECT, chunks of 64 KiB on all sides. First writes: ${patterns.map(({ name, writes }) => `${writes} of ${name}`).join(', ')} in each round, each to a chunk of its own; further ones: ${AGAIN_MS} ms over the same places.`,
      quick
        ? '64 snapshots were not measured here.'
        : `With ${MANY_SNAPSHOTS} snapshots fewer first writes (${patterns.map(({ fewWrites }) => fewWrites).join(', ')}): LVM thick copies each ${MANY_SNAPSHOTS} times.`,
    ],
    plots: patterns.map((pattern) => plot('first', pattern)),
  };
}

const plural = (count: number): string => `${count} snapshot${count === 1 ? '' : 's'}`;

export const writes: Row = {
  row: 1,
  title: 'Writes with snapshots',
  wanted:
    'no snapshot: 98 % of linear; 16 snapshots within 10 % of 1; at least 8 times LVM thick at 16; LVM thin reached or passed',
  run,
};
