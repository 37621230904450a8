// The driver as it is, but for two things: what goes on by itself goes on when it is told to, so that it is counted by itself,
// and for the engine no time passes but between operations.

import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { readConfig } from '../../../src/config/config.ts';
import { createClaims, openExclusive } from '../../../src/dm/claim.ts';
import type { PoolEngine } from '../../../src/engine/compose.ts';
import type { Exec } from '../../../src/system/exec.ts';
import type { Clock } from '../../../src/vocabulary/ports.ts';
import { runDriver } from '../../../src/driver/run-driver.ts';
import { waitFor } from '../../../vm/wait.ts';

const VERSION = 'counted';
const LIMIT_MS = 120_000;
/** Longer than anything is remembered. */
const BETWEEN_MS = 60_000;

export const SOCKET = '/run/snapmerge/csi.sock';
const PORT = 9808;
export const METRICS = `http://127.0.0.1:${PORT}/metrics`;

export interface Driver {
  readonly engine: PoolEngine;
  readonly stop: () => Promise<void>;
}

export interface StoppedClock extends Clock {
  readonly pass: () => void;
}

/** Nothing that was read before an operation is recent in it, however quick the machine is. */
export function createStoppedClock(): StoppedClock {
  let nowMs = Date.now();
  return {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    // Of a look at something that has not come yet: a moment, which is none to the driver.
    sleep: (_ms, signal) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, 10);
        signal.addEventListener('abort', () => {
          clearTimeout(timer);
          resolve();
        });
      }),
    pass: () => {
      nowMs += BETWEEN_MS;
    },
  };
}

/** Ends when the driver serves. */
export async function startDriver(vg: string, exec: Exec, clock: Clock): Promise<Driver> {
  const flags = {
    node: 'counted',
    socket: SOCKET,
    pools: [{ name: 'pool', volumeGroup: vg }],
    httpAddress: `127.0.0.1:${PORT}`,
  };
  const holder = { command: 'serve', pid: process.pid, host: 'counted', sinceMs: clock.nowMs() };
  const claims = createClaims({ exec, open: openExclusive, holder: () => holder, sleep });
  const ending = new AbortController();
  const begun: PoolEngine[] = [];
  const ended = runDriver(readConfig({ flags, env: {}, file: undefined }), VERSION, claims, {
    exec,
    clock,
    begin: async (engine) => {
      await engine.open();
      begun.push(engine);
    },
    ending: ending.signal,
  });
  await Promise.race([ended, waitFor(LIMIT_MS, () => (existsSync(SOCKET) ? true : undefined))]);
  const [engine] = begun;
  if (engine === undefined) throw new Error('Cannot start the driver: see its log');
  return {
    engine,
    stop: async () => {
      ending.abort();
      await ended;
    },
  };
}
