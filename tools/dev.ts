// The verbs of ./dev. One file for each; loaded when asked for, so that a verb starts quickly and does not depend on
// what the others need.

import { ToolError } from './fault.ts';
import { say } from './progress.ts';
import type { Verb } from './verb.ts';
import { GuestError } from '../vm/fault.ts';

const verbs: Readonly<Record<string, Verb>> = {
  demo: {
    summary: 'the main job in a guest, told as a story',
    run: async (args) => (await import('./demo.ts')).demo(args),
  },
  test: {
    summary: 'run all tests, or the suites named',
    run: async (args) => (await import('./test/test.ts')).test(args),
  },
  image: {
    summary: "build the driver's image as an OCI archive, without a container engine",
    run: async (args) => (await import('./image/image.ts')).image(args),
  },
  e2e: {
    summary: 'run the tests of a real Kubernetes cluster',
    run: async (args) => (await import('./e2e/e2e.ts')).e2e(args),
  },
  bench: {
    summary: "measure beside LVM's own snapshots and thin volumes",
    run: async (args) => (await import('./bench.ts')).bench(args),
  },
  up: {
    summary: 'boot a guest with a pool and the driver, print the path of its CSI socket',
    run: async (args) => (await import('./up.ts')).up(args),
  },
  exec: {
    summary: 'run a command in the guest',
    run: async (args) => (await import('./exec.ts')).exec(args),
  },
  shell: {
    summary: 'open a shell in the guest',
    run: async (args) => (await import('./shell.ts')).shell(args),
  },
  cut: {
    summary: 'cut the power of the guest and boot it again on the same disks',
    run: async (args) => (await import('./cut.ts')).cut(args),
  },
  down: {
    summary: 'stop the guest and remove its disks',
    run: async (args) => (await import('./down.ts')).down(args),
  },
};

const help = (): void => {
  const lines = Object.entries(verbs).map(([name, { summary }]) => `  ${name.padEnd(7)} ${summary}`);
  process.stdout.write(
    `usage: ./dev VERB [OPTIONS]\n\n${lines.join('\n')}\n\n./dev VERB --help lists a verb's options.\n`,
  );
};

const main = async ([name = 'help', ...args]: readonly string[]): Promise<number> => {
  if (name === 'help' || name === '--help' || name === '-h') {
    help();
    return 0;
  }
  const verb = Object.hasOwn(verbs, name) ? verbs[name] : undefined;
  if (verb === undefined) {
    say(`there is no verb '${name}'; see ./dev help`);
    return 2;
  }
  try {
    return await verb.run(args);
  } catch (error) {
    // What a person can act on needs no stack; anything else is a fault of ours and does.
    if (!(error instanceof ToolError || error instanceof GuestError)) throw error;
    say(error.message);
    return 1;
  }
};

process.exitCode = await main(process.argv.slice(2));
