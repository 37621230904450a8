// Snapshots of a volume in use, forks of them, clones, and forks that are larger.

import { expect, test } from 'vitest';
import { openRoom, TEST_LIMIT_MS } from '../room/room.ts';

const room = openRoom('snapshots');
const KIB_OF_LARGER = 400 * 1024;

const order = (pod: string): Promise<string> => room.exec(pod, 'cat', '/data/order');
const write = (pod: string, text: string): Promise<string> =>
  room.exec(pod, 'sh', '-c', `echo ${text} >/data/order && sync`);
const kibOf = async (pod: string): Promise<number> => {
  const [, line = ''] = (await room.exec(pod, 'df', '-kP', '/data')).trim().split('\n');
  return Number(line.split(/\s+/)[1]);
};

test(
  'a snapshot of a volume in use is ready, and says its size',
  async () => {
    await room.apply('shop.yaml');
    await room.ready('shop');
    await write('shop', 'friday');
    await room.apply('friday.yaml');
    await room.field('volumesnapshot/friday', '.status.readyToUse', 'true');
    expect(await room.value('volumesnapshot/friday', '.status.restoreSize')).toBe('256Mi');
    await write('shop', 'saturday');
  },
  TEST_LIMIT_MS,
);

test(
  'forks show what the snapshot showed, and are written without a trace elsewhere',
  async () => {
    await room.apply('fork.yaml', 'larger-fork.yaml');
    await room.ready('test-a', 'larger');
    expect(await order('test-a')).toBe('friday\n');
    expect(await order('larger')).toBe('friday\n');
    await write('test-a', 'mine');
    expect(await order('larger')).toBe('friday\n');
    expect(await order('shop')).toBe('saturday\n');
    expect(await kibOf('test-a')).toBeLessThan(256 * 1024);
    expect(await kibOf('larger')).toBeGreaterThan(KIB_OF_LARGER);
    const node = await room.value('pod/shop', '.spec.nodeName');
    expect(await room.value('pod/test-a', '.spec.nodeName')).toBe(node);
  },
  TEST_LIMIT_MS,
);

test(
  'a clone shows what the claim shows now',
  async () => {
    await room.apply('clone.yaml');
    await room.ready('copy');
    expect(await order('copy')).toBe('saturday\n');
    await write('copy', 'sunday');
    expect(await order('shop')).toBe('saturday\n');
  },
  TEST_LIMIT_MS,
);

test(
  'what is deleted goes in any order: the volume first, then the snapshot, and forks live on',
  async () => {
    await room.remove('pod/shop', 'pvc/shop');
    await room.remove('volumesnapshot/friday');
    expect(await order('test-a')).toBe('mine\n');
    expect(await order('larger')).toBe('friday\n');
    expect(await order('copy')).toBe('sunday\n');
    await room.remove('pod/larger', 'pvc/larger');
    expect(await order('test-a')).toBe('mine\n');
  },
  TEST_LIMIT_MS,
);
