// The kernel's rules of a store that goes on in a tail: `cow = linear(store) ++ linear(tail)`, where the tail holds a write
// without room. Both nodes run the same cases. What hangs is begun, seen to wait, and let go by the tail.

import type { RuleCase } from './rules.ts';
import { HANGS, MERGES } from './tails/hangs.ts';
import { FLUSHES, LOADS } from './tails/loads.ts';
import { CHANGES, ORDERS } from './tails/orders.ts';
import { ROOMS, SIGNS } from './tails/room.ts';
import { FORKS, WAITING } from './tails/waiting.ts';

export const TAILS: readonly RuleCase[] = [
  ...WAITING,
  ...FORKS,
  ...FLUSHES,
  ...LOADS,
  ...HANGS,
  ...MERGES,
  ...ROOMS,
  ...SIGNS,
  ...CHANGES,
  ...ORDERS,
];
