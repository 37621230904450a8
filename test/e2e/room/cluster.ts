// The cluster that `./dev e2e` has brought up, as its tests reach it: kubectl as a cluster administrator, and for clusters of
// guests the power of the nodes.

import { openCluster } from '../../../tools/cluster/cluster.ts';
import type { Cluster } from '../../../tools/cluster/cluster.ts';
import { attempt, run } from '../../../tools/run.ts';
import type { RunOptions, RunResult } from '../../../tools/run.ts';

const told = (name: string): string => {
  const value = process.env[name];
  if (value === undefined) throw new Error(`Cannot test a cluster: ${name} is not set; start this with ./dev e2e`);
  return value;
};

/** Nodes and control plane can be stopped only where they are ours. */
export const isGuests = (): boolean => told('SNAPMERGE_E2E_CLUSTER') === 'vm';

export const guests = (): Promise<Cluster> => openCluster(told('SNAPMERGE_E2E_NAME'));

/** Standard output of kubectl, which must succeed. */
export const kubectl = (args: readonly string[], options?: RunOptions): Promise<string> =>
  run([told('SNAPMERGE_E2E_KUBECTL'), ...args], options);

/** Whatever becomes of it. */
export const tryKubectl = (args: readonly string[], options?: RunOptions): Promise<RunResult> =>
  attempt([told('SNAPMERGE_E2E_KUBECTL'), ...args], options);

/** Standard output of a script, which must succeed; kubectl is at `$KUBECTL`. */
export const shell = (script: string, dir: string): Promise<string> =>
  run(['sh', '-ec', script], { cwd: dir, env: { KUBECTL: told('SNAPMERGE_E2E_KUBECTL') } });
