// A guest as the place of the bench: its disks are files in this machine's memory, so that no disk of this machine speaks;
// its processor is one, so that what runs beside a writer takes its time from it, on all sides alike.

import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { createCaller } from '../test/csi/caller.ts';
import { createWorkload } from '../test/csi/workload.ts';
import type { Guest } from '../test/vm/guest.ts';
import { removeGuest, startGuest } from '../test/vm/guest.ts';
import { driverListens, driverTars } from '../tools/driver.ts';
import { ToolError } from '../tools/fault.ts';
import { CSI_SOCKET } from '../tools/forwarding.ts';
import type { Place } from './place.ts';
import { aboutOf } from './place.ts';

const NAME = 'bench';
const MEMORY = '/dev/shm';
const GIB = 1024 ** 3;
const DISKS = 2;
/** Sparse: they take what is written, and rows clean up behind them. */
const DISK_BYTES = 32 * GIB;
const MEMORY_MIB = 2048;

/** `needBytes` is what the rows have on the disks at most. */
export async function guestPlace(needBytes: number): Promise<Place> {
  const { bavail, bsize } = await statfs(MEMORY);
  if (bavail * bsize < needBytes) {
    throw new ToolError(
      `Cannot put the disks in memory: ${MEMORY} has ${Math.floor((bavail * bsize) / GIB)} GiB free, and this run takes up to ${Math.ceil(needBytes / GIB)} GiB`,
    );
  }
  const guest = await boot(await mkdtemp(join(MEMORY, 'snapmerge-bench-')));
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
        await removeGuest(NAME);
      },
    };
  } catch (error) {
    await guest.stop();
    throw error;
  }
}

async function boot(disksDir: string): Promise<Guest> {
  try {
    const disks = { disks: DISKS, diskSizeBytes: DISK_BYTES, disksDir };
    const tars = await driverTars(NAME);
    return await startGuest({ name: NAME, ...disks, memoryMiB: MEMORY_MIB, driver: true, tars });
  } finally {
    // QEMU has them open: once they have no names they go with it, however it ends.
    await rm(disksDir, { recursive: true });
  }
}
