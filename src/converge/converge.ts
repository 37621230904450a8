// The executor: brings one family's devices to what is desired, step by step, from whatever is there. The one place that
// guarantees that every suspend is followed by its resume.

import { SnapmergeError, messageOf } from '../vocabulary/errors.ts';
import type { DeviceKey, StoreName, VolumeId } from '../vocabulary/ids.ts';
import { isDeviceKey, isTop, ownerOf } from '../vocabulary/ids.ts';
import type { Log } from '../vocabulary/ports.ts';
import type { Desired } from './device.ts';
import type { Family } from '../records/family.ts';
import type { Kernel, Observed } from '../dm/kernel.ts';
import { HeldOpen, calls } from '../dm/kernel.ts';
import type { Leavers, Leaving, Measured, Use } from './retiring-stores.ts';
import { watchLeaving } from './retiring-stores.ts';
import type { PlanOptions } from './plan.ts';
import { leftBehind, plan } from './plan.ts';
import { refuseStaged, refuseTooDeep } from './refusals.ts';
import type { Step } from '../dm/step.ts';
import { stepText } from '../dm/step.ts';
import { refsOf } from '../dm/table.ts';

/** A plan that met trouble after devices were swapped is made again from what is found, so often at most. */
const MAX_FAILED = 3;
/** So often for stores that were extended meanwhile: each of a large family may be, one after the other, and no harm is done. */
const MAX_OVERTAKEN = 30;
/** So often for what somebody has open: twice each, and a large family has hundreds of devices. */
const MAX_HELD_OPEN = 2000;

/** What a converge shares with those who extend stores meanwhile, and asks before it freezes anybody. */
export interface Neighbours {
  /** One at a time: they change tails too. Never held while something is suspended that a full store may keep waiting. */
  readonly alone: <T>(work: () => Promise<T>) => Promise<T>;
  /** How often they have changed any. */
  readonly changes: () => number;
  /** Throws when a freeze would wait for room that there is not. */
  readonly beforeFreeze: (observed: Observed) => Promise<void>;
}

export interface ConvergeOptions {
  readonly neighbours: Neighbours;
  /** Stores whose cows are to be laid flat. */
  readonly flatten?: ReadonlySet<StoreName>;
  readonly leavers: Leavers;
  /** Volumes that are being unstaged: no other's top is taken away, whatever is desired. */
  readonly mayGo: ReadonlySet<VolumeId>;
  /** What was frozen goes on, also where something behind it will fail. */
  readonly swapped?: () => void;
}

export interface Converged {
  readonly measured: Measured;
  /** What nothing wants any more, and somebody has open: it goes another time, and shows nothing until then. */
  readonly left: readonly (DeviceKey | StoreName)[];
}

/**
 * Applies plans until the last one went through. Throws what the kernel refused; nothing is then left suspended, unless
 * tables had been swapped already and three rounds failed: those stay still rather than show something wrong.
 */
export async function converge(
  kernel: Kernel,
  family: Family,
  desired: Desired,
  log: Log,
  options: ConvergeOptions,
): Promise<Converged> {
  let failed = 0;
  let overtaken = 0;
  const measured = new Map<StoreName, Use>();
  let heldOpen = 0;
  const seenOpen = new Set<DeviceKey | StoreName>();
  const leaving = watchLeaving(kernel, desired, options.leavers, measured);
  const rounds = { leaving, seenOpen, progress: progressOf(options.swapped) };
  for (;;) {
    try {
      const left = await oneRound(kernel, family, desired, log.child({ family: family.id }), { ...options, ...rounds });
      return { measured, left };
    } catch (error) {
      if (error instanceof HeldOpen && isOfNoUse(error.held) && heldOpen < MAX_HELD_OPEN) {
        // The next plan lets go of it, and the one after that leaves it behind.
        seenOpen.add(error.held);
        heldOpen += 1;
        log.warn({ family: family.id, held: error.held, error: error.message }, 'somebody has open what is to go');
        continue;
      }
      const cause = error instanceof AfterSwap ? error.cause : error;
      if (cause instanceof Overtaken) overtaken += 1;
      else failed += 1;
      log.warn({ family: family.id, failed, overtaken, error: messageOf(cause) }, 'converge failed');
      // Also where a later round did not come to its plan, because the kernel did not answer: devices stand still meanwhile.
      const standsStill = rounds.progress.swapped && !(error instanceof HeldOpen);
      const again = error instanceof AfterSwap || error instanceof Overtaken || standsStill;
      if (!again || failed >= MAX_FAILED || overtaken >= MAX_OVERTAKEN) throw cause;
    }
  }
}

