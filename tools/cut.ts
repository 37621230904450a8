// `./dev cut`: no sync, no shutdown; then the guest boots again on the same disks, and the driver starts by itself.

import { openGuest } from '../vm/guest.ts';
import { driverListens } from './driver.ts';
import { csiSocketOf } from './forwarding.ts';
import { nameOption, readOptions } from './options.ts';

const USAGE = 'usage: ./dev cut [--name NAME]';

export const cut = async (args: readonly string[]): Promise<number> => {
  const { name } = readOptions(USAGE, args, nameOption);
  const guest = await openGuest(name);
  await guest.cut();
  await guest.boot();
  if (guest.shape.driver) {
    await driverListens(guest);
    process.stdout.write(`${csiSocketOf(name)}\n`);
  }
  return 0;
};
