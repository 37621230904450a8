// Counts everything that changes something, and dies or fails where a test has asked for it. One effect is one
// step of Kernel.apply, one change of LVM, one flush, one zeroing.

import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import { SimCrash, SimHang } from './errors.ts';
import type { Machine } from './machine.ts';
import { notice } from './machine.ts';

/** At least so many of the last effects are kept: a machine that is saved at every effect must not grow with its past. */
const TRACE_LINES = 200;

/** A read: impossible for a dead driver, and no effect. */
export function alive(m: Machine): void {
  if (m.effects.dead) throw new SimCrash(m.effects.count);
}

/** What else happens with every effect. */
export interface Around {
  /** It is about to happen. */
  readonly before: () => void;
  /** It has happened: merges go on by themselves. */
  readonly after: () => void;
}

export function effect(m: Machine, text: string, run: () => void, { before, after }: Around): void {
  alive(m);
  const { effects } = m;
  if (effects.count >= effects.stopAfter) {
    effects.dead = true;
    throw new SimCrash(effects.count);
  }
  before();
  const fault = effects.faults.get(effects.count);
  effects.count += 1;
  m.trace.push(text);
  if (m.trace.length > 2 * TRACE_LINES) m.trace.splice(0, TRACE_LINES);
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
