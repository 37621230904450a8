// The only place that puts things together: the command line and this machine. Of the rest, each command loads what it
// needs (the driver itself: run-driver.ts).

import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommanderError } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import { createPoolFor } from './cli/create-pool.ts';
import { EXIT, createOperator } from './cli/operator.ts';
import { createProgram } from './cli/program.ts';
import { columnsOf, styleOf } from './cli/terminal.ts';
import { systemClock } from './system/clock.ts';
import { createClaims, openExclusive } from './dm/claim.ts';
import type { Claims } from './dm/claim.ts';
import { SnapmergeError, messageOf } from './vocabulary/errors.ts';
import { localExec } from './system/exec.ts';

const { version } = packageJson;

const claimsOf = (command: string): Claims =>
  createClaims({
    exec: localExec,
    open: openExclusive,
    holder: () => ({ command, pid: process.pid, host: hostname(), sinceMs: Date.now() }),
    sleep,
  });

const operator = createOperator({
  exec: localExec,
  terminal: {
    write: (text) => void process.stdout.write(text),
    complain: (text) => void process.stderr.write(text),
    style: styleOf(process.env, process.stdout),
    live: process.stdout.isTTY,
    columns: () => columnsOf(process.stdout),
  },
  env: process.env,
  nowMs: () => performance.now(),
  pause: systemClock.sleep,
  interrupted: () => {
    const enough = new AbortController();
    process.once('SIGINT', () => enough.abort());
    return enough.signal;
  },
});

const program = createProgram(version, process.env, {
  ...operator,
  ended: (code) => {
    process.exitCode = code;
  },
  serve: async (config) => {
    const { runDriver } = await import('./driver/run-driver.ts');
    try {
      await runDriver(config, version, claimsOf('serve'));
    } finally {
      hasServed = true;
    }
  },
  createPool: async (request) => {
    // A driver that waits for this group must not find half of it.
    const { release } = await claimsOf('pool create').claim(request.volumeGroup);
    try {
      process.stdout.write(await createPoolFor(localExec, request));
    } finally {
      await release();
    }
  },
  print: (text) => process.stdout.write(text),
});

/** Another process may have the pools by now, so nothing that still waits for a command may go on. */
let hasServed = false;

// Whoever reads our output may have seen enough of it.
process.stdout.on('error', () => process.exit());

try {
  await program.parseAsync();
} catch (error) {
  // commander has said what is wrong; help and version end with 0.
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : EXIT.unknown;
  else {
    process.stderr.write(`${messageOf(error)}\n`);
    const isUnknown = error instanceof SnapmergeError && (error.kind === 'invalid' || error.kind === 'unavailable');
    process.exitCode = isUnknown ? EXIT.unknown : EXIT.wrong;
  }
}
if (hasServed) process.exit();
