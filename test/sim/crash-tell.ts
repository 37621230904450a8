// What a failed crash story becomes: a short one that fails in the same way, in words, and as a literal that tells it again.

import type { CrashOptions, CrashResult, Failure } from './crash-run.ts';
import { runCrashes } from './crash-run.ts';
import type { Story, Told } from './crash-story.ts';
import { simpler, writeStory } from './crash-story.ts';
import { shrink } from './shrink.ts';

export interface ShortStory {
  readonly story: Story;
  readonly failure: Failure;
  /** How many operations there were before. */
  readonly from: number;
  readonly tries: number;
  readonly finished: boolean;
}

interface Limits {
  readonly tries: number;
  readonly ms: number;
}

const LIMITS: Limits = { tries: 400, ms: 90_000 };

/** Its operations, with a crash at every point of all of them, or of the last alone. */
export function telling(operations: readonly Told[], crashing: 'all' | 'last' | 'none'): CrashOptions['next'] {
  return ({ index }) => {
    const told = operations[index];
    if (told === undefined) return undefined;
    return { told, crashes: crashing === 'all' || (crashing === 'last' && index === operations.length - 1) };
  };
}

/** What kind of failure it is: its words without names, ids, numbers, and without which part of a look found it. */
export function kindOf({ message, when }: Failure): string {
  const complaint = message.split('\n').find((line) => !/^[a-z ,]+:$/.test(line)) ?? message;
  const plain = complaint
    .replaceAll(/'[^']*'/g, "'...'")
    .replaceAll(/\b(?:[vs]-|sm_)[0-9a-z]{10}(?:-[a-z]+[0-9]*)?/g, '...')
    .replaceAll(/-?\d+/g, 'N');
  return `${when === 'crashed' ? 'crashed' : 'undisturbed'}: ${plain.slice(0, KIND_LETTERS)}`;
}

const KIND_LETTERS = 60;

/** The shortest story that was found within the limits. */
export async function shorten(
  { seed, ports }: Pick<CrashOptions, 'seed' | 'ports'>,
  played: readonly Told[],
  failure: Failure,
  limits: Limits = LIMITS,
): Promise<ShortStory> {
  const kind = kindOf(failure);
  const crashing = failure.when === 'crashed' ? 'last' : 'none';
  const lateMs = performance.now() + limits.ms;
  let shortest = failure;
  const { items, tries, finished } = await shrink(played, {
    simpler,
    maxTries: limits.tries,
    isLate: () => performance.now() > lateMs,
    failing: async (operations) => {
      const result = await runCrashes({ seed, ports, next: telling(operations, crashing) });
      if (result.failure === undefined || kindOf(result.failure) !== kind) return undefined;
      shortest = result.failure;
      return result.played;
    },
  });
  return { story: { seed, operations: [...items] }, failure: shortest, from: played.length, tries, finished };
}

/** For a person: what was done, where it broke, the last effects, what is wrong, and how to see it again. */
export function storyText({ story, failure, from, tries, finished }: ShortStory): string {
  const { seed, operations } = story;
  const how = `${operations.length} of ${from} operations after ${tries} tries${finished ? '' : ', not at its shortest'}`;
  return [
    `seed ${seed}, ${how}:`,
    ...failure.lines.map((line) => `  ${line}`),
    'the last effects:',
    ...failure.trace.map((line) => `  ${line}`),
    'what is wrong:',
    ...failure.message.split('\n').map((line) => `  ${line}`),
    'again:',
    `  SNAPMERGE_CRASH_STORY='${writeStory(story)}' npx vitest run test/sim/crash.test.ts`,
  ].join('\n');
}

/** Empty where nothing failed; otherwise the shortened story. */
export async function failureText(
  options: Pick<CrashOptions, 'seed' | 'ports'>,
  { played, failure }: CrashResult,
): Promise<string> {
  return failure === undefined ? '' : storyText(await shorten(options, played, failure));
}
