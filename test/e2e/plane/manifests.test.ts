// The manifests as an API server takes them: each overlay is applied whole, twice, validated strictly; and the account of
// the pods may do what its parts do, and nothing that would give it the cluster.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { z } from 'zod';
import { removeControlPlane, startControlPlane } from '../../../tools/cluster/control-plane.ts';
import type { ControlPlane } from '../../../tools/cluster/control-plane.ts';
import { attempt } from '../../../tools/run.ts';

const BUILD_LIMIT_MS = 40 * 60_000;
const NAME = 'manifests-test';
const ACCOUNT = 'system:serviceaccount:snapmerge-system:snapmerge';
let plane: ControlPlane;

const template = z.object({ metadata: z.looseObject({}), spec: z.looseObject({}) });
const daemonSet = z.object({ spec: z.object({ template }) });

beforeAll(async () => {
  plane = await startControlPlane({ name: NAME });
  await plane.kubectl(['apply', '--server-side', '--kustomize', plane.binaries.snapshotCrdDir]);
  await plane.kubectl(['wait', '--for=condition=Established', 'crd', '--all', '--timeout=60s']);
}, BUILD_LIMIT_MS);
afterAll(() => removeControlPlane(NAME));

const apply = async (folder: string): Promise<readonly string[]> =>
  (await plane.kubectl(['apply', '--validate=strict', '--kustomize', folder])).trim().split('\n');

test.each(['deploy', 'deploy/overlays/bare-metal', 'deploy/overlays/try'])(
  '%s is taken as it is, and again without a change',
  async (folder) => {
    const first = await apply(folder);
    expect(first).toContainEqual(expect.stringMatching(/^daemonset.apps\/snapmerge /));
    expect(first.length).toBeGreaterThan(20);
    const second = await apply(folder);
    expect(second.filter((line) => !line.endsWith(' unchanged'))).toEqual([]);
  },
  120_000,
);

test('a pod as the DaemonSet makes it is let into its namespace, and into no ordinary one', async () => {
  const said = await plane.kubectl(['get', 'daemonset', 'snapmerge', '--namespace=snapmerge-system', '--output=json']);
  const { metadata, spec } = daemonSet.parse(JSON.parse(said)).spec.template;
  const create = async (namespace: string): Promise<string> => {
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { ...metadata, name: 'like', namespace }, spec };
    const argv = [plane.binaries.path('kubectl'), `--kubeconfig=${plane.kubeconfigPath}`, 'create'] as const;
    const { stdout, stderr } = await attempt([...argv, '--dry-run=server', '--filename=-'], {
      input: JSON.stringify(pod),
    });
    return stdout + stderr;
  };
  expect(await create('snapmerge-system')).toContain('pod/like created');
  await plane.kubectl(['create', 'namespace', 'ordinary']);
  await plane.kubectl(['label', 'namespace', 'ordinary', 'pod-security.kubernetes.io/enforce=restricted']);
  await plane.kubectl(['create', 'serviceaccount', 'snapmerge', '--namespace=ordinary']);
  expect(await create('ordinary')).toContain('violates PodSecurity "restricted');
});

/** `things`, `things/name`, or `things:subresource`. */
const canI = async (verb: string, what: string, namespace: string): Promise<boolean> => {
  const [resource = '', subresource] = what.split(':');
  const part = subresource === undefined ? [] : [`--subresource=${subresource}`];
  const argv = [plane.binaries.path('kubectl'), `--kubeconfig=${plane.kubeconfigPath}`, 'auth', 'can-i'] as const;
  const { stdout } = await attempt([...argv, verb, resource, ...part, `--namespace=${namespace}`, `--as=${ACCOUNT}`]);
  return stdout.trim() === 'yes';
};

test.each([
  ['create', 'persistentvolumes', 'any'],
  ['update', 'persistentvolumeclaims', 'any'],
  ['patch', 'persistentvolumeclaims', 'any'],
  ['patch', 'persistentvolumeclaims:status', 'any'],
  ['patch', 'volumesnapshotcontents.snapshot.storage.k8s.io:status', 'any'],
  ['create', 'csistoragecapacities.storage.k8s.io', 'snapmerge-system'],
  ['patch', 'volumerestores.snapmerge.io:status', 'any'],
  ['create', 'volumesnapshotcontents.snapshot.storage.k8s.io', 'any'],
  ['update', 'leases.coordination.k8s.io/external-resizer-csi-snapmerge-io', 'snapmerge-system'],
])('the account may %s %s in %s namespace', async (verb, resource, namespace) => {
  expect(await canI(verb, resource, namespace)).toBe(true);
});

test.each([
  ['get', 'secrets', 'any'],
  ['patch', 'persistentvolumes:status', 'any'],
  ['get', 'configmaps', 'any'],
  ['create', 'pods', 'any'],
  ['delete', 'pods', 'any'],
  ['delete', 'persistentvolumeclaims', 'any'],
  ['list', 'nodes', 'any'],
  ['patch', 'nodes', 'any'],
  ['create', 'csistoragecapacities.storage.k8s.io', 'any'],
  ['update', 'leases.coordination.k8s.io/other', 'snapmerge-system'],
  ['create', 'clusterrolebindings.rbac.authorization.k8s.io', 'any'],
  ['impersonate', 'users', 'any'],
])('the account may not %s %s in %s namespace', async (verb, resource, namespace) => {
  expect(await canI(verb, resource, namespace)).toBe(false);
});
