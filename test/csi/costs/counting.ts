// What an operation costs besides time, counted in the guest around a piece of work: processes by the exec that starts them,
// commits by LVM's own number, what the pool's disks wrote and flushed by the kernel, opened devices by fanotify.

import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { localExec, output } from '../../../src/system/exec.ts';
import type { Argv, Exec } from '../../../src/system/exec.ts';
import { commandOf } from '../../../src/metrics/measured.ts';
import type { Counted, Measured } from './costs.ts';

/** Its opening says that all before it has been told. */
const MARKER = '/dev/zero';
const SECTORS_PER_KIB = 2;
/** Fields of /sys/block/DISK/stat. */
const SECTORS_WRITTEN = 6;
const FLUSHES = 15;
const READS_OF_LVM = new Set(['fullreport', 'lvs', 'vgs', 'pvs', 'version', 'help']);

export interface Counter {
  /** For the driver: every command that it starts is counted. */
  readonly exec: Exec;
  /** Two parts of one operation, the second of which may still be under way on the disks when it begins. */
  readonly count: (call: () => Promise<void>, after: () => Promise<void>) => Promise<Counted>;
  readonly close: () => void;
}

interface Disks {
  readonly flushes: number;
  readonly kib: number;
}

export async function createCounter(vg: string, disks: readonly string[]): Promise<Counter> {
  const opens = await watchOpens();
  let started: Argv[] = [];
  let zeroedKib = 0;

  const disksNow = (): Disks => {
    const stats = disks.map((disk) => readFileSync(`/sys/block/${disk}/stat`, 'utf8').trim().split(/\s+/).map(Number));
    const sum = (field: number): number => stats.reduce((total, stat) => total + (stat[field] ?? NaN), 0);
    return { flushes: sum(FLUSHES), kib: sum(SECTORS_WRITTEN) / SECTORS_PER_KIB };
  };
  const commitsNow = async (): Promise<number> =>
    Number(await output(localExec, ['vgs', '--noheadings', '--options', 'vg_seqno', vg]));

  const measure = async (work: () => Promise<void>, commits: number): Promise<Measured> => {
    await opens.drain();
    started = [];
    await work();
    const devices = await opens.drain();
    const lvm = started.filter(([program]) => program === 'lvm');
    const changing = lvm.filter(([, verb = '']) => !READS_OF_LVM.has(verb));
    return {
      counts: {
        processes: started.length,
        lvm: lvm.length,
        changing: changing.length,
        commits: (await commitsNow()) - commits,
        devices,
      },
      commands: started.map(commandOf),
    };
  };
  return {
    exec: async (argv, options) => {
      started.push(argv);
      // What is in a volume is not what its making costs in metadata, and nothing runs beside the zeroing.
      const before = argv[0] === 'blkdiscard' ? disksNow() : undefined;
      const result = await localExec(argv, options);
      if (before !== undefined) zeroedKib += disksNow().kib - before.kib;
      return result;
    },
    count: async (call, after) => {
      await output(localExec, ['sync']);
      const commits = await commitsNow();
      zeroedKib = 0;
      const before = disksNow();
      const called = await measure(call, commits);
      const gone = await measure(after, commits + called.counts.commits);
      const { flushes, kib } = disksNow();
      return {
        call: called,
        after: gone,
        disks: { flushes: flushes - before.flushes, kib: kib - before.kib - zeroedKib },
      };
    },
    close: opens.close,
  };
}

interface Opens {
  /** How many devices were opened since the last time: each once for each process that did. */
  readonly drain: () => Promise<number>;
  readonly close: () => void;
}

async function watchOpens(): Promise<Opens> {
  // What comes later is a device-mapper device: nothing else is made in /dev meanwhile.
  const others = new Set<number>();
  for (const dir of ['/dev', '/dev/mapper']) {
    for (const name of await readdir(dir)) {
      const found = await lstat(join(dir, name));
      if (!found.isBlockDevice()) others.add(found.ino);
    }
  }
  const marker = (await lstat(MARKER)).ino;
  const child = spawn('perl', [join(import.meta.dirname, 'opens.pl')], { stdio: ['ignore', 'pipe', 'inherit'] });
  let seen = new Set<string>();
  let drained: (() => void) | undefined;
  const ready = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => reject(new Error('Cannot watch what is opened below /dev: see above')));
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === 'ready') return resolve();
      const inode = Number(line.slice(line.indexOf(' ') + 1));
      if (inode === marker && line.startsWith(`${process.pid} `)) drained?.();
      else if (!others.has(inode)) seen.add(line);
    });
  });
  await ready;
  return {
    drain: async () => {
      await new Promise<void>((resolve) => {
        drained = resolve;
        closeSync(openSync(MARKER, 'r'));
      });
      const { size } = seen;
      seen = new Set();
      return size;
    },
    close: () => {
      child.removeAllListeners('close');
      child.kill();
    },
  };
}
