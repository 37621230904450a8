// Small spaces, enumerated: every family of up to four members that can be made by snapshots and forks, every operation that
// can be asked of it, and the same while a restore of it merges. Values only; crash-run.ts does them.

import type { Told } from './crash-story.ts';

/** Bytes. */
const SIZE = 512 * 1024;
const CHUNK = 16 * 1024;
const MOST_MEMBERS = 4;

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

export interface Scene {
  readonly title: string;
  /** The last one is the one that crashes. */
  readonly operations: readonly Told[];
}

const create = (name: string, from?: string, size = SIZE): Told => ({ do: 'create', name, size, chunk: CHUNK, from });
const on = (kind: 'activate' | 'deactivate', volume: string): Told => ({ do: kind, volume });
const take = (name: string, volume: string): Told => ({ do: 'snapshot', name, volume });
const remove = (what: string): Told => ({ do: 'delete', what });
const expand = (volume: string): Told => ({ do: 'expand', volume, size: 2 * SIZE });
const write = (volume: string, from: number): Told => ({
  do: 'write',
  volume,
  writes: [from, from + 30, from + 60].map((at) => [at, 6]),
});
const restore = (
  mode: 'origin' | 'onactivate' | 'snapshot',
  volume: string,
  snapshot: string,
  keep: boolean,
  safety?: string,
): Told => ({ do: 'restore', mode, keep, safety, volume, snapshot });

/** Each volume is in use and written between any two members, so that no two images are alike. */
function making(tree: Tree): readonly Told[] {
  return tree.flatMap(({ name, of }, index) => {
    const made = name.startsWith('V') ? [create(name, of), on('activate', name)] : [take(name, of ?? '')];
    const volumes = tree.slice(0, index + 1).filter(isVolume);
    return [...made, ...volumes.map((member) => write(member.name, 3 * index))];
  });
}

interface Asked {
  readonly title: string;
  readonly operations: readonly Told[];
}

/** Everything that can be asked of a family, with what has to be done before it can. */
function asked(tree: Tree): readonly Asked[] {
  const volumes = tree.filter(isVolume).map(({ name }) => name);
  const snapshots = tree.filter((member) => !isVolume(member));
  const idle = (name: string): Told => on('deactivate', name);
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
      { title: `a larger fork of ${name}`, operations: [create('V9', name, 2 * SIZE)] },
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
      const promote = (keep: boolean): readonly Told[] => [idle(origin), restore('snapshot', name, of, keep)];
      return [
        { title: `promote ${name}`, operations: promote(true) },
        { title: `promote ${name}, dropped`, operations: promote(false) },
        { title: `promote ${name}, then expand it`, operations: [...promote(true), expand(name)] },
      ];
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
