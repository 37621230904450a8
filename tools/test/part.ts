// Runs one part of a suite: its output goes into a file, the lines that matter to the terminal as they come, its counts
// are read from a report and never guessed from words.

import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { once } from 'node:events';
import type { Part } from './suites.ts';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface PartResult extends Counts {
  readonly name: string;
  readonly seconds: number;
  readonly logPath: string;
}

/** Lines that suites print for people; everything else stays in the file. */
const TELLING = /^(kernel|sim|csi-sanity[^:]*|snapmerge): /;
const SIGN_OF_LIFE_MS = 30_000;

export async function runPart(part: Part, dir: string, say: (line: string) => void): Promise<PartResult> {
  const logPath = join(dir, `${part.name}.log`);
  const reportPath = join(dir, `${part.name}.json`);
  await rm(reportPath, { force: true });
  const report =
    part.counting === 'vitest' ? ['--reporter=default', '--reporter=json', `--outputFile=${reportPath}`] : [];
  const [file, ...args] = [...part.argv, ...report];
  const startMs = performance.now();
  const seconds = (): number => Math.round((performance.now() - startMs) / 1000);
  const log = createWriteStream(logPath);
  const child = spawn(file ?? '', args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      log.write(`${line}\n`);
      if (!TELLING.test(line)) return;
      lines.push(line);
      say(`${part.name}: ${line}`);
    });
  }
  const life = setInterval(() => say(`${part.name}: ${seconds()} s so far`), SIGN_OF_LIFE_MS);
  const [code]: unknown[] = await once(child, 'close');
  clearInterval(life);
  log.end();
  const counts = await countsOf(part, code === 0, lines, reportPath);
  say(`${part.name}: ${counts.passed} passed, ${counts.failed} failed in ${seconds()} s`);
  return { name: part.name, ...counts, seconds: seconds(), logPath };
}

async function countsOf(part: Part, ended: boolean, lines: readonly string[], reportPath: string): Promise<Counts> {
  const found = await readCounts(part, ended, lines, reportPath);
  // A command that failed without counting a failure did fail: it could not run, or something outside of a test did.
  return ended || found.failed > 0 ? found : { ...found, failed: 1 };
}

async function readCounts(part: Part, ended: boolean, lines: readonly string[], reportPath: string): Promise<Counts> {
  switch (part.counting) {
    case 'exit-code':
      return { passed: ended ? 1 : 0, failed: ended ? 0 : 1, skipped: 0 };
    case 'vitest':
      return readReport(reportPath);
    case 'csi-sanity':
      return lines.map(readSanity).reduce(add, { passed: 0, failed: 0, skipped: 0 });
  }
}

async function readReport(path: string): Promise<Counts> {
  const text = await readFile(path, 'utf8').catch(() => '{}');
  const report: unknown = JSON.parse(text);
  const count = (key: string): number => {
    const value: unknown = typeof report === 'object' && report !== null ? Reflect.get(report, key) : undefined;
    return typeof value === 'number' ? value : 0;
  };
  const passed = count('numPassedTests');
  // No test run at all is a failure too.
  const failed = Math.max(count('numFailedTests'), passed === 0 ? 1 : 0);
  return { passed, failed, skipped: count('numPendingTests') + count('numTodoTests') };
}

function readSanity(line: string): Counts {
  const match = /^csi-sanity \S+: (\d+) passed, (\d+) failed, (\d+) skipped/.exec(line);
  const [, passed = '0', failed = '0', skipped = '0'] = match ?? [];
  return { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) };
}

export function add(a: Counts, b: Counts): Counts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}
