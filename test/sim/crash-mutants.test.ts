// The crash test itself on trial: with a rule of the design dropped, it must find out within some seeds.

import { expect, test } from 'vitest';
import { inTurn } from '../../src/dm/kernel.ts';
import { mergeFinished } from '../../src/dm/status.ts';
import type { Step } from '../../src/dm/step.ts';
import { randomly } from './crash-random.ts';
import type { Ports } from './crash-run.ts';
import { runCrashes } from './crash-run.ts';
import type { Told } from './crash-story.ts';
import { telling } from './crash-tell.ts';
import type { World } from './world.ts';

const SEEDS = 40;

const nothing = (): Promise<void> => Promise.resolve();

/** Every step goes through `change`, which does it, or does not. */
const steps =
  (change: (step: Step, world: World) => Promise<void>) =>
  (world: World): Ports => ({
    lvm: world.lvm,
    host: world.host,
    kernel: {
      ...world.kernel,
      apply: inTurn((step) => change(step, world)),
    },
  });

/** The driver asks for such a step, and nobody does it. */
const without = (kind: Step['do'], device = '') =>
  steps((step, { kernel }) =>
    step.do === kind && 'device' in step && step.device.endsWith(device) ? nothing() : kernel.apply([step]),
  );

/** A step of such a device is done one step later. */
const late =
  (isLate: (step: Step) => boolean) =>
  (world: World): Ports => {
    let held: Step | undefined;
    const apply = async (step: Step): Promise<void> => {
      const before = held;
      held = isLate(step) ? step : undefined;
      if (held === undefined) await world.kernel.apply([step]);
      if (before !== undefined) await world.kernel.apply([before]);
    };
    return { lvm: world.lvm, host: world.host, kernel: { ...world.kernel, apply: inTurn(apply) } };
  };

/** What should stand still is suspended only when the new tables have been loaded. */
function loadedBeforeTheFreeze(world: World): Ports {
  const held: Step[] = [];
  const apply = async (step: Step): Promise<void> => {
    if (step.do === 'suspend') held.push(step);
    else {
      if (step.do === 'resume') for (const one of held.splice(0)) await world.kernel.apply([one]);
      await world.kernel.apply([step]);
    }
  };
  return { lvm: world.lvm, host: world.host, kernel: { ...world.kernel, apply: inTurn(apply) } };
}

/** A top whose table stays is left alone. */
const topsLeftAlone = steps(async (step, { kernel }) => {
  if ((step.do === 'suspend' || step.do === 'resume') && step.device.endsWith('-top')) {
    const top = (await kernel.observe()).devices.get(step.device);
    if (top?.live !== undefined && top.inactive === undefined) return;
  }
  await kernel.apply([step]);
});

/** A write without room fails, in place of waiting. */
const holdingNothing = steps(async (step, { kernel }) => {
  if (!('table' in step)) return await kernel.apply([step]);
  const table = step.table.map((target) => (target.type === 'hold' ? { ...target, type: 'error' as const } : target));
  await kernel.apply([{ ...step, table }]);
});

const isFedSnapshot = (step: Step): boolean => step.do === 'resume' && step.device.startsWith('s-');

