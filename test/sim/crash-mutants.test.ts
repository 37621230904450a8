// The crash test itself on trial: with a rule of the design dropped, it must find out within a few seeds.

import { expect, test } from 'vitest';
import type { Step } from '../../src/dm/step.ts';
import type { Ports } from './crash-run.ts';
import { runCrashes } from './crash-run.ts';
import type { World } from './world.ts';

const nothing = (): Promise<void> => Promise.resolve();

/** The driver asks for such a step, and nobody does it. */
const without =
  (step: Step['do']) =>
  ({ kernel, lvm, host }: World): Ports => {
    const apply = (asked: Step): Promise<void> => (asked.do === step ? nothing() : kernel.apply(asked));
    return { kernel: { ...kernel, apply }, lvm, host };
  };

const MUTANTS: readonly (readonly [string, (world: World) => Ports])[] = [
  ['commits are not flushed', ({ kernel, lvm, host }) => ({ kernel, lvm: { ...lvm, flush: nothing }, host })],
  ['stores are not cleaned', ({ kernel, lvm }) => ({ kernel, lvm, host: { zero: nothing } })],
  ['a snapshot does not flush its origin', without('flush')],
  ['nothing is suspended before its store changes hands', without('suspend')],
  ['left-over inactive tables are not cleared', without('clear')],
  [
    'a commit only adds tags',
    ({ kernel, lvm, host }) => ({
      kernel,
      lvm: { ...lvm, retag: (store, add) => lvm.retag(store, add, []) },
      host,
    }),
  ],
];

test.each(MUTANTS)('%s: found', { timeout: 300_000 }, async (_name, ports) => {
  const found: string[] = [];
  for (let seed = 1; seed <= 10 && found.length === 0; seed += 1) {
    const { failure } = await runCrashes({ seed, operations: 12, ports });
    if (failure !== '') found.push(failure);
  }
  expect(found).toHaveLength(1);
});
