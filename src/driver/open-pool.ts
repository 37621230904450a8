// From a configured volume group to a running engine: checks that kernel and LVM answer, makes the ports of this machine
// and puts the engine on them. Rejects with the first thing that does not answer.

import { randomBytes } from 'node:crypto';
import { createHost } from '../host/blockdev.ts';
import type { PoolConfig } from '../config/config.ts';
import { createLocks } from '../system/locks.ts';
import type { Claims } from '../dm/claim.ts';
import { createKernel } from '../dm/dmsetup.ts';
import { installUdevRules, udevRuns } from '../dm/udev.ts';
import type { Engine } from '../engine/engine.ts';
import type { PoolEngine } from '../engine/compose.ts';
import { createPoolEngine } from '../engine/compose.ts';
import { fail, messageOf } from '../vocabulary/errors.ts';
import type { Exec } from '../system/exec.ts';
import { idFromBytes } from '../vocabulary/ids.ts';
import type { VgUuid } from '../vocabulary/ids.ts';
import { createLvm } from '../lvm/commands.ts';
import { attachLoop, ensureLoopPool } from '../lvm/create-pool/create-pool.ts';
import { readDisk } from '../lvm/stamp.ts';
import { measuredKernel } from '../metrics/measured.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { PoolOpener } from '../pools/pools.ts';
import type { Clock, Log } from '../vocabulary/ports.ts';

export interface OpenOptions {
  readonly exec: Exec;
  readonly clock: Clock;
  readonly log: Log;
  readonly reservePercent: number;
  readonly metrics: Metrics;
  readonly claims: Pick<Claims, 'claim'>;
  /** How an engine begins; with what goes on by itself unless told otherwise. */
  readonly begin?: ((engine: PoolEngine) => Promise<void>) | undefined;
}

/** Openers for all pools: the udev rules name all groups that are known, so they are written by one at a time. */
export function poolOpeners(pools: readonly PoolConfig[], options: OpenOptions): readonly PoolOpener[] {
  const groups = new Set<VgUuid>();
  const locks = createLocks();
  const hideFromUdev = async (group: VgUuid): Promise<boolean> =>
    locks.run('rules', async () => {
      groups.add(group);
      const udev = await udevRuns(options.exec);
      if (udev) await installUdevRules(options.exec, [...groups]);
      return udev;
    });
  return pools.map((pool) => ({ name: pool.name, open: async () => openPool(pool, options, hideFromUdev) }));
}

/** The group is this process's own from before anything of it is looked at until its engine has stopped. */
async function openPool(
  pool: PoolConfig,
  options: OpenOptions,
  hideFromUdev: (group: VgUuid) => Promise<boolean>,
): Promise<Engine> {
  await requireTargets(options.exec);
  const { release } = await options.claims.claim(pool.volumeGroup);
  try {
    const engine = await openOwned(pool, options, hideFromUdev);
    const stop = async (): Promise<void> => {
      await engine.stop();
      await release();
    };
    return { ...engine, stop };
  } catch (error) {
    // Whoever makes the group that is missing needs it.
    await release();
    throw error;
  }
}

async function openOwned(
  { name: pool, volumeGroup: vgName, loopFile: file, loopSize: size }: PoolConfig,
  { exec, clock, log, reservePercent, metrics, begin = (engine) => engine.start() }: OpenOptions,
  hideFromUdev: (group: VgUuid) => Promise<boolean>,
): Promise<Engine> {
  if (file !== undefined && size !== undefined) await ensureLoopPool({ exec, vgName, file, size });
  else if (file !== undefined) await attachLoop(exec, file);
  const lvm = createLvm({ exec, vgName, readDisk });
  const { vgUuid } = await lvm.report();
  const udev = await hideFromUdev(vgUuid);
  const engine = createPoolEngine({
    pool,
    vg: vgUuid,
    lvm,
    kernel: measuredKernel(createKernel({ exec, lvm, pool, vgName, vgUuid, udev }), pool, metrics),
    host: createHost({ exec, vgName, vgUuid }),
    clock,
    drawId: () => idFromBytes(randomBytes(10)),
    log,
    reservePercent,
    looked: (ok, seconds) => metrics.looked(pool, ok ? 'ok' : 'error', seconds),
  });
  try {
    await begin(engine);
    return engine;
  } catch (error) {
    // Nothing of it goes on when the group is no longer ours.
    await engine.stop();
    throw error;
  }
}

const TARGETS: Readonly<Record<string, string>> = {
  linear: 'dm-mod',
  error: 'dm-mod',
  zero: 'dm-zero',
  snapshot: 'dm-snapshot',
  'snapshot-origin': 'dm-snapshot',
  'snapshot-merge': 'dm-snapshot',
  mirror: 'dm-mirror',
};

async function requireTargets(exec: Exec): Promise<void> {
  const modules = new Set((await missingTargets(exec)).map(([, module]) => module));
  // Built in, or loaded by somebody else: whether modprobe is there decides nothing, the second look does.
  for (const module of modules) await exec(['modprobe', module]).catch(() => undefined);
  const [missing] = await missingTargets(exec);
  if (missing !== undefined)
    fail('unavailable', `Cannot find dm target '${missing[0]}' in this kernel: load ${missing[1]}`);
}

async function missingTargets(exec: Exec): Promise<readonly (readonly [string, string])[]> {
  const result = await exec(['dmsetup', 'targets']).catch((cause: unknown) =>
    fail('unavailable', `Cannot reach device-mapper: ${messageOf(cause)}`, cause),
  );
  if (result.code !== 0) fail('unavailable', `Cannot reach device-mapper: ${result.stderr.trim()}`);
  const present = new Set(result.stdout.split('\n').map((line) => line.split(/\s/)[0] ?? ''));
  return Object.entries(TARGETS).filter(([target]) => !present.has(target));
}
