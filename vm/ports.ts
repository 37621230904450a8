// Free TCP ports of this machine for guests.

import { randomInt } from 'node:crypto';
import { createServer } from 'node:net';
import { GuestError } from './fault.ts';

/** Below the range from which the kernel takes ports for outgoing connections. */
const FIRST = 20_000;
const LAST = 30_000;
const TRIES = 100;

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host: '127.0.0.1', port }, () => server.close(() => resolve(true)));
  });

/** Chosen at random, so that two guests that start at once hardly ever meet; a boot that loses its port tries again. */
export const freePort = async (): Promise<number> => {
  for (let count = 0; count < TRIES; count += 1) {
    const port = randomInt(FIRST, LAST);
    if (await isFree(port)) return port;
  }
  throw new GuestError('boot', `Cannot find a free port between ${FIRST} and ${LAST}`);
};
