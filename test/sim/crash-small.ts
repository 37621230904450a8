// Small spaces, enumerated: every family of up to four members that can be made by snapshots and forks, every operation that
// can be asked of it, and the same while a restore of it merges. Values only; crash-run.ts does them.

import { isSnapshotId, isVolumeId } from '../../src/ids.ts';
import { bytes, kib } from '../../src/units.ts';
import type { Write } from '../contract/crash-operation.ts';
import type { NamedSnapshot, NamedVolume, Operation } from '../contract/crash-operation.ts';
import type { Chosen, Present } from './crash-run.ts';

const SIZE = kib(512);
const MOST_MEMBERS = 4;
const PARAMETERS = {
  layout: 'linear',
  chunk: kib(16),
  snapshotReservePercent: 10,
  onFull: 'wait',
  scratch: false,
} as const;

/** A family as it is made: each member but the first is a snapshot of a volume, or a fork of a snapshot, by name. */
interface Member {
  readonly name: string;
  readonly of: string | undefined;
}
export type Tree = readonly Member[];

const isVolume = ({ name }: Member): boolean => name.startsWith('V');

/** All of them, the smaller first. */
export function trees(): readonly Tree[] {
  const all: Tree[] = [[{ name: 'V1', of: undefined }]];
  for (const tree of all) {
    if (tree.length === MOST_MEMBERS) break;
    const next = tree.length + 1;
    for (const member of tree) all.push([...tree, { name: `${isVolume(member) ? 'S' : 'V'}${next}`, of: member.name }]);
  }
  return all;
}

/** An operation that knows its members only by their names, until they are there. */
type Named = (present: Present) => Operation | undefined;

export interface Scene {
  readonly title: string;
  /** The last one is the one that crashes. */
  readonly operations: readonly Named[];
}

const volume = ({ shown }: Present, name: string): NamedVolume => {
  const id = shown.get(name)?.id;
  if (id === undefined || !isVolumeId(id)) throw new Error(`Cannot find volume '${name}'`);
  return { name, id };
};
const snapshot = ({ shown }: Present, name: string): NamedSnapshot => {
  const id = shown.get(name)?.id;
  if (id === undefined || !isSnapshotId(id)) throw new Error(`Cannot find snapshot '${name}'`);
  return { name, id };
};
const named = (present: Present, name: string): NamedVolume | NamedSnapshot =>
  name.startsWith('V') ? volume(present, name) : snapshot(present, name);

const create =
  (name: string, from?: string, size = SIZE): Named =>
  (present) => ({
    do: 'create',
    name,
    size,
    parameters: PARAMETERS,
    from: from === undefined ? undefined : named(present, from),
  });
const on =
  (kind: 'activate' | 'deactivate', name: string): Named =>
  (present) => ({ do: kind, volume: volume(present, name) });
const take =
  (name: string, of: string): Named =>
  (present) => ({ do: 'snapshot', name, volume: volume(present, of), unflushed: undefined });
const remove =
  (name: string): Named =>
  (present) => ({ do: 'delete', what: named(present, name) });
const expand =
  (name: string): Named =>
  (present) => ({ do: 'expand', volume: volume(present, name), size: bytes(2n * SIZE) });
const write =
  (name: string, from: number): Named =>
  (present) => {
    const writes: Write[] = [from, from + 30, from + 60].map((at) => ({
      at,
      tags: Array.from({ length: 6 }, () => present.fresh.tag++),
    }));
    return { do: 'write', volume: volume(present, name), writes };
  };
const restore =
  (mode: 'origin' | 'onactivate' | 'snapshot', name: string, to: string, keep: boolean, safety?: string): Named =>
  (present) => ({
    do: 'restore',
    mode,
    keep,
    safety,
    replace: false,
    volume: volume(present, name),
    snapshot: snapshot(present, to),
  });

/** Each volume is in use and written between any two members, so that no two images are alike. */
function making(tree: Tree): readonly Named[] {
  return tree.flatMap(({ name, of }, index) => {
    const made = name.startsWith('V') ? [create(name, of), on('activate', name)] : [take(name, of ?? '')];
    const volumes = tree.slice(0, index + 1).filter(isVolume);
    return [...made, ...volumes.map((member) => write(member.name, 3 * index))];
  });
}

interface Asked {
  readonly title: string;
  readonly operations: readonly Named[];
}

/** Everything that can be asked of a family, with what has to be done before it can. */
function asked(tree: Tree): readonly Asked[] {
  const volumes = tree.filter(isVolume).map(({ name }) => name);
  const snapshots = tree.filter((member) => !isVolume(member));
  const idle = (name: string): Named => on('deactivate', name);
  return [
    ...volumes.flatMap((name): readonly Asked[] => [
      { title: `snapshot ${name}`, operations: [take('S9', name)] },
      { title: `clone ${name}`, operations: [create('V9', name)] },
      { title: `expand ${name}`, operations: [expand(name)] },
      { title: `write ${name}`, operations: [write(name, 20)] },
      { title: `take ${name} away`, operations: [idle(name)] },
      { title: `delete ${name}`, operations: [idle(name), remove(name)] },
    ]),
    ...snapshots.flatMap(({ name, of = '' }): readonly Asked[] => [
      { title: `delete ${name}`, operations: [remove(name)] },
      { title: `fork ${name}`, operations: [create('V9', name)] },
      { title: `a larger fork of ${name}`, operations: [create('V9', name, bytes(2n * SIZE))] },
      { title: `restore ${of} to ${name}`, operations: [restore('origin', of, name, true)] },
      {
        title: `restore ${of} to ${name}, dropped, with safety`,
        operations: [restore('origin', of, name, false, 'S8')],
      },
      {
        title: `restore ${of} to ${name} on activation`,
        operations: [idle(of), restore('onactivate', of, name, true, 'S8'), on('activate', of)],
      },
    ]),
    ...tree.flatMap(({ name, of }): readonly Asked[] => {
      const origin = tree.find((member) => member.name === of)?.of;
      if (!name.startsWith('V') || of === undefined || origin === undefined) return [];
      return [true, false].map((keep) => ({
        title: `promote ${name}${keep ? '' : ', dropped'}`,
        operations: [idle(origin), restore('snapshot', name, of, keep)],
      }));
    }),
  ];
}

/** All scenes; `merging` those that begin with a restore under way, of the last volume that has a snapshot. */
export function scenes(merging: boolean): readonly Scene[] {
  return trees().flatMap((tree) => {
    const story = tree.map(({ name, of }) => (of === undefined ? name : `${name} of ${of}`)).join(', ');
    const last = tree.findLast((member) => !isVolume(member));
    if (merging && last?.of === undefined) return [];
    const before = merging && last?.of !== undefined ? [restore('origin', last.of, last.name, true)] : [];
    return asked(tree).map(({ title, operations }) => ({
      title: `${story}${merging ? `, ${last?.of} going back to ${last?.name}` : ''}: ${title}`,
      operations: [...making(tree), ...before, ...operations],
    }));
  });
}

/** The scene as crash-run.ts wants it. */
export function played({ operations }: Scene): (present: Present) => Chosen | undefined {
  return (present) => {
    const op = operations[present.index]?.(present);
    return op === undefined ? undefined : { op, crashes: present.index === operations.length - 1 };
  };
}
