// Row 2: reads of a volume that has many snapshots, of its newest and oldest one, and of a fork, against the same on LVM's
// snapshots and a linear volume.

import type { Job, JobResult } from '../fio.ts';
import { fioArgv, parseFio, resultOf } from '../fio.ts';
import type { Figure } from '../record.ts';
import type { Found } from '../rounds.ts';
import { inTurn, of } from '../rounds.ts';
import type { Bench, Findings, Row } from '../row.ts';
import { isSettled } from '../row.ts';
import { SIDES } from '../sides.ts';
import { ratiosOf } from '../spread.ts';

const MIB = 32;
const RUN_MS = { quick: 300, full: 600 } as const;
/** A part is overwritten after the last snapshot, so that images read both from stores and through to the volume. */
const CHANGED_MIB = 8;

async function run({ place, quick, rounds, say }: Bench): Promise<Findings> {
  const runMs = quick ? RUN_MS.quick : RUN_MS.full;
  const count = quick ? 4 : 64;
  const linear = await SIDES.linear(place, { name: 'r', mib: MIB });
  const devices: (readonly [string, string])[] = [['linear', linear.device]];
  place.leave(linear.remove);
  for (const side of ['snapmerge', 'LVM thick', 'LVM thin'] as const) {
    say(`${count} snapshots of ${side}`);
    const volume = await SIDES[side](place, { name: 'r', mib: MIB });
    place.leave(volume.remove);
    for (let made = 0; made < count; made += 1) await volume.snapshot();
    await place.output([
      'dd',
      'if=/dev/zero',
      `of=${volume.device}`,
      'bs=1M',
      `count=${CHANGED_MIB}`,
      'oflag=direct',
      'conv=notrunc',
      'status=none',
    ]);
    devices.push([`${side} volume`, volume.device]);
    for (const [image, device] of Object.entries(await volume.images())) devices.push([`${side} ${image}`, device]);
  }
  const wanted = [['randread 4k', 'random 4k'] as const, ...(quick ? [] : [['read 1M', 'sequential 1M'] as const])];
  const jobs = (device: string): readonly Job[] =>
    wanted.map(([name]) => {
      const [rw = '', bs = ''] = name.split(' ');
      return {
        name,
        options: { stonewall: 1, filename: device, rw, bs, time_based: 1, runtime: `${runMs}ms`, size: `${MIB}M` },
      };
    });
  const figuresOf = (found: Found<string, ReadonlyMap<string, JobResult>>): readonly Figure[] => {
    const iops = (name: string, job: string): readonly number[] =>
      of(found, name).map((results) => resultOf(results, job).iops);
    const figures: Figure[] = [];
    for (const [job, words] of wanted) {
      for (const [name] of devices) {
        if (name === 'linear') continue;
        const [side, image] = [name.slice(0, name.lastIndexOf(' ')), name.slice(name.lastIndexOf(' ') + 1)];
        figures.push({
          what: `${words}, ${image === 'volume' ? `volume with ${count} snapshots` : image === 'fork' ? 'fork of the newest' : `${image} of ${count} snapshots`}`,
          ours: side,
          against: 'linear',
          ratio: ratiosOf(iops(name, job), iops('linear', job)),
          ...(name === 'snapmerge volume' ? { wanted: { atLeast: 0.98 } } : {}),
        });
      }
    }
    return figures;
  };
  const found = await inTurn<string, ReadonlyMap<string, JobResult>>(
    rounds,
    devices.map(([name, device]) => [name, async () => parseFio(await place.output(fioArgv(jobs(device))))]),
    (sofar) => isSettled(figuresOf(sofar)),
  );
  return {
    figures: figuresOf(found),
    notes: [
      `Queue depth 4, O_DIRECT, ${runMs} ms each. IOPS. A quarter of the volume was overwritten after the newest snapshot.`,
    ],
  };
}

export const reads: Row = { row: 2, title: 'Reads', wanted: 'volume: 98 % of linear', run };
