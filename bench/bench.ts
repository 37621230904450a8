// The bench from beginning to end: rows one after the other in one place, each written down as soon as it is measured, and
// the page made of all that is written down.

import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../src/vocabulary/errors.ts';
import type { Place } from './place.ts';
import { generated, withGenerated } from './page.ts';
import { svgOf } from './plot.ts';
import { lookForQuiet, quietOf } from './quiet.ts';
import type { RowRecord } from './record.ts';
import { record } from './record.ts';
import type { Rounds } from './rounds.ts';
import type { Row } from './row.ts';
import { driver } from './rows/driver.ts';
import { full } from './rows/full.ts';
import { merge } from './rows/merge.ts';
import { operations } from './rows/operations.ts';
import { pause } from './rows/pause.ts';
import { reads } from './rows/reads.ts';
import { restore } from './rows/restore.ts';
import { space } from './rows/space.ts';
import { writes } from './rows/writes.ts';

/** In the order in which they tell most, should the run be broken off. */
export const ROWS: readonly Row[] = [writes, pause, operations, restore, merge, space, reads, driver, full];

const RECORDS = 'dist/bench';
const PAGE = 'docs/benchmarks.md';
const PLOTS = 'docs/benchmarks';

export interface RunOptions {
  /** A place of its own for each row: what one leaves lying costs the next nothing. */
  readonly open: (lane: number) => Promise<Place>;
  /** So many rows at once, each in its place. */
  readonly lanes: number;
  readonly rows: readonly Row[];
  readonly quick: boolean;
  readonly rounds: Rounds;
  readonly say: (line: string) => void;
}

const load = (): number => loadavg()[0] ?? NaN;

async function runRow(row: Row, lane: number, { open, quick, rounds, say }: RunOptions): Promise<RowRecord> {
  const place = await open(lane);
  try {
    const [startMs, loadBefore] = [performance.now(), load()];
    const before = await lookForQuiet(place);
    const found = await row.run({ place, quick, rounds, say: (line) => say(`row ${row.row}: ${line}`) });
    return {
      row: row.row,
      title: row.title,
      wanted: row.wanted,
      quick,
      day: new Date().toISOString().slice(0, 10),
      seconds: (performance.now() - startMs) / 1000,
      load: [loadBefore, load()],
      cores: cpus().length,
      about: place.about,
      quiet: quietOf([before, await lookForQuiet(place)]),
      figures: [...found.figures],
      notes: [...found.notes],
      plots: [...(found.plots ?? [])],
    };
  } finally {
    await place.close();
  }
}

const recordName = (row: number, quick: boolean): string => `${quick ? 'quick-' : ''}row-${row}.json`;

export interface Run {
  readonly records: readonly RowRecord[];
  /** Rows that could not be measured, with the reason. */
  readonly failures: readonly string[];
}

/** Runs the rows. One that cannot be measured leaves the others alone. */
export async function runRows(options: RunOptions): Promise<Run> {
  await mkdir(RECORDS, { recursive: true });
  const records: RowRecord[] = [];
  const failures: string[] = [];
  const waiting = [...options.rows];
  const inLane = async (lane: number): Promise<void> => {
    for (let row = waiting.shift(); row !== undefined; row = waiting.shift()) {
      try {
        const one = await runRow(row, lane, options);
        await writeFile(join(RECORDS, recordName(row.row, options.quick)), `${JSON.stringify(one, null, 2)}\n`);
        options.say(`row ${row.row}, ${row.title}: ${Math.round(one.seconds)} s`);
        records.push(one);
      } catch (error) {
        options.say(`row ${row.row}, ${row.title}: ${messageOf(error)}`);
        failures.push(`${row.row}: ${messageOf(error)}`);
      }
    }
  };
  await Promise.all(Array.from({ length: options.lanes }, (_, lane) => inLane(lane)));
  return { records, failures };
}

/** What was written down last of each row: in full where it was measured so, otherwise in its short form. */
export async function writtenRecords(): Promise<readonly RowRecord[]> {
  const names = await readdir(RECORDS);
  const found = ROWS.flatMap(({ row }) =>
    [recordName(row, false), recordName(row, true)].filter((name) => names.includes(name)).slice(0, 1),
  );
  return Promise.all(found.map(async (name) => record.parse(JSON.parse(await readFile(join(RECORDS, name), 'utf8')))));
}

/** Table and plots into docs. */
export async function writePage(records: readonly RowRecord[]): Promise<void> {
  const page = await readFile(PAGE, 'utf8');
  await writeFile(PAGE, withGenerated(page, generated(records, ROWS)));
  await mkdir(PLOTS, { recursive: true });
  for (const plot of records.flatMap(({ plots }) => plots))
    await writeFile(join(PLOTS, `${plot.name}.svg`), svgOf(plot));
}
