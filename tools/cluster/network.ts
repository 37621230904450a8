// The network of a cluster: a namespace of its own that has `lo` and nothing else, so that every cluster has the usual
// ports and the addresses of its nodes, and nobody outside of this machine reaches any of it. Gates lead single ports
// in and out through unix sockets, which namespaces do not divide.

import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureDebianPackages } from '../debian-packages.ts';
import { attempt, run } from '../run.ts';
import { ToolError } from '../fault.ts';
import { daemonPid, daemonReady, startDaemon } from './daemon.ts';

export interface Network {
  /** The argv that runs a command inside. */
  readonly inside: (argv: readonly string[]) => readonly [string, ...string[]];
  /** Where this machine shows its namespace. */
  readonly namespace: string;
  /** Gives its `lo` one more address: a node's. */
  readonly addAddress: (address: string) => Promise<void>;
  /** 127.0.0.1:`outer` of this machine leads to 127.0.0.1:`inner` of the network. */
  readonly leadIn: (name: string, outer: number, inner: number) => Promise<void>;
  /** One more address of the network's own: its port `port` leads to 127.0.0.1:`inner` of the network. */
  readonly serveAt: (name: string, address: string, port: number, inner: number) => Promise<void>;
  /** `address`:`inner` of the network leads to 127.0.0.1:`outer` of this machine. */
  readonly leadOut: (name: string, address: string, inner: number, outer: number) => Promise<void>;
}

/** The process that keeps the namespace. */
export const NETWORK = 'network';
const START_LIMIT_MS = 20_000;

const networkOf = (dir: string, pid: number, detached: boolean): Network => {
  const namespace = `/proc/${pid}/ns/net`;
  const inside: Network['inside'] = (argv) => ['nsenter', `--net=${namespace}`, '--', ...argv];
  /** From `first` to a unix socket, and from there to `second`; each a socat on its side. */
  const gate = async (name: string, ends: { readonly listen: Side; readonly connect: Side }): Promise<void> => {
    const socket = join(dir, `${name}.sock`);
    await rm(socket, { force: true });
    const start = async (suffix: string, from: string, to: string, isInside: boolean): Promise<string> => {
      const argv = ['socat', from, to] as const;
      const full = `${name}-${suffix}`;
      await startDaemon({ name: full, dir, detached, argv: isInside ? inside(argv) : [...argv] });
      return full;
    };
    const far = await start('far', `UNIX-LISTEN:${socket},fork`, ends.connect.address, ends.connect.isInside);
    await daemonReady({ dir, name: far }, START_LIMIT_MS, async () => existsSync(socket) || undefined);
    await start('near', ends.listen.address, `UNIX-CONNECT:${socket}`, ends.listen.isInside);
  };
  return {
    inside,
    namespace,
    serveAt: async (name, address, port, inner) => {
      await run(inside(['ip', 'address', 'replace', `${address}/32`, 'dev', 'lo']));
      const listen = `TCP-LISTEN:${port},bind=${address},reuseaddr,fork`;
      await startDaemon({ name, dir, detached, argv: inside(['socat', listen, `TCP:127.0.0.1:${inner}`]) });
    },
    addAddress: async (address) => {
      const ip = (...args: readonly string[]): Promise<string> => run(inside(['ip', ...args]));
      await ip('address', 'replace', `${address}/32`, 'dev', 'lo');
      // Otherwise connections to it come from itself, and those of the API server to the kubelet hang.
      const local = ['route', 'replace', 'local', address, 'dev', 'lo', 'table', 'local'];
      await ip(...local, 'proto', 'kernel', 'scope', 'host', 'src', '127.0.0.1');
    },
    leadIn: (name, outer, inner) =>
      gate(name, {
        listen: { address: `TCP-LISTEN:${outer},bind=127.0.0.1,reuseaddr,fork`, isInside: false },
        connect: { address: `TCP:127.0.0.1:${inner}`, isInside: true },
      }),
    leadOut: (name, address, inner, outer) =>
      gate(name, {
        listen: { address: `TCP-LISTEN:${inner},bind=${address},reuseaddr,fork`, isInside: true },
        connect: { address: `TCP:127.0.0.1:${outer}`, isInside: false },
      }),
  };
};

interface Side {
  readonly address: string;
  readonly isInside: boolean;
}

/** The programs of this machine that networks are made with. */
export const prepareNetwork = (): Promise<void> => ensureDebianPackages(['iproute2', 'socat', 'util-linux']);

export const startNetwork = async (dir: string, detached: boolean): Promise<Network> => {
  await prepareNetwork();
  const keeper = ['unshare', '--net', 'sh', '-c', 'ip link set lo up && exec sleep infinity'] as const;
  const pid = await startDaemon({ name: NETWORK, dir, detached, argv: keeper });
  const network = networkOf(dir, pid, detached);
  await daemonReady({ dir, name: NETWORK }, START_LIMIT_MS, async () => {
    const { code, stdout } = await attempt(network.inside(['ip', '-brief', 'link']));
    // Before the keeper is in its namespace this shows the machine's own devices.
    const links = stdout.trim().split('\n');
    return code === 0 && links.length === 1 && links[0]?.includes('LOWER_UP') === true ? true : undefined;
  });
  return network;
};

/** The network of a cluster that another process started. */
export const openNetwork = async (dir: string): Promise<Network> => {
  const pid = await daemonPid(dir, NETWORK);
  if (pid === undefined) throw new ToolError(`Cannot reach the network of the cluster in '${dir}': it is not there`);
  return networkOf(dir, pid, true);
};
