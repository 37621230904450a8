// Runs one part of a suite: its output goes into a file, the lines that matter to the terminal as they come, its counts
// are read from a report and never guessed from words. A part that cannot run, or does not end, has failed.

import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { messageOf } from '../../src/vocabulary/errors.ts';
import { lastTime, remember } from '../durations.ts';
import type { CpuTime } from './cpu-time.ts';
import { watchCpuTime } from './cpu-time.ts';
import type { Part } from './suites.ts';
import type { VitestReport } from './vitest-report.ts';
import { failuresIn, readReport } from './vitest-report.ts';

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export interface PartResult extends Counts {
  readonly name: string;
  /** The tests that failed, each with the first line of its reason. */
  readonly failures: readonly string[];
  readonly seconds: number;
  /** Of processors, by the part and all its guests. */
  readonly cpuSeconds: number;
  readonly logPath: string;
}

/** Lines that suites print for people; everything else stays in the file. */
const TELLING = /^(kernel|strangers|sim|csi-sanity[^:]*|snapmerge|measure): /;
const SIGN_OF_LIFE_MS = 15_000;
/** Nothing of ours takes so long; what hangs must not hang the whole run. */
const PART_LIMIT_MS = 40 * 60_000;
/** How much of a failed part's output is shown: a machine that runs tests may keep nothing else. */
const SHOWN_LINES = 60;

export interface Run {
  /** Where the logs go. */
  readonly dir: string;
  readonly say: (line: string) => void;
  /** Ends the part: its guests would outlive us otherwise. */
  readonly ending: AbortSignal;
}

export async function runPart(part: Part, { dir, say, ending }: Run): Promise<PartResult> {
  const logPath = join(dir, `${part.name}.log`);
  // Of this run alone: two runs side by side must not count each other's tests.
  const reportPath = join(dir, `${part.name}.${process.pid}.json`);
  const startMs = performance.now();
  const seconds = (): number => Math.round((performance.now() - startMs) / 1000);
  let saidMs = startMs;
  const tell = (line: string): void => {
    saidMs = performance.now();
    say(`${part.name}: ${line}`);
  };

  const lines: string[] = [];
  const last = lastTime(`test ${part.name}`);
  const life = setInterval(() => {
    if (performance.now() - saidMs >= SIGN_OF_LIFE_MS)
      tell(`${seconds()} s so far${last}; ${lines.at(-1)?.trim() ?? 'quiet'}`);
  }, 1000);
  const take = (line: string): void => {
    if (line.trim() !== '') lines.push(line);
    if (TELLING.test(line)) tell(line);
  };
  const { ended, cpuSeconds } = await runChild(
    { command: commandOf(part, reportPath), env: part.env ?? {} },
    logPath,
    ending,
    take,
  );
  clearInterval(life);
  const report = part.counting === 'vitest' ? await readReport(reportPath) : undefined;
  const counts = countsOf(part, ended, lines, report);
  await rm(reportPath, { force: true });
  if (counts.failed > 0) for (const line of lines.slice(-SHOWN_LINES)) tell(`| ${line}`);
  tell(`${counts.passed} passed, ${counts.failed} failed in ${seconds()} s`);
  if (counts.failed === 0) remember(`test ${part.name}`, seconds());
  return {
    name: part.name,
    ...counts,
    failures: report === undefined ? [] : failuresIn(report),
    seconds: seconds(),
    cpuSeconds,
    logPath,
  };
}

function commandOf({ argv, counting }: Part, reportPath: string): readonly string[] {
  if (counting !== 'vitest') return argv;
  return [...argv, '--reporter=verbose', '--reporter=json', `--outputFile=${reportPath}`];
}

interface Ended {
  /** True when it ended with 0. */
  readonly ended: boolean;
  readonly cpuSeconds: number;
}

interface Started {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

async function runChild(
  { command: [file = '', ...args], env }: Started,
  logPath: string,
  ending: AbortSignal,
  take: (line: string) => void,
): Promise<Ended> {
  const log = createWriteStream(logPath);
  const keep = (line: string): void => {
    log.write(`${line}\n`);
    take(line);
  };
  let cpu: CpuTime | undefined;
  const endedWell = (ended: boolean): Ended => ({ ended, cpuSeconds: cpu?.seconds() ?? 0 });
  try {
    const child = spawn(file, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, NO_COLOR: '1', ...env },
      timeout: PART_LIMIT_MS,
      signal: ending,
    });
    if (child.pid !== undefined) cpu = watchCpuTime(child.pid);
    for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', keep);
    const [code, signal]: unknown[] = await once(child, 'close');
    if (code !== 0) keep(typeof code === 'number' ? `ended with code ${code}` : `ended by ${JSON.stringify(signal)}`);
    return endedWell(code === 0);
  } catch (error) {
    keep(`Cannot run '${file}': ${messageOf(error)}`);
    return endedWell(false);
  } finally {
    cpu?.stop();
    log.end();
  }
}

function countsOf(part: Part, ended: boolean, lines: readonly string[], report: VitestReport | undefined): Counts {
  const found = readCounts(part, ended, lines, report);
  if (found.failed > 0) return found;
  // A command that failed without counting a failure did fail: it could not run, or something outside of a test did.
  // One that ran no test at all has shown nothing.
  return ended && found.passed > 0 ? found : { ...found, failed: 1 };
}

function readCounts(part: Part, ended: boolean, lines: readonly string[], report: VitestReport | undefined): Counts {
  switch (part.counting) {
    case 'exit-code':
      return { passed: ended ? 1 : 0, failed: ended ? 0 : 1, skipped: 0 };
    case 'vitest':
      return {
        passed: report?.numPassedTests ?? 0,
        failed: report?.numFailedTests ?? 0,
        skipped: (report?.numPendingTests ?? 0) + (report?.numTodoTests ?? 0),
      };
    case 'csi-sanity':
      return lines.map(readSanity).reduce(add, { passed: 0, failed: 0, skipped: 0 });
  }
}

function readSanity(line: string): Counts {
  const match = /^csi-sanity \S+: (\d+) passed, (\d+) failed, (\d+) skipped/.exec(line);
  const [, passed = '0', failed = '0', skipped = '0'] = match ?? [];
  return { passed: Number(passed), failed: Number(failed), skipped: Number(skipped) };
}

export function add(a: Counts, b: Counts): Counts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}
