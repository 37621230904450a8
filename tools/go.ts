// Go: this machine's, or the guest's Debian's, because older distributions have none that is new enough. It fetches the
// tool chain that a module asks for by itself, and modules from the module proxy; both stay in Go's own caches.

import { join } from 'node:path';
import { cached, hashOf } from './cache.ts';
import { SUITE, unpackDebian } from './image/debian.ts';
import { attempt } from './run.ts';

export interface Go {
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
}

/** From 1.21 on, go gets newer tool chains by itself. */
const OLDEST_MINOR = 21;
const PACKAGES = ['golang-1.24-go', 'golang-1.24-src'];

/** Settings of this machine that would change what is built. */
const SETTINGS = { GOTOOLCHAIN: 'auto', GOFLAGS: '', GOWORK: 'off', CGO_ENABLED: '0' };

const isNewEnough = async (go: string): Promise<boolean> => {
  const version = await attempt([go, 'env', 'GOVERSION'], { env: { GOTOOLCHAIN: 'local' } }).catch(() => undefined);
  const minor = /^go1\.(\d+)/.exec(version?.stdout ?? '')?.[1];
  return minor !== undefined && Number(minor) >= OLDEST_MINOR;
};

/** The program and the environment that it is to run with: static programs, nothing of the machine's settings. */
export const go = async (): Promise<Go> => {
  if (await isNewEnough('go')) return { program: 'go', env: SETTINGS };
  const dir = await cached('go', hashOf(SUITE, ...PACKAGES), 'unpacking Go', (path) =>
    unpackDebian(path, 'extract', PACKAGES),
  );
  const root = join(dir, 'usr/lib/go-1.24');
  return { program: join(root, 'bin/go'), env: { ...SETTINGS, GOROOT: root } };
};
