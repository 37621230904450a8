// Row 5: from the call of a restore to the first read of what is restored. A volume for each way, changed and rolled back
// once a round.

import type { Rolled, Roller } from '../merges.ts';
import { byCopy, byLvconvert, ours } from '../merges.ts';
import type { Figure, Plot } from '../record.ts';
import { inPart } from '../part.ts';
import type { Found } from '../rounds.ts';
import { inTurn, of } from '../rounds.ts';
import type { Bench, Findings, Row } from '../row.ts';
import { isSettled } from '../row.ts';
import type { Spread } from '../spread.ts';
import { ratiosOf, spreadOf } from '../spread.ts';

const WAYS: readonly (readonly [string, Roller])[] = [
  ['snapmerge', ours(true)],
  ['lvconvert --merge', byLvconvert],
  ['copy over the origin', byCopy],
];

/** From the call of the restore. */
async function firstReadSeconds(volume: Rolled): Promise<number> {
  await volume.change();
  const startMs = performance.now();
  await volume.begin();
  await volume.show();
  const took = (performance.now() - startMs) / 1000;
  await volume.merged();
  return took;
}

/** Of cases that were measured one after the other, in rounds of their own. */
function acrossCases(ours: readonly number[], theirs: readonly number[]): Spread {
  const rounds = Math.min(ours.length, theirs.length);
  return ratiosOf(ours.slice(0, rounds), theirs.slice(0, rounds));
}

async function run({ place, quick, rounds, say }: Bench): Promise<Findings> {
  const cases = [
    ...(quick ? [32, 128] : [64, 512, 2048]).map((mib) => ({ mib, snapshots: 1, to: 'newest' })),
    ...(quick ? [] : [{ mib: 512, snapshots: 8, to: 'eighth' }]),
  ];
  const ways = quick ? WAYS.slice(0, 2) : WAYS;
  const figures: Figure[] = [];
  const seconds = new Map<string, readonly number[]>();
  for (const { mib, snapshots, to } of cases) {
    say(`${mib} MiB, to the ${to}`);
    const what = `${mib} MiB changed, to the ${to}`;
    const figuresOf = (sofar: Found<string, number>): readonly Figure[] =>
      ways.flatMap(([name]): readonly Figure[] => {
        const own = { what, ours: name, against: 'by itself', ratio: spreadOf(of(sofar, name)), unit: 's' };
        if (name === 'snapmerge') return [own];
        const ratio = ratiosOf(of(sofar, 'snapmerge'), of(sofar, name));
        const wanted = name === 'lvconvert --merge' && to === 'newest' ? { wanted: { atMost: 1.2 } } : {};
        return [own, { what, ours: 'snapmerge', against: name, ratio, ...wanted }];
      });
    const found = await inPart(place, async (part) => {
      const volumes: (readonly [string, Rolled])[] = [];
      for (const [name, make] of ways) volumes.push([name, await make(part, { name: `b${mib}${to}`, mib, snapshots })]);
      return inTurn<string, number>(
        rounds,
        volumes.map(([name, volume]) => [name, () => firstReadSeconds(volume)]),
        (sofar) => isSettled(figuresOf(sofar)),
      );
    });
    for (const [name] of ways) seconds.set(`${name}/${mib}/${to}`, of(found, name));
    figures.push(...figuresOf(found));
  }
  const newest = cases.filter(({ to }) => to === 'newest').map(({ mib }) => mib);
  const [least = 0, most = 0] = [newest[0], newest.at(-1)];
  const ourSeconds = (mib: number): readonly number[] => seconds.get(`snapmerge/${mib}/newest`) ?? [];
  figures.push({
    what: `${most} MiB changed, to the newest`,
    ours: 'snapmerge',
    against: `snapmerge with ${least} MiB`,
    ratio: acrossCases(ourSeconds(most), ourSeconds(least)),
    wanted: { atMost: 1.25 },
  });
  const plot: Plot = {
    name: 'restore',
    title: 'From the call of a restore to the first read',
    x: 'MiB changed since the snapshot',
    y: `times what snapmerge takes with ${least} MiB`,
    ticks: newest.map(String),
    logarithmic: true,
    series: ways.map(([name]) => ({
      name,
      values: newest.map((mib) => acrossCases(seconds.get(`${name}/${mib}/newest`) ?? [], ourSeconds(least))),
    })),
  };
  return {
    figures,
    notes: [
      'Ours: StartRestore (the snapshot is kept), NodeStageVolume, NodePublishVolume, one read; the volume is not in use before. `lvconvert --merge --background` and one read; the volume is active before.',
      ...(quick ? [] : ['The copy: dd of the whole volume, which is as large as the change.']),
    ],
    plots: [plot],
  };
}

export const restore: Row = {
  row: 5,
  title: 'Restore',
  wanted: 'the same time however much has changed; to the newest at most 1.2 times the start of `lvconvert --merge`',
  run,
};
