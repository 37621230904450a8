// Counts everything that changes something, and dies or fails where a test has asked for it. One effect is one
// Kernel.apply, one change of LVM, one flush, one zeroing.

import { SnapmergeError } from '../../src/errors.ts';
import { SimCrash, SimHang } from './errors.ts';
import type { Machine } from './machine.ts';
import { notice } from './machine.ts';

/** A read: impossible for a dead driver, and no effect. */
export function alive(m: Machine): void {
  if (m.effects.dead) throw new SimCrash(m.effects.count);
}

/** `after` runs when the effect has happened: merges go on by themselves. */
export function effect(m: Machine, text: string, run: () => void, after: () => void): void {
  alive(m);
  const { effects } = m;
  if (effects.count >= effects.stopAfter) {
    effects.dead = true;
    throw new SimCrash(effects.count);
  }
  const fault = effects.faults.get(effects.count);
  effects.count += 1;
  m.trace.push(text);
  if (fault === 'before')
    throw new SnapmergeError('internal', `Cannot ${text}: a fault was asked for, nothing happened`);
  try {
    run();
  } catch (error) {
    if (error instanceof SimHang) notice(m, 'hang', text, error.message);
    throw error;
  }
  after();
  if (fault === 'after') throw new SnapmergeError('internal', `Cannot ${text}: a fault was asked for, and it happened`);
}
