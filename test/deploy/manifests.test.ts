// The manifests without a cluster: that every file is one and is used, that what they name is there, and that they agree
// with the driver and with each other. What an API server makes of them: test/e2e/manifests.test.ts.

import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { z } from 'zod';
import packageJson from '../../package.json' with { type: 'json' };
import { readConfig } from '../../src/config/config.ts';
import { DRIVER_NAME } from '../../src/controller/identity.ts';
import { readVolumeParameters } from '../../src/controller/parameters.ts';

const DEPLOY = join(import.meta.dirname, '../../deploy');

const files = readdirSync(DEPLOY, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.yaml'))
  .sort();

function documentsOf(path: string): readonly unknown[] {
  return parseAllDocuments(readFileSync(join(DEPLOY, path), 'utf8')).map((document) => {
    expect([path, document.errors, document.warnings]).toEqual([path, [], []]);
    const value: unknown = document.toJS();
    return value;
  });
}

const meta = z.looseObject({ name: z.string(), namespace: z.string().optional() });
const object = z.looseObject({ apiVersion: z.string(), kind: z.string(), metadata: meta });

/** Objects of the base, by kind. */
function baseObjects<S extends z.ZodType>(kind: string, schema: S): readonly z.output<S>[] {
  return files
    .filter((path) => path.startsWith('base/') && !/(kustomization|config)\.yaml$/.test(path))
    .flatMap(documentsOf)
    .filter((document) => object.parse(document).kind === kind)
    .map((document) => schema.parse(document));
}

const named = z.object({ name: z.string() });
const kustomization = z.object({
  apiVersion: z.string(),
  kind: z.enum(['Kustomization', 'Component']),
  namespace: z.string().optional(),
  labels: z.array(z.unknown()).optional(),
  resources: z.array(z.string()).default([]),
  components: z.array(z.string()).default([]),
  patches: z.array(z.object({ path: z.string(), target: z.unknown().optional() })).default([]),
  configMapGenerator: z.array(z.looseObject({ name: z.string(), files: z.array(z.string()).default([]) })).default([]),
  generatorOptions: z.unknown().optional(),
  images: z.array(z.object({ name: z.string(), newTag: z.string() })).default([]),
});

test('every file is read by a kustomization, and what those read is there', () => {
  const used = new Set<string>();
  for (const path of files.filter((name) => name.endsWith('kustomization.yaml'))) {
    used.add(path);
    const [document] = documentsOf(path);
    const { resources, components, patches, configMapGenerator } = kustomization.strict().parse(document);
    const generated = configMapGenerator.flatMap((one) => one.files.map((file) => file.slice(file.indexOf('=') + 1)));
    for (const entry of [...resources, ...components, ...patches.map((one) => one.path), ...generated]) {
      const target = normalize(join(dirname(path), entry));
      const isFolder = existsSync(join(DEPLOY, target)) && statSync(join(DEPLOY, target)).isDirectory();
      used.add(isFolder ? join(target, 'kustomization.yaml') : target);
    }
  }
  expect([...used].filter((path) => !existsSync(join(DEPLOY, path)))).toEqual([]);
  const top = ['kustomization.yaml', 'overlays/try/kustomization.yaml', 'overlays/bare-metal/kustomization.yaml'];
  expect(files.filter((path) => !used.has(path) && !path.startsWith('crd/'))).toEqual([]);
  expect(files).toEqual(expect.arrayContaining(top));
});

const binding = z.object({
  metadata: meta,
  roleRef: z.object({ kind: z.string(), name: z.string() }),
  subjects: z.array(z.object({ kind: z.string(), name: z.string() })),
});
const role = z.object({
  metadata: meta,
  rules: z.array(
    z.object({
      apiGroups: z.array(z.string()),
      resources: z.array(z.string()),
      resourceNames: z.array(z.string()).optional(),
      verbs: z.array(z.string()),
    }),
  ),
});

test('every role is bound to the account, once, and none is wider than a list of verbs and things', () => {
  for (const kind of ['Role', 'ClusterRole']) {
    const roles = baseObjects(kind, role);
    const bindings = baseObjects(`${kind}Binding`, binding);
    const bound = bindings.map(({ roleRef }) => roleRef.name).sort();
    // Those for the cluster's users are added to its own roles by their labels.
    const ours = roles.filter(({ metadata }) => !metadata.name.startsWith('snapmerge-volumerestores-'));
    expect(bound).toEqual(ours.map(({ metadata }) => metadata.name).sort());
    for (const { roleRef, subjects } of bindings) {
      expect(roleRef.kind).toBe(kind);
      expect(subjects).toEqual([{ kind: 'ServiceAccount', name: 'snapmerge' }]);
    }
    for (const { rules } of roles) {
      for (const rule of rules) expect([...rule.apiGroups, ...rule.resources, ...rule.verbs]).not.toContain('*');
      const resources = rules.flatMap((rule) => rule.resources);
      expect(resources).not.toContain('secrets');
    }
  }
  expect(baseObjects('ServiceAccount', z.object({ metadata: meta })).map(({ metadata }) => metadata.name)).toEqual([
    'snapmerge',
  ]);
});

const env = z.object({ name: z.string(), value: z.string().optional(), valueFrom: z.unknown().optional() });
const container = z.looseObject({
  name: z.string(),
  image: z.string(),
  args: z.array(z.string()),
  env: z.array(env).default([]),
  ports: z.array(z.object({ name: z.string().max(15), containerPort: z.number() })),
  startupProbe: z.object({ httpGet: z.object({ path: z.string(), port: z.string() }) }).optional(),
  livenessProbe: z.object({ httpGet: z.object({ path: z.string(), port: z.string() }) }).optional(),
  readinessProbe: z.object({ httpGet: z.object({ path: z.string(), port: z.string() }) }).optional(),
  securityContext: z.looseObject({
    privileged: z.boolean().default(false),
    readOnlyRootFilesystem: z.literal(true),
  }),
  resources: z.object({ requests: z.object({ cpu: z.string(), memory: z.string() }) }),
  volumeMounts: z.array(
    z.looseObject({ name: z.string(), mountPath: z.string(), mountPropagation: z.string().optional() }),
  ),
});
const daemonSet = z.object({
  spec: z.looseObject({
    selector: z.object({ matchLabels: z.record(z.string(), z.string()) }),
    template: z.object({
      spec: z.looseObject({
        containers: z.array(container),
        volumes: z.array(named.loose().extend({ hostPath: z.object({ path: z.string() }).loose().optional() })),
      }),
    }),
  }),
});

function pod() {
  const [found] = baseObjects('DaemonSet', daemonSet);
  if (found === undefined) throw new Error('no DaemonSet');
  return found.spec.template.spec;
}

function variables(of: z.output<typeof container>): Readonly<Record<string, string>> {
  return Object.fromEntries(of.env.map(({ name, value }) => [name, value ?? 'from-the-pod']));
}

test('the driver takes its configuration, and serves where the kubelet, the sidecars and the probes look', () => {
  const { containers, volumes } = pod();
  const driver = containers.find(({ name }) => name === 'driver');
  if (driver === undefined) throw new Error('no driver');
  const text = readFileSync(join(DEPLOY, 'base/config.yaml'), 'utf8');
  const config = readConfig({ flags: {}, env: variables(driver), file: { path: 'config.yaml', text } });
  expect(config.pools).toEqual([{ name: 'default', volumeGroup: 'snapmerge' }]);
  expect(config.registration?.endpoint).toBe(config.socket);
  expect(dirname(config.registration?.socket ?? '')).toBe('/var/lib/kubelet/plugins_registry');
  expect(driver.ports).toEqual([{ name: 'metrics', containerPort: config.http?.port }]);
  const { startupProbe, livenessProbe, readinessProbe } = driver;
  const paths = [startupProbe, livenessProbe, readinessProbe].map((probe) => probe?.httpGet.path);
  expect(paths).toEqual(['/healthz', '/healthz', '/readyz']);

  // The same path inside and outside, or the kubelet could not call, and mounts would be elsewhere.
  const folders = new Map(volumes.map(({ name, hostPath }) => [name, hostPath?.path]));
  const same = driver.volumeMounts.filter(({ mountPath }) => mountPath.startsWith('/var/lib/kubelet/'));
  expect(same).toHaveLength(3);
  for (const { name, mountPath } of same) expect(folders.get(name)).toBe(mountPath);
  const propagated = driver.volumeMounts.filter((one) => one.mountPropagation === 'Bidirectional');
  expect(propagated.map(({ mountPath }) => mountPath)).toEqual(['/var/lib/kubelet/plugins', '/var/lib/kubelet/pods']);

  const sidecars = containers.filter((one) => one !== driver);
  expect(sidecars).toHaveLength(3);
  for (const sidecar of sidecars) {
    expect(sidecar.args).toContain('--csi-address=/csi/csi.sock');
    const [mount] = sidecar.volumeMounts;
    expect(sidecar.volumeMounts).toHaveLength(1);
    expect(join(folders.get(mount?.name ?? '') ?? '', 'csi.sock')).toBe(config.socket);
    expect(mount?.mountPath).toBe('/csi');
    expect(sidecar.args).toContain(`--http-endpoint=:${sidecar.ports[0]?.containerPort}`);
  }
});

test('only the driver is privileged, names in the pod belong together, ports differ', () => {
  const { containers, volumes } = pod();
  expect(containers.filter(({ securityContext }) => securityContext.privileged).map(({ name }) => name)).toEqual([
    'driver',
  ]);
  for (const { name, securityContext } of containers.slice(1)) {
    expect([name, securityContext]).toMatchObject([
      name,
      { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] }, seccompProfile: { type: 'RuntimeDefault' } },
    ]);
  }
  const mounted = new Set(containers.flatMap(({ volumeMounts }) => volumeMounts.map(({ name }) => name)));
  expect([...mounted].sort()).toEqual(volumes.map(({ name }) => name).sort());
  const ports = containers.flatMap((one) => one.ports.map(({ containerPort }) => containerPort));
  expect(new Set(ports).size).toBe(ports.length);
  for (const one of containers) {
    const probes = [one.startupProbe, one.livenessProbe, one.readinessProbe].flatMap(
      (probe) => probe?.httpGet.port ?? [],
    );
    expect(one.ports.map(({ name }) => name)).toEqual(expect.arrayContaining(probes));
  }
});

