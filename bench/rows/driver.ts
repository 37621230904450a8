// Row 8: what the driver takes by itself with many volumes and snapshots, none of them in use: memory, processor time when
// nothing is asked of it, the time from its start until it serves, and what its dormant snapshots leave in the kernel.

import { setTimeout as pass } from 'node:timers/promises';
import { z } from 'zod';
import { repeated } from '../metadata.ts';
import type { Place } from '../place.ts';
import type { Figure } from '../record.ts';
import type { Found } from '../rounds.ts';
import { inTurn, of } from '../rounds.ts';
import type { Bench, Findings, Row } from '../row.ts';
import { isSettled } from '../row.ts';
import { ratiosOf, spreadOf } from '../spread.ts';

const MIB = 1024 ** 2;
/** What `getconf CLK_TCK` says on every Linux that Node runs on. */
const TICKS_A_SECOND = 100;
const IDLE_MS = { quick: 5000, full: 20_000 } as const;
const SNAPSHOTS_EACH = 2;
const METADATA = '/tmp/bench-metadata';

async function residentMib(place: Place): Promise<number> {
  const status = await place.output(['cat', `/proc/${await place.driverPid()}/status`]);
  return (Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024) / MIB;
}

/** Of one processor, as a share, its children's included. */
async function idleShare(place: Place, idleMs: number): Promise<number> {
  const ticks = async (): Promise<number> => {
    const stat = await place.output(['cat', `/proc/${await place.driverPid()}/stat`]);
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  };
  const [before, startMs] = [await ticks(), performance.now()];
  await pass(idleMs);
  const spent = (await ticks()) - before;
  return spent / TICKS_A_SECOND / ((performance.now() - startMs) / 1000);
}

const listed = z.object({ entries: z.array(z.unknown()) });

/** One volume with its snapshots by the driver itself, and all others as LVM's metadata says of that one. */
async function populate({ work, csi, lvm, output, restartDriver, vg, leave }: Place, count: number): Promise<void> {
  const volume = await work.volume('bench-many', { mib: 4, access: 'block' });
  for (let index = 0; index < SNAPSHOTS_EACH; index += 1) await work.snapshot(`bench-many-${index}`, volume);
  await lvm('vgcfgbackup', '-qq', '--file', METADATA, vg);
  const before = await output(['cat', METADATA]);
  leave(async () => {
    await output(['dd', `of=${METADATA}`, 'status=none'], repeated(before, 0));
    await lvm('vgcfgrestore', '-qq', '--yes', '--file', METADATA, vg);
  });
  await output(['dd', `of=${METADATA}`, 'status=none'], repeated(before, count));
  await lvm('vgcfgrestore', '-qq', '--yes', '--file', METADATA, vg);
  await restartDriver();
  const volumes = (await csi.call('ListVolumes', {}, listed)).entries.length;
  const snapshots = (await csi.call('ListSnapshots', {}, listed)).entries.length;
  if (volumes !== count || snapshots !== count * SNAPSHOTS_EACH) {
    throw new Error(
      `Cannot measure: the driver sees ${volumes} volumes and ${snapshots} snapshots of ${count} times ${SNAPSHOTS_EACH}`,
    );
  }
}

const ours = (place: Place): Promise<number> =>
  place.output(['sh', '-c', 'dmsetup ls | grep -c ^snapmerge- || true']).then(Number);

async function run({ place, quick, rounds, say }: Bench): Promise<Findings> {
  const count = quick ? 100 : 1000;
  say(`making ${count} volumes with ${SNAPSHOTS_EACH} snapshots each`);
  await populate(place, count);
  say('starting the driver again and again');
  const what = `${count} volumes, ${count * SNAPSHOTS_EACH} snapshots`;
  const our = 'snapmerge';
  const figuresOf = (found: Found<string, number>): readonly Figure[] => [
    {
      what: `${what}: start until it serves`,
      ours: our,
      against: 'one lvs',
      ratio: ratiosOf(of(found, 'start'), of(found, 'lvs')),
      wanted: { atMost: 3 },
    },
    {
      what: `${what}: resident memory`,
      ours: our,
      against: 'by itself',
      ratio: spreadOf(of(found, 'memory')),
      unit: 'MiB',
      wanted: { atMost: 150 },
    },
    {
      what: `${what}: processor when idle`,
      ours: our,
      against: 'of one core',
      ratio: spreadOf(of(found, 'idle')),
      wanted: { atMost: 0.005 },
    },
    {
      what: `${what}: devices of dormant snapshots`,
      ours: our,
      against: 'in the kernel',
      ratio: spreadOf(of(found, 'devices')),
      unit: 'devices',
      wanted: { atMost: 0, always: true },
    },
  ];
  const found = await inTurn<string, number>(
    rounds,
    [
      [
        'start',
        async () => {
          const startMs = performance.now();
          await place.restartDriver();
          return (performance.now() - startMs) / 1000;
        },
      ],
      [
        'lvs',
        async () => {
          const startMs = performance.now();
          await place.lvm('lvs', '--noheadings', '--options', 'lv_name,lv_size,lv_tags', place.vg);
          return (performance.now() - startMs) / 1000;
        },
      ],
      ['memory', () => residentMib(place)],
      ['idle', () => idleShare(place, quick ? IDLE_MS.quick : IDLE_MS.full)],
      ['devices', () => ours(place)],
    ],
    (sofar) => isSettled(figuresOf(sofar)),
  );
  return {
    figures: figuresOf(found),
    notes: [
      'None of them in use. The driver is killed, and started again by what watches it; the second for which that waits on purpose is in the figure.',
    ],
  };
}

export const driver: Row = {
  row: 8,
  title: 'The driver itself',
  wanted:
    'under 150 MiB, 0.5 % of a core when idle, 3 times one lvs to start, nothing in the kernel for a dormant snapshot',
  run,
};
