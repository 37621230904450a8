// This machine itself as the place of the bench: a volume group of the bench's own on loop files in memory, the driver as a
// process of this machine, and LVM told of those loop devices and no others.

import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createCaller } from '../test/csi/caller.ts';
import { createWorkload } from '../test/csi/workload.ts';
import { ensureDebianPackages } from '../tools/debian-packages.ts';
import { hostDir, startHost, stopHost, volumeGroupOf } from '../tools/host.ts';
import { run } from '../tools/run.ts';
import type { Place } from './place.ts';
import { aboutOf } from './place.ts';

const NAME = 'bench';
const DISKS = 2;
const DISK_BYTES = 32 * 1024 ** 3;

/** `needBytes` is what the rows have on the disks at most. */
export async function hostPlace(needBytes: number): Promise<Place> {
  const dir = hostDir(NAME);
  await mkdir(dir, { recursive: true });
  await run(['mount', '-t', 'tmpfs', '-o', `size=${2 * needBytes}`, 'snapmerge-bench', dir]);
  const stop = async (): Promise<void> => {
    await stopHost(NAME);
    await run(['umount', dir]);
    await rm(dir, { recursive: true });
  };
  try {
    const started = await startHost({ name: NAME, disks: DISKS, diskSizeBytes: DISK_BYTES });
    const { socket, devices } = started;
    await ensureDebianPackages(['fio']);
    const csi = createCaller(socket);
    const output: Place['output'] = ([file = '', ...args], input) =>
      run([file, ...args], input === undefined ? {} : { input });
    const left: (() => Promise<void>)[] = [];
    return {
      about: await aboutOf('this machine', output),
      vg: volumeGroupOf(NAME),
      output,
      lvm: (command, ...args) => output([command, '--devices', devices.join(','), ...args]),
      csi,
      work: createWorkload({ output }, csi),
      driverPid: async () => Number(await readFile(join(dir, 'driver.pid'), 'utf8')),
      restartDriver: async () => {
        await startHost({ name: NAME, disks: DISKS, diskSizeBytes: DISK_BYTES });
      },
      leave: (clear) => void left.push(clear),
      close: async () => {
        for (const clear of left) await clear();
        csi.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}
