// The port to device-mapper: what is there, and steps between that and what should be. Two forms pass one contract suite:
// dmsetup on a real kernel, and the simulation in test/sim. No effects in this file.

import { SnapmergeError } from '../vocabulary/errors.ts';
import type { DeviceKey, StoreName } from '../vocabulary/ids.ts';
import type { SnapshotStatus } from './status.ts';
import type { Step } from './step.ts';
import type { Table } from './table.ts';

/** One device of ours. Equal tables are not equal states, so all four of live, inactive, suspended and readOnly count. */
export interface ObservedDevice {
  readonly key: DeviceKey;
  /** For example `253:7`; its node is /dev/dm-7. */
  readonly majorMinor: string;
  readonly live: Table | undefined;
  readonly inactive: Table | undefined;
  readonly suspended: boolean;
  readonly readOnly: boolean;
  /** Openers: mounts, processes, and other devices' tables that lie on it. */
  readonly openCount: number;
  /** Of the live table's only target when that is snapshot or snapshot-merge, and when it was asked for. */
  readonly status: SnapshotStatus | undefined;
}

export interface ObservedStore {
  readonly store: StoreName;
  readonly majorMinor: string;
  readonly openCount: number;
}

export interface Observed {
  readonly devices: ReadonlyMap<DeviceKey, ObservedDevice>;
  /** Stores whose own block device exists. */
  readonly stores: ReadonlyMap<StoreName, ObservedStore>;
}

/**
 * A device or store that was to go is open, and by no table: a mount or a process has it. Nothing was changed, and all steps
 * before this one have been applied.
 */
export class HeldOpen extends SnapmergeError {
  readonly held: DeviceKey | StoreName;
  constructor(held: DeviceKey | StoreName, message: string, options?: { readonly cause?: unknown }) {
    super('internal', message, options);
    this.name = 'HeldOpen';
    this.held = held;
  }
}

/** How much to look at: a third of the time goes into statuses, which a plan does not need. */
export type Extent = 'all' | 'without-statuses';

/** Device-mapper as seen from one pool. Errors are SnapmergeError: `unavailable` when dmsetup does not answer, `internal` for a refused step. */
export interface Kernel {
  readonly observe: (extent?: Extent) => Promise<Observed>;
  /**
   * Applies steps to their ends, one after the other; none is cancelled half-way. Throws at the first that is refused, and
   * those behind it are not tried: with HeldOpen where somebody has open what was to go. Several in one call are for where somebody waits between them: suspends, and resumes.
   */
  readonly apply: (steps: readonly Step[]) => Promise<void>;
  /** Statuses of all snapshots and merges of the pool in one call: cheap enough for the monitor to repeat. */
  readonly statuses: () => Promise<ReadonlyMap<DeviceKey, SnapshotStatus>>;
}

/** Steps, at least one, that whoever changes the kernel takes together. */
export type Call = readonly [Step, ...Step[]];

/** Suspends and resumes that follow each other are one call each: writers wait for every process that is started meanwhile. */
export function calls(steps: readonly Step[]): readonly Call[] {
  const all: [Step, ...Step[]][] = [];
  for (const step of steps) {
    const last = all.at(-1);
    if (last?.[0].do === step.do && (step.do === 'suspend' || step.do === 'resume')) last.push(step);
    else all.push([step]);
  }
  return all;
}

/** How all who act on single steps take the steps of one call. */
export function inTurn(act: (step: Step) => Promise<void>): Kernel['apply'] {
  return async (steps) => {
    for (const step of steps) await act(step);
  };
}
