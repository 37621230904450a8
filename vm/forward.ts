// A unix socket on this machine that leads to a unix socket in a guest, through the agent: one connection there for each
// one here, so gRPC works over it as over the real one. While the guest is down, connections are closed at once.

import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';
import type { Connector } from './connect.ts';
import { GuestError } from './fault.ts';
import { frame, takeFrame } from './frames.ts';

export interface Forward {
  /** Of the unix socket on this machine. */
  readonly path: string;
  readonly close: () => Promise<void>;
}

/** Asks the agent to join the connection to a socket in the guest; calls back with what follows its consent. */
const join = (remote: Socket, guestSocket: string, joined: (rest: Buffer) => void): void => {
  let received: Buffer = Buffer.alloc(0);
  const onData = (piece: Buffer): void => {
    received = Buffer.concat([received, piece]);
    const taken = takeFrame(received);
    if (taken === undefined) return;
    remote.off('data', onData).pause();
    if (taken.frame.type === 'O') joined(taken.rest);
    else remote.destroy();
  };
  remote.on('data', onData).resume();
  remote.write(frame('C', guestSocket));
};

/** `port` is asked for each connection: it may change when the guest boots. */
export const forwardSocket = async (
  connect: Connector,
  path: string,
  guestSocket: string,
  port: () => Promise<number | undefined>,
): Promise<Forward> => {
  await rm(path, { force: true });
  const open = new Set<Socket>();
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (local) => {
    open.add(local);
    local.on('close', () => open.delete(local)).on('error', () => local.destroy());
    const lead = async (): Promise<void> => {
      const agentPort = await port();
      if (agentPort === undefined) throw new GuestError('lost', 'Cannot forward: the guest is not running');
      const remote = await connect(agentPort);
      remote.on('error', () => local.destroy()).on('close', () => local.destroy());
      local.on('close', () => remote.destroy());
      if (local.destroyed) remote.destroy();
      join(remote, guestSocket, (rest) => {
        if (rest.length > 0) local.write(rest);
        local.pipe(remote);
        remote.pipe(local);
      });
    };
    // Whoever connected sees it end and tries again.
    lead().catch(() => local.destroy());
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(path, resolve);
  });
  return {
    path,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
};
