// One report of the pool for all who ask at nearly the same time. A call reads the pool several times on its way (to find
// the family, again under its lock, for the reply), and a report is the dearest of all reads.

import type { Kernel } from '../../dm/kernel.ts';
import type { Lvm, PoolReport } from '../../lvm/lvm.ts';
import type { Sharing } from '../../system/single-flight.ts';
import { limited, shareNext } from '../../system/single-flight.ts';

export interface SharedReports {
  readonly lvm: Lvm;
  readonly kernel: Kernel;
  /** A report in which every change of ours so far is seen, and of others' those that are older than half a second. */
  readonly recent: () => Promise<PoolReport>;
  /** From now on nothing that was read before is recent. */
  readonly forget: () => void;
}

/** Shorter than any command that an operator could type between two calls. */
const MAX_AGE_MS = 500;
/** So long where the metadata is known to be the same: what LVM reports besides, a disk that fails, is in no metadata. */
const MAX_AGE_SAME_MS = 10_000;

/** How often anything of ours had changed, and when it was, at its beginning: on a busy node that is seconds before its end. */
interface Beginning {
  readonly number: number;
  readonly changes: number;
  readonly atMs: number;
}

export function shareReports(lvm: Lvm, kernel: Kernel, monotonicMs: () => number): SharedReports {
  let changes = 0;
  let reports = 0;
  let last: (Beginning & { readonly report: PoolReport; readonly stamp: string | undefined }) | undefined;
  let underWay: (Beginning & { readonly report: Promise<PoolReport> }) | undefined;

  /** Before and after: a report from the middle of a change is worth nothing once it has ended. */
  const changing = async <T>(change: () => Promise<T>): Promise<T> => {
    changes += 1;
    try {
      return await change();
    } finally {
      changes += 1;
    }
  };

  const ageOf = ({ atMs }: Beginning): number => {
    const ageMs = monotonicMs() - atMs;
    return ageMs < 0 ? Number.POSITIVE_INFINITY : ageMs;
  };

  const read = async (beginning: Beginning): Promise<PoolReport> => {
    try {
      const stamp = await lvm.stamp();
      const report = await lvm.report();
      // One that a disk has held up may end after a later one.
      if (last === undefined || last.number < beginning.number) last = { ...beginning, report, stamp };
      return report;
    } finally {
      if (underWay?.number === beginning.number) underWay = undefined;
    }
  };
  const REPORT: Sharing = {
    what: 'Cannot read the records of LVM',
    why: async () => (await lvm.waitsFor?.()) ?? "a disk hangs, or somebody holds LVM's lock",
  };
  const report = shareNext(() => {
    reports += 1;
    const beginning = { number: reports, changes, atMs: monotonicMs() };
    const reading = read(beginning);
    underWay = { ...beginning, report: limited(reading, REPORT) };
    // Whether anybody has joined or not.
    underWay.report.catch(() => undefined);
    return reading;
  }, REPORT);

  return {
    forget: () => {
      changes += 1;
    },
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
      const known = last;
      if (known?.changes === changes) {
        if (ageOf(known) <= MAX_AGE_MS) return known.report;
        const mayBeSame = ageOf(known) <= MAX_AGE_SAME_MS && known.stamp !== undefined;
        if (mayBeSame && (await lvm.stamp()) === known.stamp && known.changes === changes) return known.report;
      }
      const now = underWay;
      return now?.changes === changes && ageOf(now) <= MAX_AGE_MS ? now.report : report();
    },
  };
}
