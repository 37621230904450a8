// Restores and stores that fill, as workloads meet them, in a guest of their own beside use.test.ts: together they would be the
// longest part of all tests by far.

import type { Scene } from './use-guest.ts';
import { driverInGuest } from './use-guest.ts';
import { fullStoreTests } from './use-full.ts';
import { restoreTests } from './use-restore.ts';

let scene: Scene;

driverInGuest('csi-restores', (begun) => {
  scene = begun;
});

restoreTests(() => scene);
fullStoreTests(() => scene);
