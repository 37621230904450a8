// Where the bench runs: a machine with a volume group, the driver over it, and the commands of an administrator. A guest or
// this machine itself; rows do not know which.

import type { Caller } from '../test/csi/caller.ts';
import type { Workload } from '../test/csi/workload.ts';
import type { About } from './record.ts';

export interface Place {
  readonly about: About;
  /** The volume group of the driver, which LVM's own volumes share. */
  readonly vg: string;
  /** Standard output of a command that must succeed. */
  readonly output: (argv: readonly string[], input?: string) => Promise<string>;
  /** An lvm command as an administrator types it: `lvcreate`, ... */
  readonly lvm: (command: string, ...args: readonly string[]) => Promise<string>;
  readonly csi: Caller;
  readonly work: Workload;
  readonly driverPid: () => Promise<number>;
  /** Ends when the next one serves. */
  readonly restartDriver: () => Promise<void>;
  /** What a row leaves lying: cleared away when the place closes, unless the whole place goes. */
  readonly leave: (clear: () => Promise<void>) => void;
  readonly close: () => Promise<void>;
}

const MAY_BE_MISSING = '|| echo none';

/** What was measured with, from the machine itself. */
export async function aboutOf(where: string, output: Place['output']): Promise<About> {
  const said = (line: string): Promise<string> => output(['sh', '-c', line]).then((text) => text.trim());
  return {
    where,
    emulated: (await output(['cat', '/proc/cpuinfo'])).includes('TCG'),
    kernel: await said('uname -r'),
    versions: [
      await said("lvm version | sed -n 's/^ *LVM version: *\\([^ ]*\\).*/LVM \\1/p'"),
      await said(`fio --version ${MAY_BE_MISSING}`),
      `driver on Node ${(await said('node --version || echo none')).replace(/^v/, '')}`,
    ],
  };
}
