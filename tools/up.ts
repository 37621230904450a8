// `./dev up`: a guest with a pool and the driver that stays after the command has ended.

import { openGuest, prepareGuests, startGuest } from '../vm/guest.ts';
import { runningGuests } from '../vm/state.ts';
import { driverListens, driverTars } from './driver.ts';
import { csiSocketOf, startForwarding } from './forwarding.ts';
import { count, nameOption, readOptions, sizeBytes } from './options.ts';
import { say } from './progress.ts';

const USAGE = `usage: ./dev up [OPTIONS]
  --name NAME        of the guest, for several side by side (default)
  --disks COUNT      virtual disks of the pool (2)
  --disk-size SIZE   of each, sparse (4G)
  --memory SIZE      (1024M)
  --cpus COUNT       (1)
  --no-udev          a guest without udev
  --host             no guest: a pool on loop files of this machine, and the driver as a process of it
SNAPMERGE_DRIVER=off boots a guest without pool and driver.`;

export const up = async (args: readonly string[]): Promise<number> => {
  const options = readOptions(USAGE, args, {
    ...nameOption,
    disks: { type: 'string', default: '2' },
    'disk-size': { type: 'string', default: '4G' },
    memory: { type: 'string', default: '1024M' },
    cpus: { type: 'string', default: '1' },
    'no-udev': { type: 'boolean', default: false },
    host: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  });
  if (options.help) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const { name } = options;
  const disks = count('disks', options.disks);
  const diskSizeBytes = sizeBytes('disk-size', options['disk-size']);
  if (options.host) return (await import('./host.ts')).hostUp({ name, disks, diskSizeBytes });

  const driver = process.env['SNAPMERGE_DRIVER'] !== 'off';
  if ((await runningGuests()).includes(name)) {
    say(`guest '${name}' is running already (./dev down stops it)`);
    if ((await openGuest(name)).shape.driver) process.stdout.write(`${csiSocketOf(name)}\n`);
    return 0;
  }
  say((await prepareGuests()).about);
  const guest = await startGuest({
    name,
    disks,
    diskSizeBytes,
    memoryMiB: sizeBytes('memory', options.memory) / 1024 ** 2,
    cpus: count('cpus', options.cpus),
    udev: !options['no-udev'],
    driver,
    tars: driver ? await driverTars(name) : [],
    detached: true,
  });
  if (driver) {
    const path = await startForwarding(name);
    await driverListens(guest);
    process.stdout.write(`${path}\n`);
  }
  return 0;
};
