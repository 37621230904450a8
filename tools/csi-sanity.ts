// Builds csi-sanity, the conformance test of CSI drivers, from its Go module: one static program that runs here and in a
// guest. `go` fetches the tool chain that the module asks for by itself.

import { join } from 'node:path';
import { cached, hashOf } from './cache.ts';
import { SUITE, unpackDebian } from './image/debian.ts';
import { attempt, run } from './run.ts';

const MODULE = 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0';

/** From 1.21 on, go gets newer tool chains by itself. */
const OLDEST_MINOR = 21;
const PACKAGES = ['golang-1.24-go', 'golang-1.24-src'];

const isNewEnough = async (go: string): Promise<boolean> => {
  const version = await attempt([go, 'env', 'GOVERSION'], { env: { GOTOOLCHAIN: 'local' } }).catch(() => undefined);
  const minor = /^go1\.(\d+)/.exec(version?.stdout ?? '')?.[1];
  return minor !== undefined && Number(minor) >= OLDEST_MINOR;
};

/** This machine's, or the guest's Debian's, because older distributions have none that is new enough. */
const go = async (): Promise<{ readonly program: string; readonly env: Readonly<Record<string, string>> }> => {
  if (await isNewEnough('go')) return { program: 'go', env: {} };
  const dir = await cached('go', hashOf(SUITE, ...PACKAGES), 'unpacking Go', (path) =>
    unpackDebian(path, 'extract', PACKAGES),
  );
  const root = join(dir, 'usr/lib/go-1.24');
  return { program: join(root, 'bin/go'), env: { GOROOT: root } };
};

/** The path of the program. */
export const csiSanity = async (): Promise<string> => {
  const dir = await cached('csi-sanity', hashOf(MODULE), 'building csi-sanity', async (path) => {
    const { program, env } = await go();
    await run([program, 'install', '-trimpath', '-ldflags=-s -w', MODULE], {
      env: { ...env, CGO_ENABLED: '0', GOBIN: path, GOTOOLCHAIN: 'auto', GOFLAGS: '' },
    });
  });
  return join(dir, 'csi-sanity');
};
