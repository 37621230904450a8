// What the demo does on the node besides CSI: files, a database, a writer in the background, and looking at LVM and dm.

import type { Guest } from '../../vm/guest.ts';
import { waitFor } from '../../vm/wait.ts';
import { drawForest } from './tree.ts';

const WAIT_LIMIT_MS = 120_000;

export interface DemoNode {
  readonly sh: (line: string) => Promise<string>;
  readonly sql: (path: string, statement: string) => Promise<string>;
  /** Inserts rows one by one until it is stopped. */
  readonly startWriter: (path: string) => Promise<void>;
  readonly stopWriter: () => Promise<void>;
  readonly tree: () => Promise<string>;
  readonly tables: () => Promise<string>;
  readonly stores: () => Promise<string>;
}

export function demoNode(guest: Guest): DemoNode {
  const sh = (line: string): Promise<string> => guest.output(['sh', '-c', line]);
  return {
    sh,
    sql: async (path, statement) => (await guest.output(['sqlite3', '-cmd', '.timeout 60000', path, statement])).trim(),
    startWriter: async (path) => {
      // One process, because starting one for each row takes the guest's processor from everybody. Its pipe holds 4 KiB (1031
      // is F_SETPIPE_SZ), so that few rows are still to be written when it is stopped.
      const lines = `until (-e "/run/demo/stop") { print "insert into log(line) values('entry \${\\++$n}');\n"; select undef, undef, undef, 0.02 }`;
      const loop = `perl -e '$| = 1; fcntl STDOUT, 1031, 4096; ${lines.replaceAll("'", "'\\''")}' | sqlite3 -cmd '.timeout 60000' ${path}; touch /run/demo/stopped`;
      await guest.push({ 'writer.sh': loop }, '/run/demo');
      await sh('rm -f /run/demo/stop /run/demo/stopped; setsid sh /run/demo/writer.sh </dev/null >/dev/null 2>&1 &');
      const writes = await waitFor(WAIT_LIMIT_MS, async () =>
        Number(await guest.output(['sqlite3', '-cmd', '.timeout 60000', path, 'select count(*) from log'])) > 2
          ? true
          : undefined,
      );
      if (writes !== true) throw new Error('Cannot see the writer write');
    },
    stopWriter: async () => {
      await sh('touch /run/demo/stop');
      const stopped = await waitFor(WAIT_LIMIT_MS, async () =>
        (await guest.exec(['test', '-e', '/run/demo/stopped'])).code === 0 ? true : undefined,
      );
      if (stopped !== true) throw new Error('Cannot stop the writer');
    },
    tree: async () =>
      drawForest(
        await guest.output([
          'lvs',
          '--reportformat',
          'json',
          '--units',
          'b',
          '--nosuffix',
          '-o',
          'lv_name,lv_size,lv_tags',
          'pool',
        ]),
      ),
    tables: () => sh(`dmsetup table | grep '^snapmerge-' | sort`),
    stores: () => guest.output(['lvs', '--noheadings', '-o', 'lv_name,lv_size,lv_active', 'pool']),
  };
}
