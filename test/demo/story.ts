// How the demo speaks: numbered steps with their times, checks that count, and blocks of what a command printed.

export interface Story {
  /** Does one step and says how long it took. */
  readonly step: <T>(title: string, work: () => Promise<T>) => Promise<T>;
  /** Something that must be true; a check that fails ends the demo. */
  readonly check: (claim: string, holds: boolean, seen?: string) => void;
  readonly say: (line: string) => void;
  /** What a command printed, indented. */
  readonly show: (title: string, text: string) => void;
  readonly checks: () => number;
}

export class CheckFailed extends Error {}

export function createStory(write: (text: string) => void): Story {
  let steps = 0;
  let checks = 0;
  return {
    checks: () => checks,
    step: async (title, work) => {
      steps += 1;
      write(`\n${steps}. ${title}\n`);
      const startMs = performance.now();
      const result = await work();
      write(`   took ${((performance.now() - startMs) / 1000).toFixed(1)} s\n`);
      return result;
    },
    check: (claim, holds, seen) => {
      if (!holds) throw new CheckFailed(`${claim}${seen === undefined ? '' : `: saw ${seen}`}`);
      checks += 1;
      write(`   checked: ${claim}${seen === undefined ? '' : ` (${seen})`}\n`);
    },
    say: (line) => write(`   ${line}\n`),
    show: (title, text) => {
      const lines = text.trimEnd().split('\n');
      write(`   ${title}\n${lines.map((line) => `   | ${line}\n`).join('')}`);
    },
  };
}
