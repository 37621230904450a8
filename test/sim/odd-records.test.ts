// A store that somebody has made another thing of stops its own family, and nothing else.

import { expect, test } from 'vitest';
import type { StoreName } from '../../src/vocabulary/ids.ts';
import { deviceKey } from '../../src/vocabulary/ids.ts';
import type { Lvm } from '../../src/lvm/lvm.ts';
import { kib, mib } from '../../src/vocabulary/units.ts';
import { blank } from '../contract/blank.ts';
import { poolEngine } from './pool-engine.ts';
import { createWorld } from './world.ts';

const REASON = "Cannot use store 'x': its layout is 'cache', want linear, striped or raid1";

test('a store that was converted stops every call on its family, with the reason, and no call on others', async () => {
  const world = createWorld({ seed: 1, extent: kib(64), disks: [mib(128)] });
  const converted = new Set<StoreName>();
  const lvm: Lvm = {
    ...world.lvm,
    report: async () => {
      const report = await world.lvm.report();
      const stores = report.stores.map((one) => (converted.has(one.store) ? { ...one, trouble: REASON } : one));
      return { ...report, stores };
    },
  };
  const engine = await poolEngine(world, { lvm });
  await engine.open();
  const { id: theirs } = await engine.createVolume(blank('theirs', mib(4)));
  const { id: mine } = await engine.createVolume(blank('mine', mib(4)));
  const { id: before } = await engine.createSnapshot(theirs, 'before');
  await engine.activate(theirs);
  const stores = (await world.lvm.report()).stores.filter(({ tags }) => tags.some((tag) => tag.includes(theirs)));
  for (const { store } of stores.slice(0, 1)) converted.add(store);
  expect(converted.size).toBe(1);
  // Any change of ours makes what was read before old.
  await engine.createVolume(blank('other', mib(4)));

  const wanted = { kind: 'contradiction', message: expect.stringContaining(REASON) };
  await expect(engine.createSnapshot(theirs, 'after')).rejects.toMatchObject(wanted);
  await expect(engine.deleteSnapshot(before)).rejects.toMatchObject(wanted);
  await expect(engine.deleteVolume(theirs)).rejects.toMatchObject(wanted);
  // Whoever took its name would have a twin; and it is there, so this is no final answer.
  await expect(engine.createVolume(blank('theirs', mib(4)))).rejects.toMatchObject({ ...wanted, kind: 'unavailable' });

  await engine.activate(mine);
  await engine.createSnapshot(mine, 'friday');
  expect((await engine.createVolume(blank('new', mib(4)))).size).toBe(mib(4));
  await engine.settle();
  await engine.look();
  // What is staged can be put down all the same, which takes away what was mounted and nothing else.
  const devices = world.inspect.devices();
  const top = deviceKey(theirs, 'top');
  expect(devices).toContain(top);
  await engine.deactivate(theirs);
  expect(world.inspect.devices()).toEqual(devices.filter((key) => key !== top));
  await engine.deactivate(theirs);
  await expect(engine.activate(theirs)).rejects.toMatchObject(wanted);
  // Nothing of it was touched: as it was, it is again.
  converted.clear();
  await engine.createSnapshot(mine, 'saturday');
  await engine.activate(theirs);
  expect((await engine.getSnapshot(before))?.lost).toBe(false);
});
