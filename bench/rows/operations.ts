// Row 4: what an operation takes from the call to its reply, through the driver's socket, against the command by hand: one
// at a time, and many at once against as many commands in a row. Both are started from outside of the machine.

import type { Place } from '../place.ts';
import type { Figure } from '../record.ts';
import type { Found, Rounds } from '../rounds.ts';
import { inTurn, of } from '../rounds.ts';
import type { Bench, Findings, Row } from '../row.ts';
import { isSettled } from '../row.ts';
import { ratiosOf, spreadOf } from '../spread.ts';

const MIB = 64;
const GROWN_MIB = 128;
const MANY = 32;
const BLOCK = { access: 'block' } as const;

const secondsOf = async (work: () => Promise<unknown>): Promise<number> => {
  const startMs = performance.now();
  await work();
  return (performance.now() - startMs) / 1000;
};

/** What is measured, in the order in which one round needs it. */
const OPERATIONS = [
  { name: 'CreateVolume', by: 'lvcreate -Zy -Wy', atMost: 1.3 },
  { name: 'CreateSnapshot', by: 'lvcreate -s', atMost: 1 },
  { name: 'fork', by: 'lvcreate -s', atMost: 1 },
  { name: 'DeleteSnapshot', by: 'lvremove', atMost: 1.3 },
  { name: 'NodeExpandVolume', by: 'lvextend', atMost: 1.3 },
] as const;

type Way = 'snapmerge' | 'by hand';
/** Seconds. */
interface Many {
  readonly created: number;
  readonly snapped: number;
}
type Seconds = Readonly<Record<(typeof OPERATIONS)[number]['name'], number>>;

async function ourRound({ work, csi }: Place, round: number): Promise<Seconds> {
  let id = '';
  let snapshot = '';
  let fork = '';
  const name = `bench-o${round}`;
  const CreateVolume = await secondsOf(async () => {
    id = await work.volume(name, { mib: MIB, ...BLOCK });
  });
  const home = await work.use(id, BLOCK);
  const CreateSnapshot = await secondsOf(async () => {
    snapshot = await work.snapshot(`${name}-s`, id);
  });
  const forking = await secondsOf(async () => {
    fork = await work.volume(`${name}-f`, { mib: MIB, ...BLOCK, snapshot });
  });
  await csi.tell('DeleteVolume', { volume_id: fork });
  const DeleteSnapshot = await secondsOf(() => csi.tell('DeleteSnapshot', { snapshot_id: snapshot }));
  const grown = { volume_id: id, volume_path: home, capacity_range: { required_bytes: GROWN_MIB * 1024 ** 2 } };
  const NodeExpandVolume = await secondsOf(() => csi.tell('NodeExpandVolume', grown));
  await work.leave(id);
  await csi.tell('DeleteVolume', { volume_id: id });
  return { CreateVolume, CreateSnapshot, fork: forking, DeleteSnapshot, NodeExpandVolume };
}

async function byHandRound({ lvm, vg }: Place, round: number): Promise<Seconds> {
  const name = `bench_o${round}`;
  const snapshot = (suffix: string): Promise<string> =>
    lvm('lvcreate', '-qq', '--yes', '--snapshot', '--name', `${name}_${suffix}`, '--size', `${MIB}m`, `${vg}/${name}`);
  const CreateVolume = await secondsOf(() =>
    lvm('lvcreate', '-qq', '--yes', '-Zy', '-Wy', '--name', name, '--size', `${MIB}m`, vg),
  );
  const CreateSnapshot = await secondsOf(() => snapshot('s'));
  // LVM thick has no snapshots of snapshots: a second one of the volume is what an administrator would write into.
  const fork = await secondsOf(() => snapshot('f'));
  await lvm('lvremove', '-qq', '--yes', `${vg}/${name}_f`);
  const DeleteSnapshot = await secondsOf(() => lvm('lvremove', '-qq', '--yes', `${vg}/${name}_s`));
  const NodeExpandVolume = await secondsOf(() =>
    lvm('lvextend', '-qq', '--yes', '--size', `${GROWN_MIB}m`, `${vg}/${name}`),
  );
  await lvm('lvremove', '-qq', '--yes', `${vg}/${name}`);
  return { CreateVolume, CreateSnapshot, fork, DeleteSnapshot, NodeExpandVolume };
}

const names = (count: number, prefix: string): readonly string[] =>
  Array.from({ length: count }, (_, index) => `${prefix}${index}`);

