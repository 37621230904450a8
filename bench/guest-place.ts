// A guest as the place of the bench: its disks are files in this machine's memory, so that no disk of this machine speaks;
// its processor is one, so that what runs beside a writer takes its time from it, on all sides alike.

import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { createCaller } from '../test/csi/caller.ts';
import { createWorkload } from '../test/csi/workload.ts';
import type { Guest } from '../vm/guest.ts';
import { qemuUnlessAsked } from '../vm/bed.ts';
import { removeGuest, startGuest } from '../vm/guest.ts';
import { driverListens, driverTars } from '../tools/driver.ts';
import { ToolError } from '../tools/fault.ts';
import { CSI_SOCKET } from '../tools/forwarding.ts';
import type { Place } from './place.ts';
import { aboutOf } from './place.ts';

const MEMORY = '/dev/shm';
const GIB = 1024 ** 3;
const DISKS = 2;
/** Sparse: they take what is written, and rows clean up behind them. */
const DISK_BYTES = 32 * GIB;
const MEMORY_MIB = 2048;

/** A machine without enough would not fail but crawl, and whatever runs beside with it. */
async function needsMemory(bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(MEMORY);
  const freeBytes = Math.min(bavail * bsize, process.availableMemory());
  if (freeBytes >= bytes) return;
  throw new ToolError(
    `Cannot put the disks in memory: ${Math.floor(freeBytes / GIB)} GiB are free, and this run takes up to ${Math.ceil(bytes / GIB)} GiB`,
  );
}

/** Guests with other names run beside each other; `needBytes` is what a row has on its disks at most. */
export async function guestPlace(name: string, needBytes: number): Promise<Place> {
  await needsMemory(needBytes + MEMORY_MIB * 1024 ** 2);
  const guest = await boot(name, await mkdtemp(join(MEMORY, 'snapmerge-bench-')));
  try {
    await driverListens(guest);
    const socket = await guest.forward(CSI_SOCKET);
    const csi = createCaller(socket.path);
    const output: Place['output'] = (argv, input) => guest.output(argv, input === undefined ? {} : { stdin: input });
    const work = createWorkload(guest, csi);
    return {
      about: await aboutOf('guest', output),
      vg: 'pool',
      output,
      lvm: (command, ...args) => output([command, ...args]),
      csi,
      work,
      driverPid: async () => Number(await output(['cat', '/run/snapmerge/driver.pid'])),
      restartDriver: work.killDriver,
      // The whole guest goes.
      leave: () => undefined,
      close: async () => {
        csi.close();
        await socket.close();
        await guest.stop();
        await removeGuest(name);
      },
    };
  } catch (error) {
    await guest.stop();
    throw error;
  }
}

async function boot(name: string, disksDir: string): Promise<Guest> {
  try {
    const disks = { disks: DISKS, diskSizeBytes: DISK_BYTES, disksDir };
    const tars = await driverTars(name);
    const bed = qemuUnlessAsked();
    // On User Mode Linux zeroes would be written to a disk in memory, all of them.
    const chosen = bed === undefined ? {} : { bed };
    return await startGuest({ name, ...chosen, ...disks, memoryMiB: MEMORY_MIB, driver: true, tars });
  } finally {
    // QEMU has them open: once they have no names they go with it, however it ends.
    await rm(disksDir, { recursive: true });
  }
}
