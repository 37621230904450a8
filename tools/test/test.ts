// `./dev test [suite...]`: all suites, a few commands side by side, one closing line with the sum of all tests.

import { mkdir } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { messageOf } from '../../src/errors.ts';
import { prepareGuests } from '../../vm/guest.ts';
import { say } from '../progress.ts';
import type { PartResult } from './part.ts';
import { add, runPart } from './part.ts';
import type { GuestsOn, Part } from './suites.ts';
import { SUITES } from './suites.ts';

/** The whole output of each part of the last run. */
const LOGS = 'dist/test';
/** A guest keeps a processor busy, and two that share one take longer than one after the other. Each is a GiB of memory. */
const LANES = Math.min(4, Math.max(2, availableParallelism()));

/** Parts that take minutes, the longest first: by processor time, of which `random` uses that of two guests at once. */
const LONGEST: readonly string[] = [
  'random',
  'csi-use',
  'qemu-contract',
  'cuts',
  'qemu-random',
  'qemu-adapters',
  'qemu-cuts',
  'tails',
  'contract',
  'csi-mount',
  'csi-block',
  'csi-costs',
  'faults',
  'csi-cli',
  'adapters',
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
  const kinds = new Set(suites.flatMap(({ guests }) => guests ?? []));
  const [results, beds] = await Promise.all([runAll(suites.flatMap(({ parts }) => parts)), bedsOf(kinds)]);
  for (const { name, passed, failed, skipped, seconds, cpuSeconds, logPath } of results) {
    const where = failed > 0 ? `   see ${logPath}` : '';
    process.stdout.write(
      `${name.padEnd(10)} ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds} s, ${cpuSeconds} s of processor time${where}\n`,
    );
  }
  const cpuSeconds = results.reduce((sum, one) => sum + one.cpuSeconds, 0);
  process.stdout.write(`${cpuSeconds} s of processor time in all\n`);
  for (const about of beds) process.stdout.write(`${about}\n`);
  const { passed, failed, skipped } = results.reduce(add, { passed: 0, failed: 0, skipped: 0 });
  process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
  return failed === 0 ? 0 : 1;
};

/** What guests run on, said as soon as it is known, beside what needs none. */
async function bedsOf(kinds: ReadonlySet<GuestsOn>): Promise<readonly string[]> {
  try {
    const beds = [
      ...(kinds.has('chosen') ? [await prepareGuests()] : []),
      ...(kinds.has('qemu') ? [await prepareGuests('qemu')] : []),
    ];
    beds.forEach(say);
    return beds;
  } catch (error) {
    // Every part that needs a guest fails for the same reason.
    say(messageOf(error));
    return [];
  }
}

/** The longest parts begin, so that no long one runs alone at the end; whoever is free takes the next one. */
async function runAll(parts: readonly Part[]): Promise<readonly PartResult[]> {
  const rank = ({ name }: Part): number => (LONGEST.includes(name) ? LONGEST.indexOf(name) : LONGEST.length);
  const queue = [...parts].sort((a, b) => rank(a) - rank(b));
  const results: PartResult[] = [];
  const ending = new AbortController();
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) process.once(signal, () => ending.abort());
  const lane = async (): Promise<void> => {
    for (let part = queue.shift(); part !== undefined; part = queue.shift()) {
      const say = (line: string): void => void process.stdout.write(`${line}\n`);
      results.push(await runPart(part, { dir: LOGS, say, ending: ending.signal }));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return results;
}
