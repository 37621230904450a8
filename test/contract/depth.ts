// As deep as images may lie, on both nodes: a fork of the oldest snapshot that one can be made of, with as many snapshots
// taken over it as it bears, is read, written, snapshotted, cut off from power and staged again; and a restore merges as
// many levels as it may.

import { expect } from 'vitest';
import { MOST_NESTED, MOST_NESTED_NEW, liveDepths } from '../../src/converge/depth.ts';
import type { PoolEngine } from '../../src/engine/compose.ts';
import type { SnapshotId } from '../../src/vocabulary/ids.ts';
import { deviceKey } from '../../src/vocabulary/ids.ts';
import { mib } from '../../src/vocabulary/units.ts';
import { PLAIN, blank } from './blank.ts';
import type { Rig } from './rig.ts';

const SIZE = mib(1);
const BLOCKS = Number(SIZE) / 4096;

/** `open`: a driver that starts on what there is. */
export async function runAtTheBound(rig: Rig, open: () => Promise<PoolEngine>): Promise<void> {
  const engine = await open();
  const { id: shop } = await engine.createVolume(blank('shop', SIZE));
  await engine.activate(shop);
  const top = deviceKey(shop, 'top');
  const shown: number[] = Array.from({ length: BLOCKS }, () => 0);
  const contents: { readonly id: SnapshotId; readonly blocks: readonly number[] }[] = [];
  const take = async (count: number, from: PoolEngine): Promise<void> => {
    for (let n = 0; n < count; n += 1) {
      const tag = contents.length + 1;
      // A run of its own for each, so that every level holds something and hides something.
      const at = (tag * 5) % (BLOCKS - 8);
      const tags = Array.from({ length: 7 }, () => tag);
      await rig.write(top, [{ block: at, tags }]);
      shown.splice(at, tags.length, ...tags);
      const { id } = await from.createSnapshot(shop, `hour ${tag}`);
      contents.push({ id, blocks: [...shown] });
    }
  };
  await take(MOST_NESTED_NEW - 4, engine);
  const [oldest] = contents;
  if (oldest === undefined) throw new Error('there is no snapshot');
  const { id: fork } = await engine.createVolume({
    ...blank('test-a', SIZE, PLAIN),
    source: { from: 'snapshot', snapshot: oldest.id },
  });
  await engine.activate(fork);
  await take(MOST_NESTED - MOST_NESTED_NEW, engine);
  await expect(engine.createSnapshot(shop, 'one more')).rejects.toMatchObject({ kind: 'precondition' });

  const forkTop = deviceKey(fork, 'top');
  const depths = liveDepths(await rig.kernel.observe());
  expect(Math.max(...depths.values())).toBe(MOST_NESTED);
  expect(depths.get(forkTop)).toBe(MOST_NESTED);
  const mine = [...oldest.blocks];
  expect(await rig.read(forkTop)).toEqual([mine]);
  // A part of a chunk each: the rest is copied up through all that lie below.
  const writes = Array.from({ length: 20 }, (_, n) => ({ block: n * 12 + 1, tags: [1000 + n] }));
  await rig.write(forkTop, writes);
  for (const { block, tags } of writes) mine.splice(block, 1, ...tags);
  const { id: ofFork } = await engine.createSnapshot(fork, 'of the fork');
  await rig.write(forkTop, [{ block: 100, tags: Array.from({ length: 64 }, () => 2000) }]);
  const atSnapshot = [...mine];
  mine.splice(100, 64, ...Array.from({ length: 64 }, () => 2000));
  expect(await rig.read(forkTop, deviceKey(ofFork, 'view'))).toEqual([mine, atSnapshot]);

  await rig.cutPower();
  const again = await open();
  await again.activate(fork);
  await again.activate(shop);
  expect(Math.max(...liveDepths(await rig.kernel.observe()).values())).toBe(MOST_NESTED);
  expect(await rig.read(forkTop, top)).toEqual([mine, shown]);

  // And a restore: as many levels as may be, each merged through those below it.
  await again.deactivate(fork);
  await again.deactivate(shop);
  const target = contents.at(-(MOST_NESTED_NEW - 4));
  if (target === undefined) throw new Error('there are too few snapshots');
  const { id: restore } = await again.startRestore({
    volume: shop,
    snapshot: target.id,
    mode: 'origin',
    keepSnapshot: true,
    safetySnapshotName: undefined,
    replace: false,
    token: undefined,
  });
  await again.activate(shop);
  expect(await rig.read(top)).toEqual([target.blocks]);
  for (let round = 0; round < 5; round += 1) {
    await rig.finishMerges();
    await again.look();
    await again.settle();
  }
  expect((await again.getRestore(restore))?.phase).toBe('done');
  const others = [0, 10, 16, 30, -1].flatMap((at) => contents.at(at) ?? []);
  await again.show(new Set(others.map(({ id }) => id)));
  expect(await rig.read(top, ...others.map(({ id }) => deviceKey(id, 'view')))).toEqual([
    target.blocks,
    ...others.map(({ blocks }) => blocks),
  ]);
}
