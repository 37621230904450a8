// `./dev e2e`: the driver as its users use it. Brings a cluster up, installs the driver as the documentation says, runs the
// suite, and takes the cluster down.

import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import { removeCluster } from '../cluster/cluster.ts';
import { ToolError } from '../fault.ts';
import { readOptions } from '../options.ts';
import { say, step } from '../progress.ts';
import { run } from '../run.ts';
import { add, runPart } from '../test/part.ts';
import type { Counts } from '../test/part.ts';
import { currentTarget, scriptedTarget } from './foreign.ts';
import type { Target } from './target.ts';
import { vmTarget } from './vm.ts';

const USAGE = `usage: ./dev e2e [OPTIONS] [FILE...]
  --cluster KIND   vm: a whole Kubernetes on this machine (default)
                   kind, minikube: made by a script, for people who have them; not run by CI
                   current: the one that kubectl speaks to, with the driver installed
  --name NAME      of the cluster, for several side by side (e2e)
  --keep           leave it running; the next run with this name uses it, with the driver that it has
  --up             only bring it up and install the driver; prints how to speak to it
  --down           only take it down
  --short          without the faults: what disturbs a whole node or cluster takes as long as all the rest
FILE: test files, or parts of their names. All of them when none is named.`;

/** Everything that a run writes. */
const LOGS = 'dist/e2e';
/** Of these, so that a slow start is told from a broken one. */
const ROLLOUT_LIMIT = '1200s';
const NAMESPACE = 'snapmerge-system';

interface SuitePart {
  readonly name: string;
  readonly path: string;
  /** Test files side by side; 1 where they disturb each other. */
  readonly lanes: number;
}

const FAULTS = 'faults';
/** One after the other; what stands together runs side by side. */
const STAGES: readonly (readonly SuitePart[])[] = [
  [{ name: 'cases', path: 'test/e2e/cases', lanes: 3 }],
  [
    { name: FAULTS, path: 'test/e2e/faults', lanes: 1 },
    // With API servers of their own, while the faults mostly wait for nodes.
    { name: 'plane', path: 'test/e2e/plane', lanes: 1 },
    { name: 'restores', path: 'test/kubernetes', lanes: 1 },
  ],
  [{ name: 'node-faults', path: 'test/e2e/node-faults', lanes: 2 }],
  [{ name: 'end', path: 'test/e2e/end', lanes: 1 }],
];
const LEFT_OUT = new Set([FAULTS, 'node-faults']);

/** Part of a file's name is enough to choose it, and must not choose tests of other suites. */
const ELSEWHERE = ['contract', 'csi', 'kernel', 'sim', 'unit', 'vm'].map((suite) => `--exclude=test/${suite}/**`);

const targetOf = (kind: string, name: string): Promise<Target> => {
  switch (kind) {
    case 'vm':
      return vmTarget(name);
    case 'kind':
    case 'minikube':
      return scriptedTarget(kind, name);
    case 'current':
      return currentTarget();
    default:
      throw new ToolError(`Cannot use --cluster '${kind}'\n${USAGE}`);
  }
};

const environment = (target: Target, name: string): Readonly<Record<string, string>> => ({
  ...(target.kubeconfig === undefined ? {} : { KUBECONFIG: target.kubeconfig }),
  SNAPMERGE_E2E_CLUSTER: target.kind,
  SNAPMERGE_E2E_NAME: name,
  SNAPMERGE_E2E_KUBECTL: target.kubectl,
});

const install = async (target: Target, env: Readonly<Record<string, string>>): Promise<void> => {
  const { deployment, kubectl } = target;
  if (deployment === undefined) return;
  await step('installing the driver', async () => {
    await run([kubectl, 'apply', '--kustomize', deployment], { env });
    const rollout = [
      'rollout',
      'status',
      'daemonset/snapmerge',
      `--namespace=${NAMESPACE}`,
      `--timeout=${ROLLOUT_LIMIT}`,
    ];
    try {
      await run([kubectl, ...rollout], { env });
    } catch (error) {
      const look = async (...args: readonly string[]): Promise<void> =>
        say(await run([kubectl, ...args, `--namespace=${NAMESPACE}`], { env }).catch(() => ''));
      await look('describe', 'pods');
      await look('logs', 'daemonset/snapmerge', '--all-containers', '--tail=20');
      throw error;
    }
  });
};

interface Choice {
  readonly files: readonly string[];
  readonly short: boolean;
}

const stagesOf = ({ files, short }: Choice): readonly (readonly SuitePart[])[] => {
  if (files.length > 0) return [[{ name: 'chosen', path: 'test/e2e', lanes: 1 }]];
  return short ? STAGES.map((parts) => parts.filter(({ name }) => !LEFT_OUT.has(name))) : STAGES;
};

const runSuite = async (env: Readonly<Record<string, string>>, choice: Choice): Promise<Counts> => {
  await mkdir(LOGS, { recursive: true });
  Object.assign(process.env, env);
  const ending = new AbortController();
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT'] as const) process.once(signal, () => ending.abort());
  const tell = (line: string): void => void process.stdout.write(`${line}\n`);
  let sum: Counts = { passed: 0, failed: 0, skipped: 0 };
  const { files } = choice;
  const runOne = async ({ name, path, lanes }: SuitePart): Promise<void> => {
    const chosen = files.length === 0 ? [path] : [...files, ...ELSEWHERE];
    const argv = ['node_modules/.bin/vitest', 'run', ...chosen, `--maxWorkers=${lanes}`] as const;
    const result = await runPart(
      { name, argv: [...argv], counting: 'vitest' },
      { dir: LOGS, say: tell, ending: ending.signal },
    );
    if (result.failed > 0) tell(`${name}: see ${result.logPath}`);
    sum = add(sum, result);
  };
  for (const parts of stagesOf(choice)) if (!ending.signal.aborted) await Promise.all(parts.map(runOne));
  return sum;
};

export const e2e = async (args: readonly string[]): Promise<number> => {
  const at = args.findIndex(
    (arg, index) => !arg.startsWith('--') && !['--cluster', '--name'].includes(args[index - 1] ?? ''),
  );
  const [own, files] = at === -1 ? [args, []] : [args.slice(0, at), args.slice(at)];
  const options = readOptions(USAGE, own, {
    cluster: { type: 'string', default: 'vm' },
    name: { type: 'string', default: 'e2e' },
    keep: { type: 'boolean', default: false },
    up: { type: 'boolean', default: false },
    down: { type: 'boolean', default: false },
    short: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  });
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const { name } = options;
  if (options.down) {
    if (options.cluster === 'vm') await step(`removing cluster '${name}'`, () => removeCluster(name));
    else await (await targetOf(options.cluster, name)).remove();
    return 0;
  }
  let target: Target | undefined;
  let done = false;
  try {
    target = await targetOf(options.cluster, name);
    const env = environment(target, name);
    await install(target, env);
    if (options.up) {
      done = true;
      if (target.kubeconfig !== undefined) process.stdout.write(`export KUBECONFIG=${resolve(target.kubeconfig)}\n`);
      process.stdout.write(`${target.kubectl} get nodes\n`);
      return 0;
    }
    const { passed, failed, skipped } = await runSuite(env, { files, short: options.short });
    done = options.keep;
    process.stdout.write(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}\n`);
    return failed === 0 ? 0 : 1;
  } finally {
    if (!done && options.cluster === 'vm') await step(`removing cluster '${name}'`, () => removeCluster(name));
    else if (!done) await target?.remove();
  }
};
