// The driver of one boot, as a cut test wants it: an engine whose effects are counted and can be stopped after any of them,
// and that never reaches the guest again once the power has gone, although its promises still end.

import type { Clock } from '../../src/vocabulary/ports.ts';
import { inTurn } from '../../src/dm/kernel.ts';
import type { Step } from '../../src/dm/step.ts';
import { stepText } from '../../src/dm/step.ts';
import { createPoolEngine } from '../../src/engine/compose.ts';
import type { Exec } from '../../src/system/exec.ts';
import type { Host } from '../../src/host/host.ts';
import type { DeviceKey } from '../../src/vocabulary/ids.ts';
import { dmUuid, poolName } from '../../src/vocabulary/ids.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import { silentLog } from '../../src/vocabulary/ports.ts';
import type { Bytes } from '../../src/vocabulary/units.ts';
import type { Hooks, Node } from '../contract/crash-operation.ts';
import type { CrashRig } from '../contract/crash-rig.ts';
import type { Guest } from '../../vm/guest.ts';
import { LOOK_IN_GUEST_EVERY_MS, waitFor } from '../../vm/wait.ts';
import { readBlocks, writeBlocks } from './blocks.ts';
import { guestExec } from './guest-exec.ts';
import { mergesUnderWay, openPorts } from './rig.ts';

/** What throws from every call once the power has gone. */
export class PowerCut extends Error {}

export interface Driver {
  readonly node: Node;
  /** Stops before the effect after so many more; resolves when that has happened. */
  readonly stopAfter: (effects: number) => Promise<void>;
  /** Called just before a merge begins, or goes on. */
  readonly onMerge: (called: () => void) => void;
  /** From now on every call throws. */
  readonly end: () => void;
  readonly hasEnded: () => boolean;
  /** One line an effect. */
  readonly trace: readonly string[];
}

export interface DriverOptions {
  readonly guest: Guest;
  readonly leastHeadroom: Bytes;
  readonly clock: Clock;
  readonly drawId: () => string;
}

/**
 * Percent of the time that the kernel may copy for snapshots and merges: so little that merges last while other things
 * happen.
 */
const SLOW = '10';
const FULL_SPEED = '100';
const MERGE_LIMIT_MS = 120_000;
const MERGE_PAUSE_MS = 200;

/** Reads the pool; the engine has not been opened. */
export async function startDriver({ guest, leastHeadroom, clock, drawId }: DriverOptions): Promise<Driver> {
  let ended = false;
  let effects = 0;
  let left = Number.POSITIVE_INFINITY;
  let stopped = (): void => undefined;
  let merging = (): void => undefined;
  const trace: string[] = [];
  const hooks: Hooks = { beforeSuspend: undefined };

  const inGuest = guestExec(guest);
  const exec: Exec = async (argv, options) => {
    if (ended) throw new PowerCut('the power is gone');
    return inGuest(argv, options);
  };
  const ports = await openPorts(exec);

  async function effect<T>(text: string, run: () => Promise<T>): Promise<T> {
    if (ended) throw new PowerCut('the power is gone');
    if (left <= 0) {
      ended = true;
      stopped();
      throw new PowerCut('the power is gone');
    }
    left -= 1;
    effects += 1;
    trace.push(text);
    return run();
  }

  const begins = new Set<DeviceKey>();
  const apply = async (step: Step): Promise<void> => {
    const { beforeSuspend } = hooks;
    if (step.do === 'suspend') hooks.beforeSuspend = undefined;
    if (step.do === 'suspend') await beforeSuspend?.();
    await effect(stepText(step), async () => {
      if (step.do === 'load' && step.table.some(({ type }) => type === 'snapshot-merge')) begins.add(step.device);
      if (step.do === 'resume' && begins.delete(step.device)) merging();
      await ports.kernel.apply([step]);
    });
  };
  const kernel = { ...ports.kernel, apply: inTurn(apply) };
  const lvm: Lvm = {
    report: ports.lvm.report,
    stamp: ports.lvm.stamp,
    create: (...a) => effect(`lvcreate ${a[0]} ${a[1]} ${a[3].join(' ')}`, () => ports.lvm.create(...a)),
    remove: (store) => effect(`lvremove ${store}`, () => ports.lvm.remove(store)),
    extend: (...a) => effect(`lvextend ${a.join(' ')}`, () => ports.lvm.extend(...a)),
    shrink: (...a) => effect(`lvreduce ${a.join(' ')}`, () => ports.lvm.shrink(...a)),
    retag: (store, add, remove) =>
      effect(`retag ${store} +${add.join(' +')} -${remove.join(' -')}`, () => ports.lvm.retag(store, add, remove)),
    flush: () => effect('flush', () => ports.lvm.flush()),
  };
  const host: Host = {
    ...ports.host,
    zero: (...a) => effect(`zero ${a.slice(0, 3).join(' ')}`, () => ports.host.zero(...a)),
  };

  const target = (key: DeviceKey): string => dmUuid(ports.vg, key);
  const speed = (percent: string): Promise<unknown> =>
    exec(['sh', '-c', `echo ${percent} > /sys/module/dm_snapshot/parameters/snapshot_copy_throttle`]);

  const rig: CrashRig = {
    kernel,
    lvm,
    read: async (devices) => {
      const contents = await readBlocks(guest, devices.map(target));
      return new Map(devices.map((key, index) => [key, contents[index] ?? []]));
    },
    write: async (device, at, tags) => writeBlocks(exec, target(device), [{ block: at, tags }], 'leave'),
    flush: (device) => writeBlocks(exec, target(device), [], 'flush'),
    merge: async (chunks) => {
      if (chunks !== undefined) {
        await exec(['sleep', String(MERGE_PAUSE_MS / 1000)]);
        return;
      }
      await speed(FULL_SPEED);
      const done = await waitFor(
        MERGE_LIMIT_MS,
        async () => ((await mergesUnderWay(guest)) === 0 ? true : undefined),
        LOOK_IN_GUEST_EVERY_MS,
      );
      if (done === undefined) throw new Error('a merge is stuck');
      await speed(SLOW);
    },
    effects: () => effects,
    notices: () => Promise.resolve([]),
  };
  await speed(SLOW);
  const engine = createPoolEngine({
    pool: poolName('test'),
    vg: ports.vg,
    lvm,
    kernel,
    host,
    clock,
    drawId,
    log: silentLog,
    reservePercent: 0,
    leastHeadroom,
  });
  return {
    node: { rig, engine, hooks },
    stopAfter: (more) =>
      new Promise((resolve) => {
        left = more;
        stopped = resolve;
      }),
    onMerge: (called) => {
      merging = called;
    },
    end: () => {
      ended = true;
    },
    hasEnded: () => ended,
    trace,
  };
}
