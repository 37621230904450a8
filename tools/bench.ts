// `./dev bench`: snapmerge beside LVM's snapshots and thin volumes, as ratios within one run. It ends well however slow the
// machine is: figures are for reading, not for passing.

import { generated } from '../bench/page.ts';
import { ROWS, runRows, writePage, writtenRecords } from '../bench/bench.ts';
import { chooseNativeBed } from '../vm/bed.ts';
import type { BedKind } from '../vm/state.ts';
import { ToolError } from './fault.ts';
import { count, readOptions } from './options.ts';
import { say } from './progress.ts';

const GIB = 1024 ** 3;
const LEAST_ROUNDS = 5;
/** What is unclear after the first rounds gets so many times as many at most. */
const MOST_TIMES = 4;
/** What a row has on the disks at most. */
const NEED_BYTES = { quick: 4 * GIB, full: 14 * GIB } as const;
/** Rows of the short form beside each other, in guests of one processor each. The full form has the machine to itself. */
const QUICK_LANES = 2;

const USAGE = `usage: ./dev bench [OPTIONS]
  --quick          a smaller matrix of every row, two rows at a time: some ten minutes
  --rows 1,3       only these: ${ROWS.map(({ row, title }) => `${row} ${title.toLowerCase()}`).join(', ')}
  --rounds COUNT   of each comparison, at least ${LEAST_ROUNDS} (${LEAST_ROUNDS}); what is unclear then gets up to ${MOST_TIMES} times as many
  --write          put the table and the plots of all rows in dist/bench into docs/benchmarks.md, in full where they were
                   measured so and otherwise in their short form
  --host           on this machine itself instead of in a guest: it needs device-mapper and root
A run prints its table and leaves each row's figures in dist/bench.`;

const chosenRows = (text: string | undefined) => {
  if (text === undefined) return ROWS;
  const wanted = text.split(',');
  const unknown = wanted.find((word) => !ROWS.some(({ row }) => String(row) === word));
  if (unknown !== undefined) throw new ToolError(`Cannot measure row '${unknown}': there are 1 to ${ROWS.length}`);
  return ROWS.filter(({ row }) => wanted.includes(String(row)));
};

const saidBed = async (): Promise<BedKind> => {
  const { kind, about } = await chooseNativeBed();
  say(about);
  return kind;
};

export const bench = async (args: readonly string[]): Promise<number> => {
  const options = readOptions(USAGE, args, {
    quick: { type: 'boolean', default: false },
    host: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    rows: { type: 'string' },
    rounds: { type: 'string', default: String(LEAST_ROUNDS) },
    help: { type: 'boolean', default: false },
  });
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const rounds = count('rounds', options.rounds);
  if (rounds < LEAST_ROUNDS)
    throw new ToolError(`Cannot use --rounds ${rounds}: fewer than ${LEAST_ROUNDS} tell no spread`);
  const { quick } = options;
  const rows = chosenRows(options.rows);
  const needBytes = quick ? NEED_BYTES.quick : NEED_BYTES.full;
  const lanes = quick && !options.host ? QUICK_LANES : 1;
  const bed = options.host ? undefined : await saidBed();
  const open =
    bed === undefined
      ? async () => (await import('../bench/host-place.ts')).hostPlace(needBytes)
      : async (lane: number) =>
          (await import('../bench/guest-place.ts')).guestPlace({ name: `bench-${lane}`, bed }, needBytes);
  if (bed !== undefined) await (await import('../bench/guest-place.ts')).needsMemory(bed, needBytes, lanes);
  const { records, failures } = await runRows({
    open,
    lanes,
    rows,
    quick,
    rounds: { least: rounds, most: MOST_TIMES * rounds },
    say,
  });
  if (records.length > 0) process.stdout.write(`${generated(records, rows)}\n`);
  if (options.write) await writePage(await writtenRecords());
  if (failures.length > 0) throw new ToolError(`Cannot measure all rows:\n${failures.join('\n')}`);
  return 0;
};
