// One report of the pool for all who ask at nearly the same time. A call reads the pool several times on its way (to find
// the family, again under its lock, for the reply), and a report is the dearest of all reads.

import type { Kernel } from '../dm/kernel.ts';
import type { Lvm, PoolReport } from '../lvm/lvm.ts';

export interface SharedReports {
  readonly lvm: Lvm;
  readonly kernel: Kernel;
  /** A report in which every change of ours so far is seen, and of others' those that are older than half a second. */
  readonly recent: () => Promise<PoolReport>;
}

/** Shorter than any command that an operator could type between two calls. */
const MAX_AGE_MS = 500;
/** So long where the metadata is known to be the same: what LVM reports besides, a disk that fails, is in no metadata. */
const MAX_AGE_SAME_MS = 10_000;

export function shareReports(lvm: Lvm, kernel: Kernel, nowMs: () => number): SharedReports {
  let changes = 0;
  let last:
    | {
        readonly report: PoolReport;
        readonly changes: number;
        readonly atMs: number;
        readonly stamp: string | undefined;
      }
    | undefined;

  /** Before and after: a report from the middle of a change is worth nothing once it has ended. */
  const changing = async <T>(change: () => Promise<T>): Promise<T> => {
    changes += 1;
    try {
      return await change();
    } finally {
      changes += 1;
    }
  };

  const report = async (): Promise<PoolReport> => {
    const begun = changes;
    // It may be as old as its beginning: on a busy node that is seconds before its end.
    const atMs = nowMs();
    const stamp = await lvm.stamp();
    const read = await lvm.report();
    last = { report: read, changes: begun, atMs, stamp };
    return read;
  };

  return {
    lvm: {
      report,
      stamp: () => lvm.stamp(),
      create: async (...args) => changing(() => lvm.create(...args)),
      remove: async (...args) => changing(() => lvm.remove(...args)),
      extend: async (...args) => changing(() => lvm.extend(...args)),
      shrink: async (...args) => changing(() => lvm.shrink(...args)),
      retag: async (...args) => changing(() => lvm.retag(...args)),
      flush: () => lvm.flush(),
    },
    kernel: {
      ...kernel,
      apply: async (steps) => {
        const isActivation = steps.some((step) => step.do === 'activate' || step.do === 'deactivate');
        return isActivation ? changing(() => kernel.apply(steps)) : kernel.apply(steps);
      },
    },
    recent: async () => {
      const { report: known, changes: seen, atMs, stamp } = last ?? {};
      if (known === undefined || atMs === undefined || seen !== changes) return report();
      const ageMs = nowMs() - atMs;
      if (ageMs >= 0 && ageMs <= MAX_AGE_MS) return known;
      if (ageMs < 0 || ageMs > MAX_AGE_SAME_MS || stamp === undefined) return report();
      return (await lvm.stamp()) === stamp && seen === changes ? known : report();
    },
  };
}
