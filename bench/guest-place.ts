// A guest as the place of the bench: its disks are in its own memory, so that no disk of this machine speaks; its processor is
// one, so that what runs beside a writer takes its time from it, on all sides alike.

import { createCaller } from '../test/csi/caller.ts';
import { createWorkload } from '../test/csi/workload.ts';
import { roomForMemory } from '../vm/bed.ts';
import { removeGuest, startGuest } from '../vm/guest.ts';
import type { BedKind } from '../vm/state.ts';
import { driverListens, driverTars } from '../tools/driver.ts';
import { ToolError } from '../tools/fault.ts';
import { CSI_SOCKET } from '../tools/forwarding.ts';
import type { Place } from './place.ts';
import { aboutOf } from './place.ts';

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const DISKS = 2;
/** They take what is written, and rows clean up behind them. */
const DISK_BYTES = 32 * GIB;
const MEMORY_BYTES = 2 * GIB;

const memoryOf = (needBytes: number): number => MEMORY_BYTES + needBytes;

/** A machine without enough would not fail but crawl, and whatever runs beside with it. Asked once, before the first guest. */
export async function needsMemory(bed: BedKind, needBytes: number, guests: number): Promise<void> {
  const wantedBytes = guests * memoryOf(needBytes);
  const freeBytes = Math.min(process.availableMemory(), await roomForMemory(bed));
  if (freeBytes >= wantedBytes) return;
  throw new ToolError(
    `Cannot put the disks in memory: ${Math.floor(freeBytes / GIB)} GiB are free, and this run takes up to ${Math.ceil(wantedBytes / GIB)} GiB`,
  );
}

/** Guests with other names run beside each other; `needBytes` is what a row has on its disks at most. */
export async function guestPlace(
  { name, bed }: { readonly name: string; readonly bed: BedKind },
  needBytes: number,
): Promise<Place> {
  const guest = await startGuest({
    name,
    bed,
    disks: DISKS,
    diskSizeBytes: DISK_BYTES,
    inMemory: true,
    memoryMiB: memoryOf(needBytes) / MIB,
    driver: true,
    tars: await driverTars(name),
  });
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
