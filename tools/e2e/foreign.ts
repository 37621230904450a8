// Targets that this repository does not make itself: kind and minikube by a script, or whatever kubectl speaks to. None of
// them is run by CI.

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDir } from '../cache-dir.ts';
import { ToolError } from '../fault.ts';
import { image } from '../image/image.ts';
import { attempt, run } from '../run.ts';
import type { Target } from './target.ts';

const ARCHIVE = 'dist/snapmerge-image.tar';

const requireProgram = async (program: string): Promise<void> => {
  const found = await attempt(['sh', '-c', 'command -v "$1"', 'sh', program]);
  if (found.code !== 0) throw new ToolError(`Cannot go on: '${program}' is not installed`);
};

/** A cluster of the name `snapmerge-NAME`, made by `test/e2e/clusters/KIND.sh`. */
export const scriptedTarget = async (kind: 'kind' | 'minikube', name: string): Promise<Target> => {
  for (const program of [kind, 'kubectl']) await requireProgram(program);
  const dir = join(cacheDir(), 'clusters', `${kind}-${name}`);
  await mkdir(dir, { recursive: true });
  const kubeconfig = join(dir, 'kubeconfig');
  const script = (verb: string): Promise<string> =>
    run([`test/e2e/clusters/${kind}.sh`, verb, `snapmerge-${name}`, ARCHIVE], { env: { KUBECONFIG: kubeconfig } });
  const kept = existsSync(kubeconfig);
  if (!kept) {
    await image(['--out', ARCHIVE]);
    await script('up');
  }
  return {
    kind,
    kubectl: 'kubectl',
    kubeconfig,
    deployment: kept ? undefined : 'deploy/overlays/try',
    remove: async () => void (await script('down')),
  };
};

/** The driver must be installed: nothing of a cluster that is somebody's is changed but in namespaces of the tests' own. */
export const currentTarget = async (): Promise<Target> => {
  await requireProgram('kubectl');
  return {
    kind: 'current',
    kubectl: 'kubectl',
    kubeconfig: undefined,
    deployment: undefined,
    remove: () => Promise.resolve(),
  };
};
