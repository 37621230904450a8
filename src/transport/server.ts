// One gRPC server on one unix socket. The socket is made under another name, closed to everybody else, and then moved to
// its place: nobody can connect before it is ready, and a stale one of a killed driver is replaced in the same step.

import { chmod, lstat, mkdir, rename, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { fail } from '../vocabulary/errors.ts';
import type { Logger } from '../system/log.ts';
import { implementation } from './rpc.ts';
import type { Called, Service } from './rpc.ts';

export interface ServedService {
  readonly definition: ServiceDefinition;
  readonly service: Service;
}

export interface RunningServer {
  /** Takes no new calls, lets those under way end for at most `drainMs`, then removes the socket. */
  readonly stop: (drainMs: number) => Promise<void>;
}

const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

export async function startServer(
  socketPath: string,
  services: readonly ServedService[],
  log: Logger,
  called?: Called,
): Promise<RunningServer> {
  await mkdir(dirname(socketPath), { recursive: true, mode: 0o700 });
  await refuseTakenPath(socketPath);
  const stopping = new AbortController();
  const server = new Server({
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
    'grpc.max_send_message_length': -1,
  });
  const options = { log, now: () => performance.now(), stopping: stopping.signal, called };
  for (const { definition, service } of services) {
    server.addService(definition, implementation(definition, service, options));
  }
  // The kubelet calls every socket that appears in its folder, those with a dot in front excepted.
  const temporary = join(dirname(socketPath), `.${basename(socketPath)}.${process.pid}`);
  await rm(temporary, { force: true });
  await bind(server, temporary);
  await chmod(temporary, 0o600);
  await rename(temporary, socketPath);
  log.info({ socket: socketPath }, 'serving');
  return {
    stop: async (drainMs) => {
      stopping.abort();
      await rm(socketPath, { force: true });
      await drain(server, drainMs);
      log.info({ socket: socketPath }, 'stopped serving');
    },
  };
}

/** Free: nothing there, or a socket that nobody listens on. `precondition` where it is not. */
export async function refuseTakenPath(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) fail('precondition', `Cannot serve on ${path}: something that is no socket is in its place`);
  if (await someoneListens(path)) fail('precondition', `Cannot serve on ${path}: another process serves there`);
}

async function someoneListens(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

async function bind(server: Server, path: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) => {
      if (error === null) resolve();
      else reject(error);
    });
  });
}

async function drain(server: Server, drainMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const deadline = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, drainMs);
    server.tryShutdown(() => {
      clearTimeout(deadline);
      resolve();
    });
  });
}
