// `./dev test [suite...]`: all suites, a few commands side by side, one closing line with the sum of all tests.

import { mkdir } from 'node:fs/promises';
import { messageOf } from '../../src/vocabulary/errors.ts';
import { prepareGuests } from '../../vm/guest.ts';
import { say } from '../progress.ts';
import { run } from '../run.ts';
import type { PartResult } from './part.ts';
import { add, runPart } from './part.ts';
import type { BedKind } from '../../vm/state.ts';
import type { Part, Suite } from './suites.ts';
import { SUITES } from './suites.ts';

/** The whole output of each part of the last run. */
const LOGS = 'dist/test';
/** Guests wait for disks and timers a good part of their time; three lanes keep two cores busy. */
const LANES = 3;

/** Parts that take minutes, the longest first: by processor time, of which `random` uses that of two guests at once. */
const LONGEST: readonly string[] = [
  'random',
  'csi-restores',
  'csi-use',
  'cuts',
  'contract',
  'qemu-contract',
  'uml-contract',
  'tails',
  'csi-mount',
  'csi-block',
  'csi-costs',
  'faults',
  'adapters',
  'depth',
  'sim',
  'csi-cli',
];

const USAGE = `usage: ./dev test [SUITE...]
${SUITES.map(({ name, summary }) => `  ${name.padEnd(7)} ${summary}`).join('\n')}
All of them when none is named.
  SNAPMERGE_SEEDS, SNAPMERGE_SEED, SNAPMERGE_OPERATIONS   how many random scenarios, the first seed, how long each
  SNAPMERGE_CUTS, SNAPMERGE_CUT_SEED                      how many power cuts of a real kernel, the first seed
  SNAPMERGE_GUEST                                         uml or qemu: what guests run on, in place of what suits this machine
`;

export const test = async (names: readonly string[]): Promise<number> => {
  if (names.includes('--help')) {
    process.stdout.write(USAGE);
    return 0;
  }
  const unknown = names.filter((name) => !SUITES.some((suite) => suite.name === name));
  if (unknown.length > 0) {
    say(`there is no suite '${unknown.join("', '")}'\n${USAGE}`);
    return 2;
  }
  const suites = names.length === 0 ? SUITES : SUITES.filter(({ name }) => names.includes(name));
  await mkdir(LOGS, { recursive: true });
  // The types of what services answer, for tsc and lint: made of the .proto files, and kept nowhere.
  if (suites.some(({ name }) => name === 'check')) await run(['npm', 'run', '--silent', 'proto']);
  const parts = suites.flatMap((suite) => suite.parts);
  const beds = bedsOf(suites, names);
  const results = await runAll(
    parts.filter(({ notOn }) => notOn === undefined),
    // Of these it is known only when it is known what guests run on.
    beds.then(({ others }) => parts.filter(({ notOn }) => notOn !== undefined && others.has(notOn))),
  );
  for (const { name, passed, failed, skipped, seconds, cpuSeconds, logPath } of results) {
    const where = failed > 0 ? `   see ${logPath}` : '';
    process.stdout.write(
      `${name.padEnd(10)} ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds} s, ${cpuSeconds} s of processor time${where}\n`,
    );
  }
  const cpuSeconds = results.reduce((sum, one) => sum + one.cpuSeconds, 0);
  // At the end, where whoever keeps only the last lines still has them.
  for (const { name, failures } of results) {
    for (const failure of failures) process.stdout.write(`failed: ${name}: ${failure}\n`);
  }
  process.stdout.write(`${cpuSeconds} s of processor time in all\n`);
  for (const about of (await beds).about) process.stdout.write(`${about}\n`);
  const { passed, failed, skipped } = results.reduce(add, { passed: 0, failed: 0, skipped: 0 });
  process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
  return failed === 0 ? 0 : 1;
};

interface Beds {
  /** What guests run on, a sentence each. */
  readonly about: readonly string[];
  /** Those for which a suite of their own runs: others than this machine's guests have, or those whose suites are named. */
  readonly others: ReadonlySet<BedKind>;
}

/** What guests run on, said as soon as it is known, beside what needs none. */
async function bedsOf(suites: readonly Suite[], names: readonly string[]): Promise<Beds> {
  const kinds = new Set(suites.flatMap(({ guests }) => guests ?? []));
  const about: string[] = [];
  const others = new Set<BedKind>();
  const prepare = async (bed?: BedKind): Promise<BedKind> => {
    const { kind, about: sentence } = await prepareGuests(bed);
    say(sentence);
    about.push(sentence);
    return kind;
  };
  try {
    const chosen = kinds.has('chosen') ? await prepare() : undefined;
    for (const bed of ['qemu', 'uml'] as const) {
      if (!kinds.has(bed)) continue;
      if (names.includes(bed)) {
        others.add(bed);
        await prepare(bed);
      } else if (bed !== chosen && (await isThere(prepare(bed)))) {
        others.add(bed);
      }
    }
  } catch (error) {
    // Every part that needs a guest fails for the same reason.
    say(messageOf(error));
  }
  return { about, others };
}

/** A machine without one of the beds is none that all tests fail on. */
async function isThere(prepared: Promise<BedKind>): Promise<boolean> {
  try {
    await prepared;
    return true;
  } catch (error) {
    say(`a suite is left out: ${messageOf(error)}`);
    return false;
  }
}

/** The longest parts begin, so that no long one runs alone at the end; whoever is free takes the next one. */
async function runAll(parts: readonly Part[], later: Promise<readonly Part[]>): Promise<readonly PartResult[]> {
  const rank = ({ name }: Part): number => (LONGEST.includes(name) ? LONGEST.indexOf(name) : LONGEST.length);
  const queue = [...parts].sort((a, b) => rank(a) - rank(b));
  const enqueue = (more: readonly Part[]): void => {
    queue.push(...more);
    queue.sort((a, b) => rank(a) - rank(b));
  };
  const added = later.then(enqueue);
  const results: PartResult[] = [];
  const ending = new AbortController();
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) process.once(signal, () => ending.abort());
  const next = async (): Promise<Part | undefined> => {
    if (queue.length === 0) await added;
    return queue.shift();
  };
  const lane = async (): Promise<void> => {
    for (let part = await next(); part !== undefined; part = await next()) {
      const say = (line: string): void => void process.stdout.write(`${line}\n`);
      results.push(await runPart(part, { dir: LOGS, say, ending: ending.signal }));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return results;
}
