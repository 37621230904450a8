// Commits that may be on no disk: their flush failed, or the driver that made them may have died before it. Whoever answers for
// one, asked for again under its name, sees to that first.

import type { Lvm } from '../../lvm/lvm.ts';

export interface OwedFlushes {
  readonly lvm: Lvm;
  /** Flushes unless a flush has succeeded since the last one that failed, or since the driver started. */
  readonly flushOwed: () => Promise<void>;
}

export function oweFlushes(lvm: Lvm): OwedFlushes {
  let owed = 1;
  let paid = 0;
  const flush = async (): Promise<void> => {
    const due = owed;
    try {
      await lvm.flush();
      paid = Math.max(paid, due);
    } catch (error) {
      owed += 1;
      throw error;
    }
  };
  return {
    lvm: { ...lvm, flush },
    flushOwed: async () => {
      if (paid < owed) await flush();
    },
  };
}
