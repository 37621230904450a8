// Ports that are counted: the same port, and every use of it told to the metrics. The driver does not know the difference.

import type { Kernel } from '../dm/kernel.ts';
import type { Exec } from '../system/exec.ts';
import type { DeviceKey } from '../vocabulary/ids.ts';
import { isTop } from '../vocabulary/ids.ts';
import type { Metrics, Outcome } from './metrics.ts';

/** Seconds that only go up. */
export type Seconds = () => number;

export const monotonic: Seconds = () => performance.now() / 1000;

async function timed<T>(
  now: Seconds,
  work: () => Promise<T>,
  tell: (ok: T | undefined, seconds: number) => void,
): Promise<T> {
  const began = now();
  let result: T | undefined;
  try {
    result = await work();
    return result;
  } finally {
    tell(result, now() - began);
  }
}

export function measuredExec(exec: Exec, metrics: Pick<Metrics, 'ran'>, now: Seconds = monotonic): Exec {
  return async (argv, options) =>
    timed(
      now,
      () => exec(argv, options),
      (result, seconds) => metrics.ran(commandOf(argv), result?.code, seconds),
    );
}

/** The program, and what it is to do where it can do many things. */
export function commandOf([program, verb = '']: readonly [string, ...string[]]): string {
  const hasVerbs = program === 'lvm' || program === 'dmsetup' || program === 'udevadm';
  return hasVerbs && /^[a-z_]+$/.test(verb) ? `${program} ${verb}` : program;
}

/** Steps, those of one call as one, and how long each top device stood still: from its suspend to its resume. */
export function measuredKernel(
  kernel: Kernel,
  pool: string,
  metrics: Pick<Metrics, 'stepped' | 'paused'>,
  now: Seconds = monotonic,
): Kernel {
  const still = new Map<DeviceKey, number>();
  return {
    ...kernel,
    apply: async (steps) => {
      const [first] = steps;
      if (first === undefined) return;
      const began = now();
      let ended = began;
      let outcome: Outcome = 'error';
      try {
        await kernel.apply(steps);
        outcome = 'ok';
      } finally {
        ended = now();
        metrics.stepped(pool, first.do, outcome, ended - began);
      }
      for (const step of steps) {
        if (!('device' in step) || !isTop(step.device)) continue;
        // From when it was asked for: writes are held back from then on.
        if (step.do === 'suspend') still.set(step.device, began);
        const since = still.get(step.device);
        if (step.do !== 'resume' || since === undefined) continue;
        still.delete(step.device);
        metrics.paused(pool, ended - since);
      }
    },
  };
}
