// The executor: brings one family's devices to what is desired, step by step, from whatever is there. The one place that
// guarantees that every suspend is followed by its resume.

import { messageOf } from '../errors.ts';
import type { DeviceKey, StoreName } from '../ids.ts';
import { entityOf } from '../ids.ts';
import type { Log } from '../ports.ts';
import type { Sectors } from '../units.ts';
import type { Desired } from './desired.ts';
import type { Family } from './family.ts';
import type { Kernel, Observed } from './kernel.ts';
import { plan } from './plan.ts';
import type { Step } from './step.ts';
import { stepText } from './step.ts';
import { refsOf } from './table.ts';

/** A plan that met trouble after devices were swapped is made again from what is found, so often at most. */
const MAX_ROUNDS = 3;

/** Sectors in use of each store whose device was taken away, read when nothing could change them any more. */
export type Measured = ReadonlyMap<StoreName, Sectors>;

/**
 * Applies plans until the last one went through. Throws what the kernel refused; nothing is then left suspended, unless
 * tables had been swapped already and three rounds failed: those stay still rather than show something wrong.
 */
export async function converge(kernel: Kernel, family: Family, desired: Desired, log: Log): Promise<Measured> {
  for (let round = 1; ; round += 1) {
    const observed = ofFamily(await kernel.observe(), family);
    const steps = plan(observed, desired);
    try {
      return await applyAll(kernel, steps, observed, log.child({ family: family.id }));
    } catch (error) {
      log.warn({ family: family.id, round, error: messageOf(error) }, 'converge failed');
      if (!(error instanceof AfterSwap) || round >= MAX_ROUNDS) throw error instanceof AfterSwap ? error.cause : error;
    }
  }
}

/** A failure after the first resume: going back is no longer safe, going on is. */
class AfterSwap extends Error {}

async function applyAll(kernel: Kernel, steps: readonly Step[], observed: Observed, log: Log): Promise<Measured> {
  const measured = new Map<StoreName, Sectors>();
  const touched: Step[] = [];
  let swapped = false;
  for (const step of steps) {
    try {
      if (step.do === 'remove' && measured.size === 0) await measure(kernel, steps, observed, measured);
      await kernel.apply(step);
    } catch (error) {
      if (swapped) throw new AfterSwap(messageOf(error), { cause: error });
      await standDown(kernel, touched, log);
      throw error;
    }
    touched.push(step);
    swapped ||= step.do === 'resume';
    log.info({ step: stepText(step) }, 'step');
  }
  return measured;
}

/** Nothing has been swapped: empty the inactive tables that were loaded and let go what was suspended, last first. */
async function standDown(kernel: Kernel, touched: readonly Step[], log: Log): Promise<void> {
  for (const step of touched.toReversed()) {
    try {
      if (step.do === 'load') await kernel.apply({ do: 'clear', device: step.device });
      if (step.do === 'suspend') await kernel.apply({ do: 'resume', device: step.device });
      if (step.do === 'create') await kernel.apply({ do: 'remove', device: step.device });
    } catch (error) {
      log.error({ step: stepText(step), error: messageOf(error) }, 'stand down failed');
    }
  }
}

/** Snapshots about to be removed are read once more: nobody writes them now, so what they use is final. */
async function measure(
  kernel: Kernel,
  steps: readonly Step[],
  observed: Observed,
  measured: Map<StoreName, Sectors>,
): Promise<void> {
  const leaving = new Set<DeviceKey>(steps.flatMap((step) => (step.do === 'remove' ? [step.device] : [])));
  const held = new Map<DeviceKey, StoreName>();
  for (const { key, live } of observed.devices.values()) {
    const [target] = live ?? [];
    if (target?.type === 'snapshot' && target.cow.on === 'store' && leaving.has(key)) held.set(key, target.cow.store);
  }
  if (held.size === 0) return;
  const statuses = await kernel.statuses();
  for (const [key, store] of held) {
    const status = statuses.get(key);
    if (status?.state === 'counts') measured.set(store, status.used);
  }
}

/**
 * What of the pool belongs to a family: its entities' devices, its stores, and whatever hangs together with those through
 * tables. A ghost that has just been absorbed is in no record any more, but its devices are still to be taken away.
 */
export function ofFamily(observed: Observed, family: Family): Observed {
  const entities = new Set([...family.records.values()].map((record) => record.entity.id));
  const mine = new Map([...observed.devices].filter(([key]) => entities.has(entityOf(key))));
  for (let before = -1; before !== mine.size;) {
    before = mine.size;
    for (const device of observed.devices.values()) {
      const refs = refsOf([...(device.live ?? []), ...(device.inactive ?? [])]);
      const touches = refs.some((ref) =>
        ref.on === 'store' ? family.records.has(ref.store) : ref.on === 'device' && mine.has(ref.device),
      );
      if (touches) mine.set(device.key, device);
    }
  }
  return {
    devices: mine,
    stores: new Map([...observed.stores].filter(([store]) => family.records.has(store))),
  };
}