/** Many volumes at once, and a snapshot of each at once. None of them is in use. */
async function ourMany({ work, csi }: Place, count: number): Promise<Many> {
  let ids: readonly string[] = [];
  let snapshots: readonly string[] = [];
  const created = await secondsOf(async () => {
    ids = await Promise.all(names(count, 'bench-m').map((name) => work.volume(name, { mib: MIB, ...BLOCK })));
  });
  const snapped = await secondsOf(async () => {
    snapshots = await Promise.all(ids.map((id, index) => work.snapshot(`bench-ms${index}`, id)));
  });
  await Promise.all(snapshots.map((snapshot_id) => csi.tell('DeleteSnapshot', { snapshot_id })));
  await Promise.all(ids.map((volume_id) => csi.tell('DeleteVolume', { volume_id })));
  return { created, snapped };
}

async function byHandMany({ lvm, vg }: Place, count: number): Promise<Many> {
  const size = ['--size', `${MIB}m`];
  const created = await secondsOf(async () => {
    for (const name of names(count, 'bench_m'))
      await lvm('lvcreate', '-qq', '--yes', '-Zy', '-Wy', '--name', name, ...size, vg);
  });
  const snapped = await secondsOf(async () => {
    for (const name of names(count, 'bench_m')) {
      await lvm('lvcreate', '-qq', '--yes', '--snapshot', '--name', `${name}_s`, ...size, `${vg}/${name}`);
    }
  });
  await lvm('lvremove', '-qq', '--yes', '--force', ...names(count, `${vg}/bench_m`));
  return { created, snapped };
}

async function run({ place, quick, rounds, say }: Bench): Promise<Findings> {
  say('one at a time');
  const figuresOf = (found: Found<Way, Seconds>): readonly Figure[] =>
    OPERATIONS.flatMap(({ name, by, atMost }): readonly Figure[] => {
      const ours = of(found, 'snapmerge').map((seconds) => seconds[name]);
      const theirs = of(found, 'by hand').map((seconds) => seconds[name]);
      return [
        { what: name, ours: 'snapmerge', against: by, ratio: ratiosOf(ours, theirs), wanted: { atMost } },
        { what: name, ours: 'snapmerge', against: 'by itself', ratio: spreadOf(ours), unit: 's' },
      ];
    });
  const single = await inTurn<Way, Seconds>(
    rounds,
    [
      ['snapmerge', (round) => ourRound(place, round)],
      ['by hand', (round) => byHandRound(place, round)],
    ],
    (found) => isSettled(figuresOf(found)),
  );
  const figures = [...figuresOf(single)];
  if (!quick) figures.push(...(await atOnce(place, rounds, say)));
  return {
    figures,
    notes: [
      `Volumes of ${MIB} MiB, raw, in use by a pod when they are snapshotted and expanded (to ${GROWN_MIB} MiB). The driver flushes the disks' caches after each commit and zeroes what it gives out; LVM does neither.`,
      quick ? `${MANY} at once is measured in the full form only.` : `The ${MANY} at once are not in use.`,
    ],
  };
}

async function atOnce(place: Place, rounds: Rounds, say: Bench['say']): Promise<readonly Figure[]> {
  say(`${MANY} at once`);
  const figuresOf = (found: Found<Way, Many>): readonly Figure[] =>
    (
      [
        ['CreateVolume', 'lvcreate -Zy -Wy', 'created'],
        ['CreateSnapshot', 'lvcreate -s', 'snapped'],
      ] as const
    ).map(([name, by, key]) => ({
      what: `${MANY} of ${name} at once`,
      ours: 'snapmerge',
      against: `${by}, ${MANY} in a row`,
      ratio: ratiosOf(
        of(found, 'snapmerge').map((seconds) => seconds[key]),
        of(found, 'by hand').map((seconds) => seconds[key]),
      ),
      wanted: { atMost: 1 },
    }));
  const many = await inTurn<Way, Many>(
    rounds,
    [
      ['snapmerge', () => ourMany(place, MANY)],
      ['by hand', () => byHandMany(place, MANY)],
    ],
    (found) => isSettled(figuresOf(found)),
  );
  return figuresOf(many);
}

export const operations: Row = {
  row: 4,
  title: 'Operations',
  wanted:
    'create 1.3, snapshot 1.0, fork 1.0, delete 1.3, expand 1.3 times the command by hand; many at once no slower than as many by hand in a row',
  run,
};
