// Builds csi-sanity, the conformance test of CSI drivers, from its Go module: one static program that runs here and in a
// guest.

import { join } from 'node:path';
import { cached, hashOf } from './cache.ts';
import { go } from './go.ts';
import { run } from './run.ts';

const MODULE = 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity@v5.6.0';

/** The path of the program. */
export const csiSanity = async (): Promise<string> => {
  const dir = await cached('csi-sanity', hashOf(MODULE), 'building csi-sanity', async (path) => {
    const { program, env } = await go();
    await run([program, 'install', '-trimpath', '-ldflags=-s -w', MODULE], { env: { ...env, GOBIN: path } });
  });
  return join(dir, 'csi-sanity');
};
