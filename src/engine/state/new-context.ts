// The context of an engine that has just begun: nothing is known yet.

import { createLocks } from '../../system/locks.ts';
import { bytes } from '../../vocabulary/units.ts';
import type { Context } from './context.ts';

/** What is given from outside: the ports, and what runs beside the calls. */
export type Given = Pick<
  Context,
  | 'pool'
  | 'vg'
  | 'lvm'
  | 'recentReport'
  | 'kernel'
  | 'host'
  | 'clock'
  | 'drawId'
  | 'log'
  | 'reservePercent'
  | 'leastHeadroom'
  | 'keepAhead'
  | 'goOn'
> & {
  /** Has the monitor look now. */
  readonly lookNow: () => void;
};

export function newContext({ lookNow, ...given }: Given): Context {
  const ctx: Context = {
    ...given,
    locks: createLocks(),
    active: new Set(),
    lettingGo: new Set(),
    pinned: new Set(),
    settingUp: new Set(),
    staging: new Set(),
    underWay: new Set(),
    zeroing: new Map(),
    measured: new Map(),
    sizes: new Map(),
    extent: { size: bytes(4194304) },
    watched: new Map(),
    watch: (family, stores) => {
      if (stores.length > 0) ctx.watched.set(family, stores);
      else ctx.watched.delete(family);
      // Of a store that nobody watches nobody would say that it is full no more.
      const watched = new Set(stores.map(({ store }) => store));
      for (const [store, full] of ctx.full) if (full.family === family && !watched.has(store)) ctx.full.delete(store);
      lookNow();
    },
    promised: { size: bytes(0) },
    headroom: { size: bytes(0) },
    lost: new Set(),
    lastRead: { state: undefined, lost: 0 },
    suspects: new Set(),
    waiting: new Set(),
    whyWaiting: new Map(),
    mergeRates: new Map(),
    failedMerges: new Map(),
    tailChanges: new Map(),
    nested: new Set(),
    reliefs: new Map(),
    unrelieved: new Set(),
    unsettled: new Set(),
    full: new Map(),
    stuck: new Map(),
    left: new Map(),
    unswept: new Set(),
    unshrinkable: new Map(),
    unshown: new Map(),
  };
  return ctx;
}