/** True from the first resume on; that is told once. */
function progressOf(tell: ConvergeOptions['swapped']): Rounds['progress'] {
  let swapped = false;
  return {
    get swapped() {
      return swapped;
    },
    set swapped(now) {
      if (now && !swapped) tell?.();
      swapped = now;
    },
  };
}

/** A failure after the first resume: going back is no longer safe, going on is. */
class AfterSwap extends Error {}

/** A store was extended while the plan was carried out, which knows nothing of its new tail. */
class Overtaken extends SnapmergeError {}

const OVERTAKEN = 'Cannot go on as planned: a store was extended meanwhile';

/** Not so a top, whose opener may be its user. */
function isOfNoUse(held: DeviceKey | StoreName): boolean {
  return !isDeviceKey(held) || !isTop(held);
}

/** What the rounds of a converge have in common. */
interface Rounds {
  readonly leaving: Leaving;
  /** What somebody had open when it was to go. */
  readonly seenOpen: ReadonlySet<DeviceKey | StoreName>;
  /** Once any table has been swapped, in whatever round, what stands still may not be let go on with the table it has. */
  readonly progress: { swapped: boolean };
}

async function oneRound(
  kernel: Kernel,
  family: Family,
  desired: Desired,
  log: Log,
  { neighbours, flatten, leaving, mayGo, seenOpen, progress }: ConvergeOptions & Rounds,
): Promise<Converged['left']> {
  const planOptions: PlanOptions = { seenOpen, ...(flatten && { flatten }) };
  const run = createRun(kernel, log, leaving, progress);
  const { observed, steps, changes } = await neighbours.alone(async () => {
    // Before the look: who did not wait for us any longer may change a tail while it is under way.
    const before = neighbours.changes();
    const seen = ofFamily(await kernel.observe('without-statuses'), family);
    refuseStaged(seen, desired, mayGo);
    refuseTooDeep(desired, seen);
    const all = plan(seen, desired, planOptions);
    const freeze = all.findIndex((step) => waitsForWrites(step, seen));
    const harmless = freeze < 0 ? all : all.slice(0, freeze);
    await run.apply(harmless, all, seen);
    return { observed: seen, steps: all.slice(harmless.length), changes: before };
  });
  const left = leftBehind(observed, desired, planOptions);
  if (steps.length === 0) {
    notOvertaken(neighbours, changes);
    return left;
  }
  const unfrozen = steps.findIndex((step) => step.do !== 'suspend' && step.do !== 'flush');
  await run.guarded(() => neighbours.beforeFreeze(observed));
  await run.apply(steps.slice(0, unfrozen), steps, observed);
  await neighbours.alone(async () => {
    await run.guarded(() => {
      if (neighbours.changes() !== changes) throw new Overtaken('unavailable', OVERTAKEN);
    });
    await run.apply(steps.slice(unfrozen), steps, observed);
  });
  notOvertaken(neighbours, changes);
  return left;
}

/** Who did not wait any longer may have swapped a tail that the plan closed after that. */
function notOvertaken(neighbours: Neighbours, changes: number): void {
  if (neighbours.changes() === changes) return;
  throw new AfterSwap(OVERTAKEN, { cause: new Overtaken('unavailable', OVERTAKEN) });
}

/** A suspend, and a resume that swaps a live table, come to their end when all that is under way has. */
function waitsForWrites(step: Step, { devices }: Observed): boolean {
  if (step.do === 'suspend') return true;
  const device = step.do === 'resume' ? devices.get(step.device) : undefined;
  return device?.live !== undefined && !device.suspended;
}

