// Opens connections to the agent of a guest, one after the other: QEMU's network takes connections with a queue of one,
// and those that do not fit hang for seconds. An attempt without a greeting is given up and made again.

import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { GuestError } from './fault.ts';
import { takeFrame } from './frames.ts';

/** Resolves with a greeted, paused socket to the agent at this port of this machine. */
export type Connector = (port: number) => Promise<Socket>;

const ATTEMPT_LIMIT_MS = 5_000;
const ATTEMPTS = 6;

const greeted = (port: number): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true, allowHalfOpen: true });
    let received: Buffer = Buffer.alloc(0);
    const failed = (cause?: Error): void => {
      clearTimeout(limit);
      socket.destroy();
      reject(new GuestError('lost', 'Cannot reach the agent in the guest', { cause }));
    };
    const closed = (): void => failed();
    const limit = setTimeout(closed, ATTEMPT_LIMIT_MS);
    const onData = (piece: Buffer): void => {
      received = Buffer.concat([received, piece]);
      const taken = takeFrame(received);
      if (taken === undefined) return;
      clearTimeout(limit);
      socket.off('data', onData).off('error', failed).off('close', closed).pause();
      resolve(socket);
    };
    socket.on('data', onData).on('error', failed).on('close', closed);
  });

const persistent = async (port: number): Promise<Socket> => {
  for (let count = 1; ; count += 1) {
    try {
      return await greeted(port);
    } catch (error) {
      if (count === ATTEMPTS) throw error;
    }
  }
};

export const connector = (): Connector => {
  let last: Promise<unknown> = Promise.resolve();
  return (port) => {
    const mine = last.then(() => persistent(port));
    last = mine.catch(() => undefined);
    return mine;
  };
};
