// Row 7: what the same writes take beyond the volume itself, by the number of snapshots.

import { fioArgv, parseFio, replayLog, shuffled } from '../fio.ts';
import type { Figure, Plot } from '../record.ts';
import { inTurn, of } from '../rounds.ts';
import type { Bench, Findings, Row } from '../row.ts';
import { SIDES } from '../sides.ts';
import type { Volume } from '../volume.ts';
import { CHUNK_BYTES } from '../volume.ts';
import { spreadOf } from '../spread.ts';

const MIB = 1024 ** 2;
const CHUNKS = 32;
const NAMES = ['snapmerge', 'LVM thick', 'LVM thin'] as const;
const LOG = '/tmp/bench-space.log';

async function run({ place, quick, rounds: { least: rounds }, say }: Bench): Promise<Findings> {
  const counts = quick ? [1, 4] : [1, 4, 16];
  const figures: Figure[] = [];
  const lines = new Map<string, (readonly [number, ReturnType<typeof spreadOf>])[]>();
  for (const count of counts) {
    say(`${count} snapshots`);
    const volumes = new Map<string, Volume>();
    const mib = Math.ceil((rounds * CHUNKS * CHUNK_BYTES) / MIB) + 1;
    for (const side of NAMES) {
      const volume = await SIDES[side](place, { name: `s${String(count).padStart(2, '0')}`, mib });
      for (let made = 0; made < count; made += 1) await volume.snapshot();
      place.leave(volume.remove);
      volumes.set(side, volume);
    }
    // The same in every round: more of them would say no more.
    const found = await inTurn(
      { least: rounds, most: rounds },
      [...volumes].map(([side, volume]) => [
        side,
        async (round) => {
          const before = await volume.spentBytes();
          const offsets = shuffled(CHUNKS).map((index) => (round * CHUNKS + index) * CHUNK_BYTES);
          await place.output(['dd', `of=${LOG}`, 'status=none'], replayLog(volume.device, offsets, CHUNK_BYTES));
          parseFio(await place.output(fioArgv([{ name: 'space', options: { read_iolog: LOG, replay_no_stall: 1 } }])));
          return ((await volume.spentBytes()) - before) / (CHUNKS * CHUNK_BYTES);
        },
      ]),
    );
    for (const side of NAMES) {
      const spread = spreadOf(of(found, side));
      figures.push({
        what: `${count} snapshot${count === 1 ? '' : 's'}: space for each byte overwritten`,
        ours: side,
        against: 'what was written',
        ratio: spread,
        ...(side === 'snapmerge' ? { wanted: { atMost: 1.1 } } : {}),
      });
      lines.set(side, [...(lines.get(side) ?? []), [count, spread]]);
    }
  }
  const plot: Plot = {
    name: 'space',
    title: 'Space for what is overwritten',
    x: 'snapshots',
    y: 'bytes taken for each byte overwritten',
    ticks: counts.map(String),
    logarithmic: true,
    series: NAMES.map((name) => ({ name, values: (lines.get(name) ?? []).map(([, spread]) => spread) })),
  };
  return {
    figures,
    notes: [
      `${CHUNKS} whole chunks of 64 KiB in each round. Metadata is counted for snapmerge and LVM thick, which keep it in the store; LVM thin's is apart.`,
    ],
    plots: [plot],
  };
}

export const space: Row = {
  row: 7,
  title: 'Space',
  wanted: 'what is overwritten is kept once, not once for each snapshot',
  run,
};
