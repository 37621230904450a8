// Listings of all of the node's devices by dmsetup, which gives one up when a device goes in the middle of it.

import { fail } from '../vocabulary/errors.ts';
import type { Argv, Exec } from '../system/exec.ts';
import { failureOf } from '../system/exec.ts';
import { DEVICE_FIELDS, SEPARATOR } from './parse.ts';

/** Other devices come and go all the time. */
const ATTEMPTS = 10;

/** For `parseDevices`. */
export const LIST_DEVICES: Argv = [
  'dmsetup',
  'info',
  '-c',
  '--noheadings',
  '--separator',
  SEPARATOR,
  '-o',
  DEVICE_FIELDS,
];

/** What it says; `unavailable` when it does not come to its end. */
export async function listing(exec: Exec, argv: Argv): Promise<string> {
  let last = '';
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const result = await exec(argv);
    if (result.code === 0) return result.stdout;
    last = failureOf(result);
  }
  return fail('unavailable', `Cannot list device-mapper devices: '${argv.join(' ')}' says ${last}`);
}
