// Users who go on writing while the driver is at work: between any two of its steps, into any volume that does not stand
// still. What a snapshot must show then is what its volume held when that was frozen for it.

import type { Step } from '../../src/dm/step.ts';
import type { SnapshotId, VolumeId } from '../../src/vocabulary/ids.ts';
import { deviceKey, entityOf, isSnapshotId } from '../../src/vocabulary/ids.ts';
import type { ModelVolume } from './model.ts';
import type { Background } from './scenario.ts';

export interface Meanwhile {
  /** Told of each step before it is applied. */
  readonly before: (step: Step) => Promise<void>;
  /** Nobody writes to the volume while `work` goes on: the model cannot say at which moment that takes effect. */
  readonly without: <T>(volume: VolumeId, work: () => Promise<T>) => Promise<T>;
  /** What the volume held in the freeze in which the snapshot was first shown; undefined when there was none. */
  readonly moment: (snapshot: SnapshotId, volume: VolumeId) => readonly number[] | undefined;
}

const CHANCE = 0.3;
const MAX_BLOCKS = 12;

export function createMeanwhile(s: Background): Meanwhile {
  const spared = new Set<VolumeId>();
  /** Of volumes that stand still now. */
  const frozen = new Map<VolumeId, readonly number[]>();
  const moments = new Map<SnapshotId, ReadonlyMap<VolumeId, readonly number[]>>();

  const remember = (step: Step): void => {
    if (!('device' in step)) return;
    const volume = [...s.model.volumes.values()].find(({ id }) => step.device === deviceKey(id, 'top'));
    if (volume !== undefined && step.do === 'suspend') frozen.set(volume.id, [...volume.blocks]);
    if (volume !== undefined && step.do === 'resume') frozen.delete(volume.id);
    const shown = entityOf(step.device);
    const isShown = step.do === 'resume' || step.do === 'make' || step.do === 'swap';
    if (isShown && shown !== undefined && isSnapshotId(shown) && !moments.has(shown))
      moments.set(shown, new Map(frozen));
  };

  const write = async (volume: ModelVolume): Promise<void> => {
    const top = deviceKey(volume.id, 'top');
    const { devices } = await s.rig.kernel.observe();
    // All but the ends of stores: a write would wait, and nobody can say for which contents.
    const stands = [...devices.values()].some(({ live, suspended }) => suspended && live?.[0]?.type !== 'error');
    if (devices.get(top)?.live === undefined || stands) return;
    const tags = Array.from({ length: 1 + s.options.random.below(MAX_BLOCKS) }, () => s.nextTag++);
    const block = s.options.random.below(volume.blocks.length - tags.length);
    volume.blocks.splice(block, tags.length, ...tags);
    for (const tag of tags) volume.past.add(tag);
    await s.rig.write(top, [{ block, tags }]);
  };

  return {
    before: async (step) => {
      const volumes = [...s.model.volumes.values()];
      // A restore that waits may begin at any step; one that is a promotion changes its origin alone.
      const changing = new Set(
        volumes.flatMap(({ id, wish }) => (wish === undefined ? [] : [wish.mode === 'snapshot' ? wish.origin : id])),
      );
      const writers = volumes.filter(({ id, active }) => active && !changing.has(id) && !spared.has(id));
      for (const volume of writers) if (s.options.random.chance(CHANCE)) await write(volume);
      remember(step);
    },
    without: async (volume, work) => {
      spared.add(volume);
      try {
        return await work();
      } finally {
        spared.delete(volume);
      }
    },
    moment: (snapshot, volume) => moments.get(snapshot)?.get(volume),
  };
}
