// After everything else: no store and no device of ours on any node, no volume and no content in the API.

import { expect, test } from 'vitest';
import { isGuests, kubectl } from '../room/cluster.ts';
import { holdings } from '../room/driver.ts';

const LIMIT_MS = 180_000;

test.runIf(isGuests())(
  'nothing is left on the nodes',
  async () => {
    const left = async () => (await holdings()).filter(({ stores, devices }) => stores.length + devices.length > 0);
    await expect.poll(left, { timeout: LIMIT_MS, interval: 5_000 }).toEqual([]);
  },
  2 * LIMIT_MS,
);

test.runIf(isGuests())('nothing is left in the API', async () => {
  const left = await kubectl(['get', 'persistentvolumes,volumesnapshotcontents', '--output=name']);
  expect(left.trim()).toBe('');
});
