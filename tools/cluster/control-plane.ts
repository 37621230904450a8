// The control plane of a cluster as processes of this machine: etcd and an API server, and if wanted the controllers and
// the scheduler. It lives in a network of its own; one port of 127.0.0.1 leads to its API.

import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { freePort } from '../../vm/ports.ts';
import { cacheDir } from '../cache-dir.ts';
import { locked } from '../cache.ts';
import { ToolError } from '../fault.ts';
import { step } from '../progress.ts';
import { attempt, run } from '../run.ts';
import type { RunOptions } from '../run.ts';
import { clusterBinaries } from './binaries.ts';
import type { ClusterBinaries } from './binaries.ts';
import { SIGNING_KEY, TOKENS, kubeconfigOf, writeCredentials } from './credentials.ts';
import type { User } from './credentials.ts';
import { daemonPid, daemonReady, startDaemon, stopDaemon } from './daemon.ts';
import { etcdCommand } from './etcd.ts';
import { NETWORK, openNetwork, startNetwork } from './network.ts';
import type { Network } from './network.ts';

export interface ControlPlaneOptions {
  /** Lower-case letters, digits and `-`; control planes side by side have different names. */
  readonly name: string;
  /** Do controller-manager, scheduler and snapshot-controller run too? Without them objects are stored and nothing acts. */
  readonly controllers?: boolean;
  /** Names that kubelets may register. */
  readonly nodes?: readonly string[];
  /** Outlives this process; otherwise it ends with it, however that ends. */
  readonly detached?: boolean;
}

export interface ControlPlane {
  readonly name: string;
  /** Credentials, logs and the database. */
  readonly dir: string;
  /** Of the API, for clients on this machine. */
  readonly url: string;
  /** Of a cluster administrator, for clients on this machine. */
  readonly kubeconfigPath: string;
  readonly binaries: ClusterBinaries;
  readonly network: Network;
  /** A kubeconfig for `server` as text. */
  readonly kubeconfig: (user: User, server: string) => Promise<string>;
  /** Standard output of kubectl as the administrator; throws with what it said when it fails. */
  readonly kubectl: (args: readonly string[], options?: RunOptions) => Promise<string>;
  /** The API server goes away at once, and comes back with everything that was stored. */
  readonly stopApi: () => Promise<void>;
  readonly startApi: () => Promise<void>;
  /** Ends every process and removes the folder. */
  readonly stop: () => Promise<void>;
}

/** Inside of the cluster's network. */
export const API_PORT = 6443;
/** Services have addresses here; the first is the API's own. */
const SERVICE_RANGE = '10.0.2.96/28';
/** Where pods and kubelets find the API, at the usual port of https. */
export const API_SERVICE_ADDRESS = '10.0.2.97';
const ETCD_URL = 'http://127.0.0.1:2379';
const START_LIMIT_MS = 180_000;
const NAME = /^[a-z0-9][a-z0-9-]{0,40}$/;

const ETCD = 'etcd';
const API = 'kube-apiserver';
const CONTROLLERS = ['kube-controller-manager', 'kube-scheduler', 'snapshot-controller'] as const;
type Controller = (typeof CONTROLLERS)[number];

export const clusterDir = (name: string): string => {
  if (!NAME.test(name)) throw new ToolError(`Cannot name a cluster '${name}': lower-case letters, digits and '-'`);
  return join(cacheDir(), 'clusters', name);
};

const certificate = (dir: string): string => join(dir, 'apiserver.crt');

interface Parts {
  readonly name: string;
  readonly dir: string;
  readonly network: Network;
  readonly binaries: ClusterBinaries;
  readonly detached: boolean;
  /** On this machine. */
  readonly port: number;
}

const startEtcd = async ({ dir, network, detached }: Parts): Promise<void> => {
  // A machine that loses power loses the whole cluster: nothing here needs to be durable.
  const options = [`--data-dir=${join(dir, 'etcd')}`, '--unsafe-no-fsync', '--log-level=warn'];
  const urls = [`--listen-client-urls=${ETCD_URL}`, `--advertise-client-urls=${ETCD_URL}`];
  const argv = network.inside([
    ...(await etcdCommand()),
    ...options,
    ...urls,
    '--listen-peer-urls=http://127.0.0.1:2380',
  ]);
  await startDaemon({ name: ETCD, dir, detached, argv });
};

