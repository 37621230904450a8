// The memory of a guest that has just booted, kept in the cache. Under emulation the start of a kernel takes most of a
// boot, so guests go on from it: QEMU's migration into a file, and out of it. It has seen no disk but the root disk, and
// that one only to read. A guest finds its own disks afterwards, as if they had been plugged in, and its random numbers
// and its clock are made new before anything else (guest/attach.sh). A power cut stays one: the machine that comes up
// knows nothing of what the one before it did.

import { readFile, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { cached, hashOf } from '../tools/cache.ts';
import type { Qemu } from '../tools/image/qemu.ts';
import { GuestError } from './fault.ts';
import { LOG_TAIL_BYTES, startMachine, tailOf } from './machine.ts';
import { boardArgv, CONSOLE } from './qemu-argv.ts';
import type { Board, Parts } from './qemu-argv.ts';

/** Changes with the steps below that the other parts of the key do not show. */
const RECIPE_VERSION = '1';
const MEMORY = 'memory';

const save = async (qemu: Qemu, parts: Parts, board: Board, dir: string): Promise<void> => {
  const machine = await startMachine(qemu, boardArgv(parts, board, dir, []), { dir, detached: false });
  try {
    const booted = await machine.booted();
    const kept = booted === true ? await machine.keep(join(dir, MEMORY)) : booted;
    if (kept === true) return;
    const shown = await tailOf(join(dir, CONSOLE), LOG_TAIL_BYTES);
    throw new GuestError('boot', `Cannot keep a guest's memory: ${kept}\n${shown}`);
  } finally {
    await machine.kill();
  }
};

/** The file with the memory; the first time it is made, which takes a boot. */
export const savedMemory = async (qemu: Qemu, parts: Parts, board: Board): Promise<string> => {
  // Its clock counts ticks of this machine's processor, and the files that it has read are those of this very root disk.
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  const { mtimeMs } = await stat(parts.rootDisk);
  const made = JSON.stringify([boardArgv(parts, board, '', []), mtimeMs]);
  const key = hashOf(RECIPE_VERSION, bootId, qemu.key, made);
  const dir = await cached('memory', key, "keeping a guest's memory (once)", (path) => save(qemu, parts, board, path));
  return join(dir, MEMORY);
};

/** It is made again when it is next asked for. */
export const dropMemory = (path: string): Promise<void> => rm(dirname(path), { recursive: true, force: true });
