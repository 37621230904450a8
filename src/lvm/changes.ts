// What changes a store: each is one command and, where LVM can, one metadata commit, and how a report tells whether it was done.
// Pure.

import type { StoreName } from '../vocabulary/ids.ts';
import { bytes, formatBytes } from '../vocabulary/units.ts';
import type { Bytes } from '../vocabulary/units.ts';
import type { Change } from './group.ts';
import type { Layout, PoolReport, StoreReport } from './lvm.ts';
import { fits } from './room.ts';

/**
 * What is in a new store is the caller's affair: it cleans all of it before it decides that the store counts. Until the
 * driver has composed it, a mount would write past its snapshots, so nobody else activates it: with the skip flag
 * neither an autoactivation nor a plain `vgchange -ay` does.
 */
const NEW_STORE = [
  '--wipesignatures',
  'n',
  '--zero',
  'n',
  '--activate',
  'y',
  '--setactivationskip',
  'y',
  '--ignoreactivationskip',
] as const;

/** A group whose policy is `contiguous` or `cling` has free extents that it would not give to a store which grows piece by piece. */
const WHEREVER = ['--alloc', 'normal'] as const;

export interface NewStore {
  readonly store: StoreName;
  readonly size: Bytes;
  readonly layout: Layout;
  readonly tags: readonly string[];
}

export function creation(vgName: string, { store, size, layout, tags }: NewStore): Change {
  return {
    what: `create store '${store}' of ${formatBytes(size)}`,
    command: 'lvcreate',
    argsOn: (openDisks) => [
      '--yes',
      '--name',
      store,
      '--size',
      `${size}b`,
      ...layoutArgs(layout, openDisks),
      ...WHEREVER,
      ...NEW_STORE,
      ...tags.flatMap((tag) => ['--addtag', tag]),
      vgName,
    ],
    judge: (report) => {
      if (storeIn(report, store) !== undefined) return 'failed';
      return fits(report, layout, size) ? 'failed' : 'no-room';
    },
  };
}

export function removal(vgName: string, store: StoreName): Change {
  return {
    what: `remove store '${store}'`,
    command: 'lvremove',
    argsOn: () => ['--yes', pathOf(vgName, store)],
    judge: (report) => (storeIn(report, store) === undefined ? 'done' : 'failed'),
  };
}

/** `ignoreFs`: what tells LVM to leave the file system inside alone. */
export function extension(vgName: string, store: StoreName, size: Bytes, ignoreFs: readonly string[]): Change {
  return {
    what: `extend store '${store}' to ${formatBytes(size)}`,
    command: 'lvextend',
    argsOn: () => ['--yes', '--size', `${size}b`, ...WHEREVER, ...ignoreFs, pathOf(vgName, store)],
    judge: (report) => {
      const found = storeIn(report, store);
      if (found === undefined) return 'failed';
      if (found.size >= size) return 'done';
      return fits(report, found.layout, bytes(size - found.size)) ? 'failed' : 'no-room';
    },
  };
}

export function reduction(vgName: string, store: StoreName, size: Bytes, ignoreFs: readonly string[]): Change {
  return {
    what: `shrink store '${store}' to ${formatBytes(size)}`,
    command: 'lvreduce',
    argsOn: () => ['--yes', '--force', '--size', `${size}b`, ...ignoreFs, pathOf(vgName, store)],
    judge: (report) => {
      const found = storeIn(report, store);
      // LVM rounds up to whole extents, so a little more than asked is as small as it gets.
      return found !== undefined && found.size < size + report.extent ? 'done' : 'failed';
    },
  };
}

export function retagging(vgName: string, store: StoreName, add: readonly string[], remove: readonly string[]): Change {
  const args = [...add.flatMap((tag) => ['--addtag', tag]), ...remove.flatMap((tag) => ['--deltag', tag])];
  return {
    what: `change tags of store '${store}'`,
    command: 'lvchange',
    argsOn: () => [...args, pathOf(vgName, store)],
    judge: (report) => {
      const tags = storeIn(report, store)?.tags;
      if (tags === undefined) return 'failed';
      return add.every((tag) => tags.includes(tag)) && !remove.some((tag) => tags.includes(tag)) ? 'done' : 'failed';
    },
  };
}

export function activation(vgName: string, stores: readonly StoreName[], wanted: boolean): Change {
  const args = wanted ? ['--activate', 'y', '--ignoreactivationskip'] : ['--activate', 'n'];
  return {
    what: `${wanted ? 'activate' : 'deactivate'} store '${stores.join("', '")}'`,
    command: 'lvchange',
    argsOn: () => [...args, ...stores.map((store) => pathOf(vgName, store))],
    judge: (report) => {
      const isDone = (store: StoreName): boolean => (storeIn(report, store)?.active ?? false) === wanted;
      return stores.every(isDone) ? 'done' : 'failed';
    },
  };
}

const pathOf = (vgName: string, store: StoreName): string => `${vgName}/${store}`;

function storeIn(report: PoolReport, store: StoreName): StoreReport | undefined {
  return report.stores.find((other) => other.store === store);
}

const LINEAR = ['--type', 'linear'] as const;
const NO_AUTO = ['--setautoactivation', 'n'] as const;

/**
 * LVM refuses --setautoactivation for a raid (2.03.31), so there the skip flag alone has to do.
 *
 * A raid1 is made without its initial copy: what it would copy is undefined content, and every part of a store that is
 * ever read was written before, to both halves.
 */
function layoutArgs(layout: Layout, disks: number): readonly string[] {
  switch (layout) {
    case 'linear':
      return [...LINEAR, ...NO_AUTO];
    case 'striped':
      return [...(disks < 2 ? LINEAR : ['--type', 'striped', '--stripes', `${disks}`]), ...NO_AUTO];
    case 'raid1':
      return ['--type', 'raid1', '--mirrors', '1', '--nosync'];
  }
}