const startApi = async (parts: Parts): Promise<void> => {
  const { dir, network, binaries, detached } = parts;
  const key = join(dir, SIGNING_KEY);
  const argv = network.inside([
    binaries.path(API),
    `--etcd-servers=${ETCD_URL}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${API_PORT}`,
    // It signs itself a certificate for 127.0.0.1 and the service's address, and keeps it here.
    `--cert-dir=${dir}`,
    '--endpoint-reconciler-type=none',
    `--token-auth-file=${join(dir, TOKENS)}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    '--allow-privileged=true',
    `--service-cluster-ip-range=${SERVICE_RANGE}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${key}`,
    `--service-account-signing-key-file=${key}`,
    '--kubelet-preferred-address-types=InternalIP',
  ]);
  const spec = { name: API, dir, detached, argv };
  await startDaemon(spec);
  await daemonReady(spec, START_LIMIT_MS, async () => {
    if (!existsSync(certificate(dir))) return undefined;
    const { stdout } = await attempt([...kubectlOf(parts), 'get', '--raw=/readyz', '--request-timeout=5s']);
    return stdout === 'ok' ? true : undefined;
  });
};

const kubectlOf = ({ binaries, dir }: Pick<Parts, 'binaries' | 'dir'>): readonly [string, ...string[]] => [
  binaries.path('kubectl'),
  `--kubeconfig=${join(dir, 'kubeconfig')}`,
];

const controllerArgv = (dir: string, name: Controller, kubeconfig: string): readonly string[] => {
  switch (name) {
    case 'kube-controller-manager':
      return [
        `--kubeconfig=${kubeconfig}`,
        `--authentication-kubeconfig=${kubeconfig}`,
        `--authorization-kubeconfig=${kubeconfig}`,
        '--bind-address=127.0.0.1',
        `--cert-dir=${dir}/${name}`,
        `--root-ca-file=${certificate(dir)}`,
        `--service-account-private-key-file=${join(dir, SIGNING_KEY)}`,
        '--use-service-account-credentials=true',
        '--leader-elect=false',
        // A node that is cut is noticed in seconds, not in a minute.
        '--node-monitor-grace-period=20s',
      ];
    case 'kube-scheduler':
      return [
        `--kubeconfig=${kubeconfig}`,
        `--authentication-kubeconfig=${kubeconfig}`,
        `--authorization-kubeconfig=${kubeconfig}`,
        '--bind-address=127.0.0.1',
        `--cert-dir=${dir}/${name}`,
        '--leader-elect=false',
      ];
    case 'snapshot-controller':
      return [`--kubeconfig=${kubeconfig}`, '--enable-distributed-snapshotting=true'];
  }
};

/** As whom each of them speaks: the snapshot controller is not part of Kubernetes, which so has no role for it. */
const CONTROLLER_USERS: Readonly<Record<Controller, User>> = {
  'kube-controller-manager': 'system:kube-controller-manager',
  'kube-scheduler': 'system:kube-scheduler',
  'snapshot-controller': 'admin',
};

const startControllers = async (plane: ControlPlane, parts: Parts): Promise<void> => {
  const { dir, network, binaries, detached } = parts;
  const definitions = (await readdir(binaries.snapshotCrdDir)).filter((file) =>
    /^(group)?snapshot\.storage.*\.yaml$/.test(file),
  );
  await plane.kubectl(['apply', ...definitions.map((file) => `--filename=${join(binaries.snapshotCrdDir, file)}`)]);
  await plane.kubectl(['wait', '--for=condition=Established', '--timeout=60s', 'crd', '--all']);
  for (const name of CONTROLLERS) {
    const kubeconfig = join(dir, `${name}.kubeconfig`);
    const text = await plane.kubeconfig(CONTROLLER_USERS[name], `https://127.0.0.1:${API_PORT}`);
    await writeFile(kubeconfig, text, { mode: 0o600 });
    const argv = network.inside([binaries.path(name), ...controllerArgv(dir, name, kubeconfig)]);
    await startDaemon({ name, dir, detached, argv });
  }
  // The first thing the controllers do for us: without it no pod can start.
  await daemonReady({ dir, name: 'kube-controller-manager' }, START_LIMIT_MS, async () => {
    const { code } = await attempt([...kubectlOf(parts), 'get', 'serviceaccount', 'default', '--namespace=default']);
    return code === 0 ? true : undefined;
  });
};

const planeOf = (parts: Parts): ControlPlane => {
  const { name, dir, network, binaries, port } = parts;
  return {
    name,
    dir,
    url: `https://127.0.0.1:${port}`,
    kubeconfigPath: join(dir, 'kubeconfig'),
    binaries,
    network,
    kubeconfig: async (user, server) => kubeconfigOf(dir, user, server, await readFile(certificate(dir), 'utf8')),
    kubectl: (args, options) => run([...kubectlOf(parts), ...args], options),
    stopApi: () => stopDaemon(dir, API),
    startApi: () => startApi(parts),
    stop: () => removeControlPlane(name),
  };
};

/** Ends every process of a control plane, whoever started it, and removes its folder; it may be gone already. */
export const removeControlPlane = async (name: string): Promise<void> => {
  const dir = clusterDir(name);
  if (!existsSync(dir)) return;
  const daemons = (await readdir(dir))
    .filter((file) => file.endsWith('.pid'))
    .map((file) => file.slice(0, -'.pid'.length));
  // Who serves goes after who asks.
  const last = [API, ETCD, NETWORK];
  const order = [
    ...daemons.filter((daemon) => !last.includes(daemon)),
    ...last.filter((daemon) => daemons.includes(daemon)),
  ];
  for (const daemon of order) await stopDaemon(dir, daemon);
  await rm(dir, { recursive: true, force: true });
};

/** Builds what it needs, starts everything, and resolves when the API answers. One of this name must not be running. */
export const startControlPlane = async (options: ControlPlaneOptions): Promise<ControlPlane> => {
  const { name, detached = false, controllers = false, nodes = [] } = options;
  const dir = clusterDir(name);
  // Before the clock of the next step runs: the first build takes minutes, and says so itself.
  const binaries = await clusterBinaries();
  await etcdCommand();
  return locked(`cluster-${name}`, async () => {
    if ((await daemonPid(dir, API)) !== undefined) throw new ToolError(`Cannot start cluster '${name}': it is running`);
    await removeControlPlane(name);
    await mkdir(dir, { recursive: true });
    return step(`starting the control plane of cluster '${name}'`, async () => {
      const network = await startNetwork(dir, detached);
      const port = await freePort();
      const parts: Parts = { name, dir, network, binaries, detached, port };
      const plane = planeOf(parts);
      await writeCredentials(dir, nodes);
      await writeFile(join(dir, 'port'), String(port));
      await startEtcd(parts);
      await network.leadIn('api', port, API_PORT);
      const starting = startApi(parts);
      await daemonReady({ dir, name: NETWORK }, START_LIMIT_MS, async () => existsSync(certificate(dir)) || undefined);
      await writeFile(plane.kubeconfigPath, await plane.kubeconfig('admin', plane.url), {
        mode: 0o600,
      });
      await starting;
      if (controllers) await startControllers(plane, parts);
      return plane;
    });
  });
};

/** One that another process started. */
export const openControlPlane = async (name: string): Promise<ControlPlane> => {
  const dir = clusterDir(name);
  if ((await daemonPid(dir, NETWORK)) === undefined)
    throw new ToolError(`Cannot reach cluster '${name}': it is not running`);
  const [network, binaries, port] = await Promise.all([
    openNetwork(dir),
    clusterBinaries(),
    readFile(join(dir, 'port'), 'utf8').then(Number),
  ]);
  return planeOf({ name, dir, network, binaries, detached: true, port });
};
