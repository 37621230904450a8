// One look at the node for the commands that show it: by the driver where it answers, without it where it does not. What
// speaks gRPC is loaded only by those who ask the driver.

import type { Whereabouts } from '../config/config.ts';
import { SnapmergeError, messageOf } from '../vocabulary/errors.ts';
import type { Exec } from '../system/exec.ts';
import type { PoolView } from '../inspect/view.ts';
import { fromWire } from '../inspect/from-wire.ts';
import { z } from 'zod';
import { readOffline, viewOffline } from './offline.ts';

export type DriverState =
  | { readonly answers: true; readonly version: string; readonly socket: string }
  /** Why it was not asked, or does not answer. */
  | { readonly answers: false; readonly reason: string };

export interface NodeLook {
  readonly driver: DriverState;
  readonly pools: readonly PoolView[];
}

/** `offline`: do not even try the driver. Throws `unavailable` when neither the driver nor LVM answers. */
export async function lookAtNode(exec: Exec, where: Whereabouts, offline: boolean): Promise<NodeLook> {
  if (offline) return withoutDriver(exec, where, 'the driver was not asked (--offline)');
  try {
    return await lookThroughDriver(where.socket);
  } catch (error) {
    if (!(error instanceof SnapmergeError) || error.kind !== 'unavailable') throw error;
    return withoutDriver(exec, where, messageOf(error));
  }
}

/** Throws `unavailable` when the driver does not answer. */
export async function lookThroughDriver(socket: string): Promise<NodeLook> {
  const { openDriver } = await import('./client.ts');
  const driver = await openDriver(socket);
  try {
    const { version, pools } = fromWire(await driver.call('InspectPools', {}, z.unknown()));
    return { driver: { answers: true, version, socket }, pools };
  } finally {
    driver.close();
  }
}

async function withoutDriver(exec: Exec, where: Whereabouts, reason: string): Promise<NodeLook> {
  return { driver: { answers: false, reason }, pools: viewOffline(await readOffline(exec, where.pools)) };
}
