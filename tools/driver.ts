// The driver in a guest: its archive, its configuration, and waiting until it answers.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Guest } from '../vm/guest.ts';
import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../vm/wait.ts';
import { buildBundle } from './bundle.ts';
import { cached, hashOf } from './cache.ts';
import { ToolError } from './fault.ts';
import { CSI_SOCKET } from './forwarding.ts';
import { step } from './progress.ts';
import { tar } from './tar.ts';

const START_LIMIT_MS = 180_000;

/** What a node of this name gets as /etc/snapmerge/config.yaml. */
const configOf = (nodeName: string): string => `# Written by ./dev up.
node: ${nodeName}
socket: ${CSI_SOCKET}
pools:
  - name: pool
    volumeGroup: pool
`;

/** The command line, as a package would install it. Why no just-in-time compiler: see driver.sh. */
const COMMAND = `#!/bin/sh
jit=
if grep -q TCG /proc/cpuinfo; then jit=--jitless; fi
exec node $jit /opt/snapmerge/snapmerge.mjs "$@"
`;

/** Archives for `startGuest`: the bundle and a configuration. */
export const driverTars = async (nodeName: string): Promise<readonly string[]> => {
  const { tarPath } = await buildBundle();
  const config = tar([
    { path: 'etc/snapmerge/config.yaml', content: configOf(nodeName) },
    { path: 'usr/local/bin/snapmerge', content: COMMAND, executable: true },
  ]);
  const dir = await cached('config', hashOf(config), 'writing the configuration', (path) =>
    writeFile(join(path, 'config.tar'), config),
  );
  return [tarPath, join(dir, 'config.tar')];
};

/** Until the driver listens; with its log when it does not. */
export const driverListens = async (guest: Guest): Promise<void> => {
  const found = await step('starting the driver', () =>
    waitFor(
      START_LIMIT_MS,
      async () => ((await guest.exec(['test', '-S', CSI_SOCKET])).code === 0 ? true : undefined),
      LOOK_IN_GUEST_EVERY_MS,
    ),
  );
  if (found === true) return;
  const log = await guest.exec(['tail', '-n', '20', '/var/log/snapmerge.log']);
  throw new ToolError(`Cannot start the driver in guest '${guest.shape.name}': ${Buffer.from(log.stdout).toString()}`);
};