test('images have a tag in one place; those of the sidecars are the ones that the tests build', () => {
  const [document] = documentsOf('base/kustomization.yaml');
  const { images } = kustomization.parse(document);
  const tags = new Map(images.map(({ name, newTag }) => [name, newTag]));
  const { containers } = pod();
  expect(containers.map(({ image }) => image).sort()).toEqual([...tags.keys()].sort());
  expect(tags.get('localhost/snapmerge')).toBe(packageJson.version);
  const modules = readFileSync(join(DEPLOY, '../tools/cluster/go/go.mod'), 'utf8');
  for (const kind of ['provisioner', 'snapshotter', 'resizer']) {
    const version = new RegExp(`kubernetes-csi/external-${kind}/v\\d+ (v[\\d.]+)`).exec(modules)?.[1];
    expect(tags.get(`registry.k8s.io/sig-storage/csi-${kind}`)).toBe(version);
  }
});

test('classes name this driver and have parameters that it takes', () => {
  const classes = baseObjects(
    'StorageClass',
    z.object({
      metadata: meta,
      provisioner: z.string(),
      volumeBindingMode: z.literal('WaitForFirstConsumer'),
      allowVolumeExpansion: z.boolean(),
      parameters: z.record(z.string(), z.string()),
    }),
  );
  expect(classes.map(({ metadata }) => metadata.name)).toEqual(['snapmerge', 'snapmerge-block', 'snapmerge-scratch']);
  for (const { provisioner, parameters } of classes) {
    expect(provisioner).toBe(DRIVER_NAME);
    readVolumeParameters(parameters);
  }
  expect(classes.map(({ parameters }) => readVolumeParameters(parameters).volume.scratch)).toEqual([
    false,
    false,
    true,
  ]);
  const snapshots = baseObjects('VolumeSnapshotClass', z.object({ driver: z.string() }));
  expect(snapshots).toEqual([{ driver: DRIVER_NAME }]);
  const drivers = baseObjects('CSIDriver', z.object({ metadata: meta, spec: z.looseObject({}) }));
  expect(drivers).toMatchObject([
    { metadata: { name: DRIVER_NAME }, spec: { attachRequired: false, storageCapacity: true } },
  ]);
});

