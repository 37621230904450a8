// A guest with the driver for the tests of one file: there before them, empty after each, gone after all.

import { afterAll, afterEach, beforeAll } from 'vitest';
import { driverListens, driverTars } from '../../tools/driver.ts';
import { CSI_SOCKET } from '../../tools/forwarding.ts';
import type { Forward } from '../../vm/forward.ts';
import type { Guest } from '../../vm/guest.ts';
import { removeGuest, startGuest } from '../../vm/guest.ts';
import type { Caller } from './caller.ts';
import { createCaller } from './caller.ts';
import type { Workload } from './workload.ts';
import { LIMIT_MS, createWorkload } from './workload.ts';

export interface Scene {
  readonly guest: Guest;
  readonly csi: Caller;
  readonly w: Workload;
}

const MIB = 1024 ** 2;
/** What a person would look at when a test has failed. */
const LOOK =
  'vgs; lvs -a -o name,size,lv_active,tags; dmsetup table; dmsetup status; tail -n 60 /var/log/snapmerge.log';

/** `begin` is called before the first test. */
export function driverInGuest(name: string, begin: (scene: Scene) => void): void {
  let guest: Guest;
  let socket: Forward;
  let csi: Caller;
  let w: Workload;

  beforeAll(async () => {
    guest = await startGuest({ name, diskSizeBytes: 1024 * MIB, driver: true, tars: await driverTars(name) });
    await driverListens(guest);
    socket = await guest.forward(CSI_SOCKET);
    csi = createCaller(socket.path);
    w = createWorkload(guest, csi);
    begin({ guest, csi, w });
  }, LIMIT_MS);

  afterEach(async ({ task }) => {
    if (task.result?.state === 'fail') process.stdout.write(await w.sh(LOOK));
    await w.clear();
  }, LIMIT_MS);

  afterAll(async () => {
    csi.close();
    await socket.close();
    await guest.stop();
    await removeGuest(name);
  }, LIMIT_MS);
}
