// The Clock port over the system's own.

import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '../vocabulary/ports.ts';

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleep(ms, undefined, { signal }).catch(() => undefined);
  },
};
