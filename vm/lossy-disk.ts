// A disk for a guest that has a write cache which a power cut empties. QEMU reaches it by NBD. It can stop answering at a
// chosen request, so that a cut falls between any two of them, and refuse a part of them.

import type { Medium, MediumOptions } from './medium.ts';
import { createMedium } from './medium.ts';
import { serveNbd } from './nbd.ts';
import type { NbdReply, NbdRequest } from './nbd.ts';

export interface LossyDisk extends Omit<Medium, 'answer'> {
  /** The unix socket. */
  readonly path: string;
  /** Requests so far that changed something or flushed. */
  readonly changes: () => number;
  /** Answers nothing until the promise ends, and then all that came meanwhile. */
  readonly holdUntil: (end: Promise<unknown>) => void;
  /** Answers nothing more from now on, until power is lost. */
  readonly stop: () => void;
  readonly close: () => Promise<void>;
}

export interface LossyDiskOptions extends MediumOptions {
  readonly path: string;
  /** Asked before each change and each flush; false stops the disk before it. */
  readonly goesOn?: () => boolean;
}

export async function createLossyDisk(options: LossyDiskOptions): Promise<LossyDisk> {
  const { path, sizeBytes, goesOn = () => true } = options;
  const { answer, ...medium } = createMedium(options);
  let changes = 0;
  let stopped = false;
  let held: Promise<unknown> | undefined;
  const now = (request: NbdRequest): NbdReply => {
    if (request.do !== 'read' && !stopped) {
      stopped = !goesOn();
      if (!stopped) changes += 1;
    }
    return stopped ? 'no-answer' : answer(request);
  };
  const server = await serveNbd(path, sizeBytes, (request) => held?.then(() => now(request)) ?? now(request));
  return {
    ...medium,
    path,
    changes: () => changes,
    holdUntil: (end) => {
      held = end.finally(() => {
        held = undefined;
      });
    },
    stop: () => {
      stopped = true;
    },
    // What was sent and not read never came.
    losePower: (loss, chance) => {
      server.disconnect();
      stopped = false;
      return medium.losePower(loss, chance);
    },
    close: () => server.close(),
  };
}
