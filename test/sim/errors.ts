// How the simulation says what a real node says with a hang, a power cut or an errno. The only classes of test/sim.

import { SnapmergeError } from '../../src/vocabulary/errors.ts';
import type { Device } from './machine.ts';

/** The driver or the node died before this effect. */
export class SimCrash extends Error {
  constructor(effect: number) {
    super(`the simulated node died before effect ${effect}`);
    this.name = 'SimCrash';
  }
}

/** A real kernel would now hang, unkillably: a test that sees it has failed. */
export class SimHang extends Error {
  constructor(what: string) {
    super(`Cannot go on: ${what}; the kernel would hang here, unkillably`);
    this.name = 'SimHang';
  }
}

/** An I/O that waits at a suspended device, or is held by one. Never leaves the simulation. */
export class Stuck extends Error {
  readonly at: Device;
  /** Devices it has entered: the one that it waits at only where that holds it. */
  readonly path: readonly Device[];
  constructor(at: Device, path: readonly Device[]) {
    super(`waits at ${at.key}`);
    this.name = 'Stuck';
    this.at = at;
    this.path = path;
  }
}

/** What the kernel or LVM answers with an error, with nothing changed. */
export function refuse(what: string): never {
  throw new SnapmergeError('internal', what);
}
