// The only place that puts things together: the command line, this machine's commands and files, the pools and the
// server.

import { CommanderError } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import { createPoolFor } from './cli/create-pool.ts';
import { EXIT, createOperator } from './cli/operator.ts';
import { createProgram } from './cli/program.ts';
import { serve, systemClock } from './cli/serve.ts';
import { columnsOf, styleOf } from './cli/terminal.ts';
import type { Config } from './config.ts';
import { SnapmergeError, messageOf } from './errors.ts';
import { localExec } from './exec.ts';
import { createLogger } from './log.ts';
import { localFiles } from './node/files.ts';
import { poolOpeners } from './open-pool.ts';

const { version } = packageJson;

async function runDriver(config: Config): Promise<void> {
  const log = createLogger(config.logLevel);
  const ending = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ending.abort());
  const openers = poolOpeners(config.pools, {
    exec: localExec,
    clock: systemClock,
    log,
    reservePercent: config.reservePercent,
  });
  await serve({ config, openers, exec: localExec, files: localFiles, log, version, ending: ending.signal });
}

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
  serve: runDriver,
  createPool: async (request) => {
    process.stdout.write(await createPoolFor(localExec, request));
  },
  print: (text) => process.stdout.write(text),
});

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
