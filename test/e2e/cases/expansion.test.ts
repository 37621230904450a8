// A volume grows while its pod uses it, with a live snapshot below it.

import { expect, test } from 'vitest';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('expansion');

test(
  'the claim asks for more, and the pod has it without being started again',
  async () => {
    await room.apply('shop.yaml');
    await room.ready('shop');
    await room.exec('shop', 'sh', '-c', 'echo kept >/data/order && sync');
    await room.apply('friday.yaml');
    await room.field('volumesnapshot/friday', '.status.readyToUse', 'true');
    const started = await room.value('pod/shop', '.status.containerStatuses[0].state.running.startedAt');

    const more = JSON.stringify({ spec: { resources: { requests: { storage: '512Mi' } } } });
    await room.kubectl('patch', 'pvc/shop', `--patch=${more}`);
    await room.field('pvc/shop', '.status.capacity.storage', '512Mi');

    const [, line = ''] = (await room.exec('shop', 'df', '-kP', '/data')).trim().split('\n');
    expect(Number(line.split(/\s+/)[1])).toBeGreaterThan(400 * 1024);
    expect(await room.exec('shop', 'cat', '/data/order')).toBe('kept\n');
    expect(await room.value('pod/shop', '.status.containerStatuses[0].state.running.startedAt')).toBe(started);
    expect(await room.value('volumesnapshot/friday', '.status.restoreSize')).toBe('256Mi');
  },
  TEST_LIMIT_MS,
);
