// The simulated node as a rig for the crash tests, with what it noticed by itself.

import { buildForest } from '../../src/records/build-forest.ts';
import type { CrashRig } from '../contract/crash-rig.ts';
import type { World } from './world.ts';

export function simCrashRig(world: World): CrashRig {
  return {
    kernel: world.kernel,
    lvm: world.lvm,
    read: (devices) => Promise.resolve(new Map(devices.map((key) => [key, world.inspect.content(key) ?? []]))),
    write: (device, at, tags) => {
      const outcome = world.user.write(device, at, tags);
      if (outcome !== 'done') throw new Error(`Cannot write '${device}': ${outcome}`);
      return Promise.resolve();
    },
    flush: (device) => {
      world.user.flush(device);
      return Promise.resolve();
    },
    merge: (chunks) => {
      if (chunks !== undefined) world.control.merge(chunks);
      else if (!world.control.finishMerges()) throw new Error('a merge is stuck');
      return Promise.resolve();
    },
    effects: world.control.effects,
    notices: async () => [...(await breaches(world)), ...waiting(world)],
  };
}

/**
 * Losses and breaches of laws that the simulation noticed by itself. A snapshot that was deleted, and that nothing reads,
 * may go stale while a dead driver has not taken its device away.
 */
async function breaches(world: World): Promise<readonly string[]> {
  const all = world.inspect.notices();
  if (all.length === 0) return [];
  const { families } = buildForest((await world.lvm.report()).stores);
  const nodes = new Set<string>([...families.values()].flatMap((family) => [...family.nodes.keys()]));
  return all
    .filter(({ kind, key }) => kind !== 'unfed-write' || nodes.has(key.slice(0, 12)))
    .map(({ kind, key, effect, text }) => `${kind} at effect ${effect}, ${key}: ${text}`);
}

function waiting(world: World): readonly string[] {
  const queued = world.user.queued().length;
  return queued > 0 ? [`${queued} writes still wait`] : [];
}
