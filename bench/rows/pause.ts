// Row 3: the longest time that a writer waits while a snapshot is taken, one write a millisecond, alone and beside a load
// that writes as fast as it can. The same without a snapshot says what the machine itself does to such a writer.

import { setTimeout as pass } from 'node:timers/promises';
import type { Job } from '../fio.ts';
import { fioArgv, parseFio, resultOf } from '../fio.ts';
import type { Place } from '../place.ts';
import { longestGap as longestIdleGap } from '../quiet.ts';
import type { Figure } from '../record.ts';
import type { Found } from '../rounds.ts';
import { inTurn, of } from '../rounds.ts';
import type { Bench, Findings, Row } from '../row.ts';
import { isSettled } from '../row.ts';
import type { Volume } from '../volume.ts';
import { SIDES } from '../sides.ts';
import { ratiosOf, spreadOf } from '../spread.ts';

const MIB = 64;
/** The writer settles down before anything is counted, and nothing takes longer than the limit. */
const RAMP_MS = 1000;
const LIMIT_MS = 120_000;
const NOTHING_MS = 2500;
const QUIET = 'no snapshot';
const IDLE = 'idle guest';
const PID = '/tmp/bench-writer.pid';
const REPORT = '/tmp/bench-writer.json';
const COMPARED = ['LVM thick', 'LVM thin'] as const;
const NAMES = ['snapmerge', ...COMPARED] as const;

const probe = (device: string): Job => ({
  name: 'probe',
  options: {
    filename: device,
    rw: 'randwrite',
    bs: 4096,
    size: '1M',
    ioengine: 'psync',
    thinktime: 1000,
    time_based: 1,
    runtime: `${LIMIT_MS}ms`,
    ramp_time: `${RAMP_MS}ms`,
  },
});
const load = (device: string): Job => ({
  name: 'load',
  options: {
    filename: device,
    rw: 'randwrite',
    bs: 65536,
    offset: '8M',
    size: '48M',
    iodepth: 8,
    time_based: 1,
    runtime: `${LIMIT_MS}ms`,
    ramp_time: `${RAMP_MS}ms`,
  },
});

/** Milliseconds: the longest write of the writer while `act` runs. */
async function longestGap(
  place: Place,
  { device }: Volume,
  loaded: boolean,
  act: () => Promise<unknown>,
): Promise<number> {
  const argv = fioArgv([probe(device), ...(loaded ? [load(device)] : [])], [`--output=${REPORT}`]);
  // Ended by a signal it writes its report and says that it failed. INT would be ignored in the background of a shell.
  const writer = place.output(['sh', '-c', '"$@" & echo $! >"$0"; wait $! || true', PID, ...argv]);
  // A writer that cannot start is an error at once and not when somebody looks.
  await Promise.race([
    pass(2 * RAMP_MS),
    writer.then(() => Promise.reject(new Error('The writer has ended by itself'))),
  ]);
  await act();
  await place.output(['sh', '-c', 'kill -TERM "$(cat "$0")"', PID]);
  await writer;
  return resultOf(parseFio(await place.output(['cat', REPORT])), 'probe').longestMs;
}

async function run({ place, quick, rounds, say }: Bench): Promise<Findings> {
  const figures: Figure[] = [];
  for (const there of quick ? [0] : [0, 16]) {
    say(`${there} snapshots there`);
    const contenders: (readonly [string, Volume])[] = [];
    for (const side of NAMES) {
      const volume = await SIDES[side](place, { name: `p${String(there).padStart(2, '0')}`, mib: MIB });
      for (let made = 0; made < there; made += 1) await volume.snapshot();
      place.leave(volume.remove);
      contenders.push([side, volume]);
    }
    for (const loaded of quick ? [false] : [false, true]) {
      say(loaded ? 'beside a load' : 'alone');
      const taken = contenders.map(([side, volume]) => {
        const measure = async (): Promise<number> => {
          const gapMs = await longestGap(place, volume, loaded, volume.snapshot);
          // The next round is to find as many as this one.
          await volume.drop();
          return gapMs;
        };
        return [side, measure] as const;
      });
      const quiet = contenders.slice(0, 1).map(([, volume]) => {
        const measure = (): Promise<number> => longestGap(place, volume, loaded, () => pass(NOTHING_MS));
        return [QUIET, measure] as const;
      });
      const what = `${there} snapshots there, ${loaded ? 'beside a load' : 'alone'}`;
      const figuresOf = (found: Found<string, number>): readonly Figure[] => [
        ...COMPARED.map((side): Figure => ({
          what,
          ours: 'snapmerge',
          against: side,
          ratio: ratiosOf(of(found, 'snapmerge'), of(found, side)),
          ...(side === 'LVM thick' ? { wanted: { atMost: 0.5 } } : {}),
        })),
        ...[...NAMES, QUIET, IDLE].map((side): Figure => ({
          what,
          ours: side,
          against: 'longest wait',
          ratio: spreadOf(of(found, side)),
          unit: 'ms',
        })),
      ];
      const idle = [IDLE, () => longestIdleGap(place, NOTHING_MS)] as const;
      const found = await inTurn<string, number>(rounds, [...taken, ...quiet, idle], (sofar) =>
        isSettled(figuresOf(sofar)),
      );
      figures.push(...figuresOf(found));
    }
  }
  return {
    figures,
    notes: [
      'A raw volume, 4 KiB with O_DIRECT each millisecond; the load writes 64 KiB at random at queue depth 8. `no snapshot` is the same writer with nothing going on; `idle guest` is how late a process that only sleeps wakes up, without a writer.',
    ],
  };
}

export const pause: Row = {
  row: 3,
  title: 'The pause of a snapshot',
  wanted: 'at most half of `lvcreate --snapshot`',
  run,
};
