// How quiet the machine is before and after a row: the same job measured against itself, where nothing but the machine can make
// a difference, and how late an idle process wakes up.

import { fioArgv, parseFio, resultOf } from './fio.ts';
import type { Place } from './place.ts';
import type { Quiet } from './record.ts';
import { inTurn, of } from './rounds.ts';
import { spreadOf } from './spread.ts';

const ROUNDS = { least: 5, most: 5 };
const RUN_MS = 200;
const MIB = 16;
const BARE = 'bench_null';
const ZERO = 'bench-zero';
const SECTORS_A_MIB = 2048;
const IDLE_MS = 2000;

/** Sleeps for a millisecond again and again, and prints the longest time beyond that. */
const SLEEPER = `
const cell = new Int32Array(new SharedArrayBuffer(4));
const end = performance.now() + Number(process.argv[1]);
let last = performance.now(), worst = 0;
while (last < end) {
  Atomics.wait(cell, 0, 0, 1);
  const now = performance.now();
  worst = Math.max(worst, now - last - 1);
  last = now;
}
console.log(worst);
`;

/** Milliseconds by which a process that slept for one came late, at worst. */
export async function longestGap({ output }: Pick<Place, 'output'>, idleMs = IDLE_MS): Promise<number> {
  return Number(await output(['node', '-e', SLEEPER, String(idleMs)]));
}

async function iopsOf({ output }: Place, device: string): Promise<number> {
  const options = {
    filename: device,
    rw: 'randwrite',
    bs: 4096,
    size: `${MIB}M`,
    time_based: 1,
    runtime: `${RUN_MS}ms`,
  };
  return resultOf(parseFio(await output(fioArgv([{ name: 'null', options }]))), 'null').iops;
}

/** Round by round. */
async function againstItself(place: Place, device: string): Promise<readonly number[]> {
  const measure = (): Promise<number> => iopsOf(place, device);
  const found = await inTurn(ROUNDS, [
    ['one', measure],
    ['other', measure],
  ]);
  return of(found, 'one').map((iops, round) => iops / (of(found, 'other')[round] ?? NaN));
}

interface Look {
  readonly bare: readonly number[];
  readonly zero: readonly number[];
  readonly gapMs: number;
}

export async function lookForQuiet(place: Place): Promise<Look> {
  const { lvm, output, vg } = place;
  await lvm('lvcreate', '-qq', '--yes', '-Wn', '-Zn', '--size', `${MIB}m`, '--name', BARE, vg);
  await output(['dmsetup', 'create', ZERO, '--table', `0 ${MIB * SECTORS_A_MIB} zero`]);
  const bare = await againstItself(place, `/dev/${vg}/${BARE}`);
  const zero = await againstItself(place, `/dev/mapper/${ZERO}`);
  await output(['dmsetup', 'remove', ZERO]);
  await lvm('lvremove', '-qq', '--yes', `${vg}/${BARE}`);
  return { bare, zero, gapMs: await longestGap(place) };
}

/** Of looks before and after. */
export function quietOf(looks: readonly Look[]): Quiet {
  return {
    nulls: [
      { what: 'a bare device', ratio: spreadOf(looks.flatMap(({ bare }) => bare)) },
      { what: 'dm-zero', ratio: spreadOf(looks.flatMap(({ zero }) => zero)) },
    ],
    gapMs: Math.max(...looks.map(({ gapMs }) => gapMs)),
  };
}
