// Kubernetes and the CSI sidecars as static programs, built from the Go modules that go/go.mod names: nothing of them is
// committed, and go.sum says what they must be. The first build takes minutes; afterwards they come from the cache.

import { cp, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, hashOf } from '../cache.ts';
import { ToolError } from '../fault.ts';
import { go } from '../go.ts';
import { run } from '../run.ts';

export interface ClusterBinaries {
  readonly dir: string;
  /** Of Kubernetes, such as `v1.36.3`. */
  readonly version: string;
  /** The definitions of VolumeSnapshot and its kin, as YAML files. */
  readonly snapshotCrdDir: string;
  readonly path: (program: Program) => string;
  /** As its images are tagged, such as `v6.3.0`. */
  readonly sidecarVersion: (name: Sidecar) => string;
}

export type Program =
  | Sidecar
  | 'kube-apiserver'
  | 'kube-controller-manager'
  | 'kube-scheduler'
  | 'kubectl'
  | 'kubelet'
  | 'snapshot-controller';

/** The modules that the sidecars come from. */
const SIDECARS = {
  'csi-provisioner': 'github.com/kubernetes-csi/external-provisioner/v6',
  'csi-resizer': 'github.com/kubernetes-csi/external-resizer/v2',
  'csi-snapshotter': 'github.com/kubernetes-csi/external-snapshotter/v8',
} as const;

export type Sidecar = keyof typeof SIDECARS;

const MODULE_DIR = join(import.meta.dirname, 'go');
const SNAPSHOT_API = 'github.com/kubernetes-csi/external-snapshotter/client/v8';
const RECIPE_VERSION = '2';

/** Without a version the API server calls itself 0.0.0, and clients and kubelets refuse it. */
const linkerFlags = (version: string): string => {
  const [major = '', minor = ''] = version.slice(1).split('.');
  const values = Object.entries({ gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: 'clean' });
  const packages = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'];
  const settings = packages.flatMap((path) => values.map(([key, value]) => `-X ${path}.${key}=${value}`));
  return ['-s', '-w', ...settings].join(' ');
};

const versionOf = (goMod: string, module: string): string => {
  const lines = goMod.split('\n').map((line) => line.trim().split(' '));
  const version = lines.find(([path = '', version = '']) => path === module && version.startsWith('v'))?.[1];
  if (version === undefined)
    throw new ToolError(`Cannot build '${module}': ${MODULE_DIR}/go.mod names no version of it`);
  return version;
};

export const clusterBinaries = async (): Promise<ClusterBinaries> => {
  const [goMod, goSum] = await Promise.all(
    ['go.mod', 'go.sum'].map((name) => readFile(join(MODULE_DIR, name), 'utf8')),
  );
  const version = versionOf(goMod ?? '', 'k8s.io/kubernetes');
  const key = hashOf(RECIPE_VERSION, goMod ?? '', goSum ?? '');
  const label = `building Kubernetes ${version} and the CSI sidecars (once; some five minutes on 2 cores)`;
  const dir = await cached('kubernetes', key, label, async (path) => {
    const { program, env } = await go();
    // Less collecting, and no debug data, which the linker would leave out anyway: 270 s on 2 cores in place of some 450.
    const options = { cwd: MODULE_DIR, env: { ...env, GOGC: '800' } };
    const flags = ['-mod=readonly', '-trimpath', '-buildvcs=false', '-gcflags=all=-dwarf=false'];
    // `tool` is every program that go.mod calls one.
    await run([program, 'build', ...flags, '-ldflags', linkerFlags(version), '-o', `${path}/`, 'tool'], options);
    const module = (
      await run([program, 'list', '-mod=readonly', '-m', '-f', '{{.Dir}}', SNAPSHOT_API], options)
    ).trim();
    await cp(join(module, 'config/crd'), join(path, 'crd'), { recursive: true, mode: 0 });
  });
  return {
    dir,
    version,
    snapshotCrdDir: join(dir, 'crd'),
    path: (name) => join(dir, name),
    sidecarVersion: (name) => versionOf(goMod ?? '', SIDECARS[name]),
  };
};