interface Run {
  /** `all`: the steps of the whole plan, of which these are a part. */
  readonly apply: (steps: readonly Step[], all: readonly Step[], observed: Observed) => Promise<void>;
  /** Work between steps, whose failure is dealt with like a step's. */
  readonly guarded: (work: () => Promise<void> | void) => Promise<void>;
}

function createRun(kernel: Kernel, log: Log, leaving: Leaving, progress: Rounds['progress']): Run {
  const touched: Step[] = [];
  let trying: readonly Step[] = [];
  const guarded: Run['guarded'] = async (work) => {
    try {
      await work();
    } catch (error) {
      // All before it is done, and rightly so: there is nothing to take back.
      if (error instanceof HeldOpen) throw error;
      progress.swapped ||= await hasGoneOn(kernel, trying);
      if (progress.swapped) throw new AfterSwap(messageOf(error), { cause: error });
      await standDown(kernel, touched, log);
      throw error;
    }
  };
  return {
    guarded,
    apply: async (steps, all, observed) => {
      for (const call of calls(steps)) {
        const [{ do: kind }] = call;
        // Before it is done: a step may fail although it has happened. Taken back last first, and resumes from the bottom up.
        touched.push(...(kind === 'resume' ? call.toReversed() : call));
        trying = call;
        await guarded(async () => {
          await leaving.before(call, all, observed);
          await kernel.apply(call);
        });
        trying = [];
        progress.swapped ||= kind === 'resume';
        for (const step of call) log.info({ step: stepText(step) }, 'step');
      }
    },
  };
}

/** Whether any resume of a call that failed has happened; what cannot be found out is taken for done. */
async function hasGoneOn(kernel: Kernel, call: readonly Step[]): Promise<boolean> {
  const resumed = call.flatMap((step) => (step.do === 'resume' ? [step.device] : []));
  if (resumed.length === 0) return false;
  try {
    const { devices } = await kernel.observe('without-statuses');
    return resumed.some((key) => {
      const device = devices.get(key);
      return device?.live !== undefined && !device.suspended && device.inactive === undefined;
    });
  } catch {
    return true;
  }
}

/**
 * Nothing has been swapped: all inactive tables that were loaded are emptied first, because a plain resume would put one that
 * was loaded before the freeze in the place of the live one; then what was suspended goes on, last first. A device whose
 * table could not be emptied stands still, rather than show something wrong.
 */
async function standDown(kernel: Kernel, touched: readonly Step[], log: Log): Promise<void> {
  const loaded = new Set<DeviceKey>();
  const attempt = async (step: Step): Promise<boolean> => {
    try {
      await kernel.apply([step]);
      return true;
    } catch (error) {
      log.error({ step: stepText(step), error: messageOf(error) }, 'stand down failed');
      return false;
    }
  };
  const steps = touched.toReversed();
  // They go again, and a device without a table has nothing to resume.
  const fresh = new Set(steps.flatMap((step) => (step.do === 'create' || step.do === 'make' ? [step.device] : [])));
  for (const { device } of steps.filter((step) => step.do === 'load')) {
    if (!(await attempt({ do: 'clear', device }))) loaded.add(device);
  }
  for (const step of steps.flatMap(undone)) {
    if (step.do === 'resume' && (loaded.has(step.device) || fresh.has(step.device))) continue;
    await attempt(step);
  }
}

function undone(step: Step): readonly (Step & { readonly device: DeviceKey })[] {
  // A resume that failed leaves its device suspended, also one that was not before.
  if (step.do === 'suspend' || step.do === 'resume') return [{ do: 'resume', device: step.device }];
  if (step.do === 'create' || step.do === 'make') return [{ do: 'remove', device: step.device }];
  return [];
}

/**
 * What of the pool belongs to a family: its entities' devices, its stores, and whatever hangs together with those through
 * tables. A ghost that has just been absorbed is in no record any more, but its devices are still to be taken away.
 */
export function ofFamily(observed: Observed, family: Family): Observed {
  const owners = new Set<string | undefined>(
    [...family.records.values()].flatMap(({ entity, store }) => [entity.id, store]),
  );
  const mine = new Map([...observed.devices].filter(([key]) => owners.has(ownerOf(key))));
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
