// The whole state of the simulated node as plain data: disks, LVM's metadata, device-mapper, queued writes, counters.
// It can be cloned as it is, which is how a test returns to a moment; so no functions and no classes may enter.

import type { DeviceKey, StoreName } from '../../src/vocabulary/ids.ts';
import type { Layout } from '../../src/lvm/lvm.ts';
import type { CowMode, Table } from '../../src/dm/table.ts';
import type { Space } from './disk.ts';
import type { Random } from './random.ts';

export const BLOCK_BYTES = 4096;
export const SECTORS_PER_BLOCK = 8;

/** A logical volume in one version of the metadata. Never changed in place. */
export interface Volume {
  readonly name: string;
  readonly uid: number;
  readonly ours: boolean;
  readonly tags: readonly string[];
  readonly layout: Layout;
  readonly extents: readonly number[];
  /** Second copies of a mirror: room that is taken, contents not followed. */
  readonly mirrors: readonly number[];
}

export interface Metadata {
  readonly seqno: number;
  readonly volumes: ReadonlyMap<string, Volume>;
}

/** What holds snapshots and can be opened by tables: the dm device of a store, or a device of ours. */
export interface Openable {
  /** Snapshot and merge tables, live or inactive, whose origin this is: the kernel's list of one origin. */
  readonly snapshots: Snapshot[];
  /** Those whose exceptions lie here, by way of whatever cow device. */
  readonly cowUsers: Snapshot[];
  /** The resumed device whose snapshot-origin lies on this one. */
  originTop: Device | undefined;
  /** Mounts and processes. */
  openers: number;
  readonly minor: number;
}

export interface StoreDevice extends Openable {
  readonly kind: 'store';
  readonly store: StoreName;
  readonly uid: number;
  extents: readonly number[];
}

export interface Device extends Openable {
  readonly kind: 'device';
  readonly key: DeviceKey;
  live: LoadedTable | undefined;
  inactive: LoadedTable | undefined;
  suspended: boolean;
  readOnly: boolean;
  /** The kernel checks lengths at the very first load, and later ones only when they are swapped in. */
  hadTable: boolean;
}

export type Under = Device | StoreDevice;

/** The persistent store as one table knows it; positions are chunks of the store. */
export interface Exceptions {
  readonly persistent: boolean;
  /** Next chunk (persistent) for an exception. */
  nextFree: number;
  area: number;
  /** Exceptions in the current area. */
  committed: number;
  valid: boolean;
}

export interface Snapshot {
  readonly merge: boolean;
  readonly holder: Device;
  readonly origin: Under;
  readonly cow: Under;
  /** What the store's first block really lies on: tables by way of different devices show one store all the same. */
  readonly base: Under;
  mode: CowMode;
  readonly lengthBlocks: number;
  /** 0 while the exceptions are still to be handed over. */
  chunkBlocks: number;
  exceptions: Map<number, number>;
  /** Allocated, not committed yet: the copy waits below. */
  readonly pending: Map<number, number>;
  store: Exceptions;
  active: boolean;
  valid: boolean;
  overflowed: boolean;
  mergeFailed: boolean;
  running: boolean;
  /** Its store has taken something from another while it stood still: it must never go on. */
  stale: boolean;
  /** Longest piece of one write, worked out at resume only. */
  maxIoBlocks: number;
}

export type Part =
  | {
      readonly type: 'linear';
      readonly start: number;
      readonly end: number;
      readonly under: Under;
      readonly offset: number;
    }
  | { readonly type: 'snapshot'; readonly start: number; readonly end: number; readonly snapshot: Snapshot }
  | {
      readonly type: 'snapshot-origin';
      readonly start: number;
      readonly end: number;
      readonly under: Under;
      splitBlocks: number;
    }
  | { readonly type: 'zero' | 'error' | 'hold'; readonly start: number; readonly end: number };

