// `./dev down`: an orderly end. What the guest had on its disks goes with it.

import { openGuest, removeGuest } from '../vm/guest.ts';
import { runningGuests } from '../vm/state.ts';
import { stopForwarding } from './forwarding.ts';
import { hostDown } from './host.ts';
import { nameOption, readOptions } from './options.ts';
import { say, step } from './progress.ts';

const USAGE = `usage: ./dev down [--name NAME | --all] [--host]`;

const stop = async (name: string): Promise<void> => {
  await stopForwarding(name);
  if ((await runningGuests()).includes(name)) {
    const guest = await openGuest(name);
    await step(`stopping guest '${name}'`, () => guest.stop());
  } else say(`guest '${name}' is not running`);
  await removeGuest(name);
};

export const down = async (args: readonly string[]): Promise<number> => {
  const options = readOptions(USAGE, args, {
    ...nameOption,
    all: { type: 'boolean', default: false },
    host: { type: 'boolean', default: false },
  });
  if (options.host) return hostDown(options.name);
  for (const name of options.all ? await runningGuests() : [options.name]) await stop(name);
  return 0;
};