const MUTANTS: readonly (readonly [string, (world: World) => Ports])[] = [
  ['commits are not flushed', ({ kernel, lvm, host }) => ({ kernel, lvm: { ...lvm, flush: nothing }, host })],
  ['stores are not cleaned', ({ kernel, lvm, host }) => ({ kernel, lvm, host: { ...host, zero: nothing } })],
  ['a snapshot does not flush its origin', without('flush')],
  ['nothing is suspended before its store changes hands', without('suspend')],
  ['left-over inactive tables are not cleared', without('clear')],
  ['a top is not resumed', without('resume', '-top')],
  ['a fed snapshot goes on after its writer', late(isFedSnapshot)],
  ['a fed store appears after its volume', late((step) => step.do === 'activate')],
  ['a table that changes hands is loaded before the freeze', loadedBeforeTheFreeze],
  ['a fed snapshot is made without its origin being resumed', topsLeftAlone],
  ['a tail holds nothing', holdingNothing],
  [
    'a commit only adds tags',
    ({ kernel, lvm, host }) => ({
      kernel,
      lvm: { ...lvm, retag: (store, add) => lvm.retag(store, add, []) },
      host,
    }),
  ],
  [
    'a commit is split in two',
    ({ kernel, lvm, host }) => ({
      kernel,
      lvm: {
        ...lvm,
        retag: async (store, add, remove) => {
          if (remove.length > 0) await lvm.retag(store, [], remove);
          if (add.length > 0) await lvm.retag(store, add, []);
        },
      },
      host,
    }),
  ],
  [
    'a store is decided before it is clean',
    ({ kernel, lvm, host }) => {
      const held: (() => Promise<void>)[] = [];
      const retag: typeof lvm.retag = async (...args) => {
        await lvm.retag(...args);
        for (const zero of held.splice(0)) await zero();
      };
      const zero: typeof host.zero = async (...args) => {
        held.push(() => host.zero(...args));
      };
      return { kernel, lvm: { ...lvm, retag }, host: { ...host, zero } };
    },
  ],
  [
    'a merge begins before its commit is flushed',
    ({ kernel, lvm, host }) => {
      let held = false;
      const flush = async (): Promise<void> => {
        held = true;
      };
      const apply = async (step: Step): Promise<void> => {
        await kernel.apply([step]);
        if (!held || step.do !== 'resume') return;
        held = false;
        await lvm.flush();
      };
      return { kernel: { ...kernel, apply: inTurn(apply) }, lvm: { ...lvm, flush }, host };
    },
  ],
  [
    'merges are written down before they are done',
    ({ kernel, lvm, host }) => {
      const statuses: typeof kernel.statuses = async () =>
        new Map(
          [...(await kernel.statuses())].map(([key, status]) => [
            key,
            status.state === 'counts' && !mergeFinished(status) ? { ...status, used: status.metadata } : status,
          ]),
        );
      return { kernel: { ...kernel, statuses }, lvm, host };
    },
  ],
  [
    'a sweep takes a store that counts',
    ({ kernel, lvm, host }) => {
      const remove: typeof lvm.remove = async (store) => {
        await lvm.remove(store);
        const { stores } = await lvm.report();
        const used = (await kernel.observe()).stores;
        const victim = stores.find((one) => !used.has(one.store));
        if (victim !== undefined) await lvm.remove(victim.store);
      };
      return { kernel, lvm: { ...lvm, remove }, host };
    },
  ],
];

test.each(MUTANTS)('%s: found', { timeout: 300_000 }, async (_name, ports) => {
  const found: string[] = [];
  // What shows without a crash shows soon.
  for (const crashes of [false, true]) {
    for (let seed = 1; seed <= SEEDS && found.length === 0; seed += 1) {
      const { failure } = await runCrashes({ seed, next: randomly(12, crashes), ports });
      if (failure !== undefined) found.push(failure.message);
    }
  }
  expect(found).toHaveLength(1);
});

const SHAPE = { size: 512 * 1024, chunk: 16 * 1024 };
const PROMOTION: readonly Told[] = [
  { do: 'create', name: 'V1', ...SHAPE },
  { do: 'snapshot', name: 'S2', volume: 'V1' },
  { do: 'create', name: 'F3', from: 'S2', ...SHAPE },
  { do: 'activate', volume: 'F3' },
  { do: 'write', volume: 'F3', writes: [[3, 6]] },
  { do: 'restore', mode: 'snapshot', volume: 'F3', snapshot: 'S2', keep: true },
  { do: 'background' },
];

/** By chance few promotions come to their end. */
test('a promoted store keeps its name: found', { timeout: 300_000 }, async () => {
  const ports = ({ kernel, lvm, host }: World): Ports => {
    const retag: typeof lvm.retag = (store, add, remove) =>
      add.some((tag) => tag.startsWith('sm.volume=')) ? nothing() : lvm.retag(store, add, remove);
    return { kernel, lvm: { ...lvm, retag }, host };
  };
  const { failure } = await runCrashes({ seed: 1, next: telling(PROMOTION, 'none'), ports });
  expect(failure?.message).toBe('the background does not come to an end');
  expect((await runCrashes({ seed: 1, next: telling(PROMOTION, 'none') })).failure).toBeUndefined();
});
