// The only place that puts things together: the command line, this machine's commands and files, the pools and the
// server.

import packageJson from '../package.json' with { type: 'json' };
import { createPoolFor } from './cli/create-pool.ts';
import { createProgram } from './cli/program.ts';
import { serve, systemClock } from './cli/serve.ts';
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

const program = createProgram(version, process.env, {
  serve: runDriver,
  createPool: async (request) => {
    process.stdout.write(await createPoolFor(localExec, request));
  },
  print: (text) => process.stdout.write(text),
});

try {
  await program.parseAsync();
} catch (error) {
  process.stderr.write(`${messageOf(error)}\n`);
  process.exitCode = error instanceof SnapmergeError && error.kind === 'invalid' ? 2 : 1;
}
