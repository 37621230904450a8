// Row 9: a writer at full speed into a volume whose newest snapshot has a small store: how much of its time it waited, and
// whether the snapshot is still there. Against LVM thick, whose dmeventd extends what fills.

import type { Job } from '../fio.ts';
import { fioArgv, parseFio } from '../fio.ts';
import type { Place } from '../place.ts';
import type { Figure } from '../record.ts';
import type { Found } from '../rounds.ts';
import { inTurn, of } from '../rounds.ts';
import type { Bench, Findings, Row } from '../row.ts';
import { isSettled } from '../row.ts';
import type { SideName } from '../sides.ts';
import type { Volume } from '../volume.ts';
import { SIDES } from '../sides.ts';
import { spreadOf } from '../spread.ts';

/** dmeventd does nothing unless it is told to; this is what LVM's own manual gives as an example. */
const AUTOEXTEND = 'activation {\n snapshot_autoextend_threshold=70\n snapshot_autoextend_percent=20\n}\n';
const LVM_LOCAL = '/etc/lvm/lvmlocal.conf';
const LOG = '/tmp/bench-full';
/** A write that took so many times the median did not only write. */
const WAITED_TIMES = 10;

interface Written {
  /** Of its time, in writes that took ten times the median. */
  readonly waited: number;
  readonly lost: number;
}

/** Lines of fio's latency log: milliseconds, nanoseconds of the write, and more. */
export function waitedShare(log: string): number {
  const latencies = log
    .split('\n')
    .map((line) => Number(line.split(',')[1]))
    .filter((value) => Number.isFinite(value));
  const sorted = latencies.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  if (median === undefined) throw new Error('Cannot tell how long the writer waited: fio wrote no log');
  const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
  return sum(latencies.filter((value) => value > WAITED_TIMES * median)) / sum(latencies);
}

async function write(place: Place, volume: Volume, mib: number): Promise<number> {
  const options = {
    filename: volume.device,
    rw: 'write',
    bs: 1024 ** 2,
    size: `${mib}M`,
    iodepth: 1,
    write_lat_log: LOG,
  };
  const job: Job = { name: 'full', options };
  parseFio(await place.output(fioArgv([job], ['--log_avg_msec=0'])));
  return waitedShare(await place.output(['cat', `${LOG}_lat.1.log`]));
}

/** `dmsetup` says `Invalid` of a snapshot that the kernel has given up. */
async function invalid(place: Place): Promise<number> {
  const status = await place.output(['dmsetup', 'status', '--noflush', '--target', 'snapshot']);
  return status.split('\n').filter((line) => /snapshot (Invalid|Overflow)$/.test(line)).length;
}

/** A comparison with one that does not watch would be unfair. */
async function watchedByDmeventd(place: Place): Promise<void> {
  const states = await place.lvm('lvs', '--noheadings', '--options', 'seg_monitor', place.vg);
  if (!/^\s*monitored\s*$/m.test(states)) throw new Error('Cannot compare: dmeventd does not watch the snapshot');
}

async function run({ place, quick, rounds, say }: Bench): Promise<Findings> {
  const [mib, storeMib] = quick ? [1024, 512] : [1536, 512];
  if (place.about.where === 'guest') await place.output(['dd', `of=${LVM_LOCAL}`, 'status=none'], AUTOEXTEND);
  const sides: readonly SideName[] = place.about.where === 'guest' ? ['snapmerge', 'LVM thick'] : ['snapmerge'];
  const figuresOf = (found: Found<SideName, Written>): readonly Figure[] =>
    sides.flatMap((side): readonly Figure[] => {
      const written = of(found, side);
      const lost = written.map((one) => one.lost);
      const name = side === 'LVM thick' ? 'LVM thick with dmeventd' : side;
      const wanted = side === 'snapmerge';
      return [
        {
          what: 'snapshots lost in a round',
          ours: name,
          against: 'of one',
          ratio: spreadOf(lost),
          ...(wanted ? { wanted: { atMost: 0, always: true } } : {}),
        },
        {
          what: 'time that the writer waited',
          ours: name,
          against: 'of all its time',
          ratio: spreadOf(written.map(({ waited }) => waited)),
          ...(wanted ? { wanted: { atMost: 0.01 } } : {}),
        },
      ];
    });
  const found = await inTurn<SideName, Written>(
    rounds,
    sides.map((side) => [
      side,
      async (round): Promise<Written> => {
        say(`round ${round + 1}: ${side}`);
        const volume = await SIDES[side](place, { name: 'f', mib, storeMib });
        await volume.snapshot();
        if (side === 'LVM thick') await watchedByDmeventd(place);
        const waited = await write(place, volume, mib);
        const lost = await invalid(place);
        await volume.remove();
        return { waited, lost };
      },
    ]),
    (sofar) => isSettled(figuresOf(sofar)),
  );
  if (place.about.where === 'guest') await place.output(['rm', LVM_LOCAL]);
  return {
    figures: figuresOf(found),
    notes: [
      `A volume of ${mib} MiB, overwritten from one end to the other by 1 MiB at a time at queue depth 1, and a snapshot with a store of ${storeMib} MiB. Waited: writes that took more than ${WAITED_TIMES} times the median.`,
      ...(sides.length === 1 ? ["LVM's side would change this machine's lvm.conf and was left out."] : []),
    ],
  };
}

export const full: Row = {
  row: 9,
  title: 'A store that fills',
  wanted: 'the writer waits under 1 % of its time; no snapshot is lost',
  run,
};