test('the overlays: a loop pool that the driver makes, and pools of real disks', () => {
  const patch = z.array(
    z.object({ op: z.literal('add'), path: z.string(), value: z.looseObject({ name: z.string() }) }),
  );
  const [document] = documentsOf('overlays/try/loop-pool.yaml');
  const operations = patch.parse(document);
  const pools = env.parse(operations.find(({ value }) => value.name === 'SNAPMERGE_POOLS')?.value);
  const driver = pod().containers[0];
  expect(driver?.name).toBe('driver');
  // A reference is only filled in where what it refers to comes first in the list, and `-` is its end.
  expect(driver?.env.map(({ name }) => name)).toContain('SNAPMERGE_NODE');
  expect(operations.find(({ value }) => value.name === 'SNAPMERGE_POOLS')?.path).toMatch(/\/env\/-$/);
  const value = pools.value?.replace('$(SNAPMERGE_NODE)', 'node-1') ?? '';
  const config = readConfig({ flags: {}, env: { SNAPMERGE_NODE: 'n', SNAPMERGE_POOLS: value }, file: undefined });
  expect(config.pools).toEqual([
    {
      name: 'default',
      volumeGroup: 'snapmerge-node-1',
      loopFile: '/var/lib/snapmerge/pool.img',
      loopSize: 20n * 1024n ** 3n,
    },
  ]);

  const path = join(DEPLOY, 'overlays/bare-metal/config.yaml');
  const file = { path, text: readFileSync(path, 'utf8') };
  expect(readConfig({ flags: {}, env: { SNAPMERGE_NODE: 'n' }, file }).pools).toHaveLength(2);
  expect(relative(DEPLOY, path)).toBe('overlays/bare-metal/config.yaml');
});
