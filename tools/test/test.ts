// `./dev test [suite...]`: all suites side by side in a few lanes, one closing line with the sum of all tests.

import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDir } from '../cache.ts';
import { csiSanity } from '../csi-sanity.ts';
import { buildBundle } from '../bundle.ts';
import { say } from '../progress.ts';
import type { PartResult } from './part.ts';
import { add, runPart } from './part.ts';
import type { Part } from './suites.ts';
import { SUITES } from './suites.ts';

/** Guests wait for disks and timers a good part of their time; three lanes keep two cores busy. */
const LANES = 3;

const USAGE = `usage: ./dev test [SUITE...]
${SUITES.map(({ name, summary }) => `  ${name.padEnd(7)} ${summary}`).join('\n')}
All of them when none is named.
  SNAPMERGE_SEEDS, SNAPMERGE_SEED, SNAPMERGE_OPERATIONS   how many random scenarios, the first seed, how long each
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
  const dir = join(cacheDir(), 'test');
  await mkdir(dir, { recursive: true });
  // Built once, before anything asks for them side by side.
  if (suites.some(({ name }) => name === 'csi')) await Promise.all([csiSanity(), buildBundle()]);
  const results = await runLanes(lanesOf(suites.flatMap(({ parts }) => parts)), dir);
  for (const { name, passed, failed, skipped, seconds, logPath } of results) {
    const where = failed > 0 ? `   see ${logPath}` : '';
    process.stdout.write(
      `${name.padEnd(10)} ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds} s${where}\n`,
    );
  }
  const { passed, failed, skipped } = results.reduce(add, { passed: 0, failed: 0, skipped: 0 });
  process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
  return failed === 0 ? 0 : 1;
};

/** The longest part has a lane of its own; the others follow each other in the order of the suites. */
function lanesOf(parts: readonly Part[]): readonly (readonly Part[])[] {
  const long = parts.filter(({ name }) => name === 'random');
  const lanes: Part[][] = Array.from({ length: LANES - 1 }, () => []);
  parts
    .filter((part) => !long.includes(part))
    .forEach((part, index) => {
      lanes[index % lanes.length]?.push(part);
    });
  return [long, ...lanes].filter((lane) => lane.length > 0);
}

async function runLanes(lanes: readonly (readonly Part[])[], dir: string): Promise<readonly PartResult[]> {
  const done = await Promise.all(
    lanes.map(async (lane) => {
      const results: PartResult[] = [];
      for (const part of lane) results.push(await runPart(part, dir, (line) => process.stdout.write(`${line}\n`)));
      return results;
    }),
  );
  return done.flat();
}