export interface LoadedTable {
  readonly table: Table;
  readonly readOnly: boolean;
  readonly parts: readonly Part[];
  readonly lengthBlocks: number;
  /** Devices held open, with the mode; the kernel opens each pair once for a device. */
  readonly opens: readonly { readonly under: Under; readonly mode: string }[];
}

export interface QueuedWrite {
  readonly id: number;
  readonly device: DeviceKey;
  readonly block: number;
  readonly tags: readonly number[];
  /** Devices that the write has entered and not left: none of them can be suspended. */
  path: readonly Device[];
}

/** A stranger's read that waits: it holds the device open until it is answered, and nobody can end it before. */
export interface QueuedRead {
  readonly device: DeviceKey;
  readonly block: number;
  path: readonly Device[];
}

/** Something that a law of the design forbids, or a refusal's or a loss's trace. `key` is the device concerned. */
export interface Notice {
  readonly kind:
    /** A write reached an origin device by a way that does not copy out, and a live snapshot lacked the chunk. */
    | 'unfed-write'
    /** A write spanned chunks of which only the first was copied out. */
    | 'torn-write'
    /** A store got an exception while another table over it had been loaded already. */
    | 'stale-exceptions'
    /** Two live tables show one store over different origins. */
    | 'shared-store'
    /** Two merges into one origin. */
    | 'two-merges'
    | 'merged-into-zero'
    | 'invalidated'
    | 'overflowed'
    | 'merge-failed'
    /** A load took the header of a snapshot that another logical volume had. */
    | 'foreign-metadata'
    /** A load took an area that nobody had written for exceptions. */
    | 'garbage-metadata'
    /** A merge over a store whose header says invalid: it shows the bare origin. */
    | 'merge-of-invalid'
    | 'handover-cancelled'
    /** SimHang was thrown, and perhaps swallowed by whoever caught it. */
    | 'hang'
    /** A shrink cut off chunks that a loaded snapshot uses. */
    | 'cut-store';
  readonly key: string;
  readonly effect: number;
  readonly text: string;
}

export type Fault = 'before' | 'after';

export interface Machine {
  space: Space;
  logs: number[][];
  lvm: { current: Metadata; /** From the durable one to the current one. */ sinceFlush: Metadata[]; nextUid: number };
  devices: Map<DeviceKey, Device>;
  stores: Map<StoreName, StoreDevice>;
  nextMinor: number;
  queued: QueuedWrite[];
  readers: QueuedRead[];
  /** How writes ended that had to wait, by their ids. */
  waited: { nextId: number; readonly ended: Map<number, 'done' | 'failed'> };
  notices: Notice[];
  trace: string[];
  effects: { count: number; stopAfter: number; dead: boolean; faults: Map<number, Fault> };
  random: Random;
  /** How many chunks running merges move by themselves: when resumed, and after each effect. */
  eager: { onResume: number; perEffect: number };
  /** Devices that the I/O under way has entered. */
  stack: Device[];
  peeking: boolean;
  merging: boolean;
  /** What it holds fails, because it is suspended without being told to keep that. */
  failing: DeviceKey | undefined;
  /** Merges stop between writing a chunk and forgetting its exception. */
  halfway: boolean;
}

export function notice(m: Machine, kind: Notice['kind'], key: string, text: string): void {
  m.notices.push({ kind, key, effect: m.effects.count, text });
}

export function nameOf(under: Under): string {
  return under.kind === 'store' ? under.store : under.key;
}

export function sizeBlocks(m: Machine, under: Under): number {
  return under.kind === 'store' ? under.extents.length * m.space.blocksPerExtent : (under.live?.lengthBlocks ?? 0);
}

/** What the first block of a device lies on, through linear tables. */
export function baseOf(under: Under): Under {
  if (under.kind === 'store') return under;
  const first = under.live?.parts[0];
  return first?.type === 'linear' ? baseOf(first.under) : under;
}

/** The logical volume that a header is written to; 0 when it lies on a composition. */
export function ownerOf(under: Under): number {
  const base = baseOf(under);
  return base.kind === 'store' ? base.uid : 0;
}
