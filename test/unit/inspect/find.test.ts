import { expect, test } from 'vitest';
import { poolName, vgUuid } from '../../../src/vocabulary/ids.ts';
import { findImage, handleOf } from '../../../src/inspect/find.ts';
import { viewPool } from '../../../src/inspect/pool.ts';
import type { PoolView } from '../../../src/inspect/view.ts';
import { nameOf } from '../../../src/records/tags.ts';
import { ALL, POOL, friday, lookOf, shop, shopRecord } from './family.ts';

const pool: PoolView = { name: POOL, problem: '', contents: viewPool(lookOf()) };
const contents = viewPool({ ...lookOf(), report: { ...lookOf().report, vgUuid: vgUuid('0'.repeat(32)) } });
const other: PoolView = { name: poolName('slow'), problem: '', contents };
const silent: PoolView = { name: poolName('dead'), problem: 'why', contents: undefined };

test.each([
  ['volume', 'shop', shop],
  ['volume', shop, shop],
  ['volume', `fast.AbCdEf.${shop}`, shop],
  ['volume', `renamed.AbCdEf.${shop}`, shop],
  ['snapshot', 'friday', friday],
  ['image', friday, friday],
] as const)('%s %s', (what, text, id) => {
  expect(findImage([pool, silent], what, text).image.id).toBe(id);
});

test('a name that could not be kept as text is known by its hash', () => {
  const named = 'name with spaces';
  const records = ALL.map((record) =>
    record === shopRecord ? { ...record, entity: { ...record.entity, name: nameOf(named) } } : record,
  );
  const hashed: PoolView = { ...pool, contents: viewPool(lookOf(records)) };
  expect(findImage([hashed], 'volume', named).image.id).toBe(shop);
});

test.each([
  ['volume', 'friday', "Cannot use 'friday' as a volume: it is a snapshot"],
  ['volume', 'nothing', "Cannot find volume 'nothing': there are 'shop', 'test-a'"],
  ['snapshot', '', "Cannot find snapshot '': there are 'friday', 'thursday'"],
  ['volume', `fast.000000.${shop}`, 'Cannot find volume'],
] as const)('%s %s is refused', (what, text, message) => {
  expect(() => findImage([pool], what, text)).toThrow(message);
});

test('a name that fits several is refused with their handles, one of which will do', () => {
  expect(() => findImage([pool, other], 'volume', 'shop')).toThrow(
    `it may be 'fast.AbCdEf.${shop}', 'slow.000000.${shop}'; give one of these`,
  );
  const found = findImage([pool, other], 'volume', `slow.000000.${shop}`);
  expect([found.pool.name, handleOf(found)]).toEqual(['slow', `slow.000000.${shop}`]);
});

test('ghosts are found by nobody, and a pool that does not answer is named', () => {
  const ghost = viewPool(
    lookOf(
      ALL.map((record) => (record === shopRecord ? { ...record, deleted: true } : record)),
      [],
    ),
  );
  expect(() => findImage([{ ...pool, contents: ghost }, silent], 'volume', 'shop')).toThrow(
    "Cannot find volume 'shop' (pool 'dead' does not answer): there is 'test-a'",
  );
  expect(() => findImage([], 'snapshot', 'x')).toThrow('there is no snapshot at all');
});
