import { stripVTControlCharacters } from 'node:util';
import { expect, test } from 'vitest';
import { renderTree } from '../../../src/cli/tree.ts';
import { MOST_NESTED, MOST_NESTED_NEW } from '../../../src/converge/depth.ts';
import { poolName } from '../../../src/vocabulary/ids.ts';
import { unattended, viewPool } from '../../../src/inspect/pool.ts';
import type { Look } from '../../../src/inspect/pool.ts';
import { mib } from '../../../src/vocabulary/units.ts';
import {
  ALL,
  POOL,
  deepRecords,
  fork,
  friday,
  lookOf,
  observedOf,
  reportOf,
  restoring,
  shop,
  shopRecord,
  thursdayRecord,
  wantedOf,
} from '../inspect/family.ts';

const PLAIN = { colour: false, unicode: true };
const treeOf = (look: Look, style = PLAIN): readonly string[] =>
  renderTree([{ name: POOL, problem: '', contents: viewPool(look) }], style);

test('a family as a tree', () => {
  expect(treeOf(lookOf(ALL, [shop, fork]))).toEqual([
    'pool fast  volume group vg-fast, 80 GiB free of 100 GiB',
    '',
    'family v-00000000sh  4 images of 4 GiB in 1.38 GiB',
    'shop             v-00000000sh  volume    1 GiB  in use /dev/dm-9  data 1 GiB',
    '└─ friday        s-00000000fr  snapshot  1 GiB  fed               store 40 MiB of 128 MiB',
    '   └─ thursday   s-00000000th  snapshot  1 GiB  shown             store 40 MiB of 128 MiB',
    '      └─ test-a  v-00000000fk  fork      1 GiB  in use /dev/dm-8  store 40 MiB of 128 MiB',
  ]);
});

test('dormant images, and one that is being restored', () => {
  const wanted = wantedOf(restoring(), []);
  const observed = observedOf(wanted, mib(101), mib(1));
  const lines = treeOf({ report: reportOf(restoring()), observed, known: unattended(observed) });
  expect(lines[3]).toContain('restoring to friday, 75 %, 100 MiB left');
  expect(lines[5]).toMatch(/thursday .* dormant +store 128 MiB$/);
});

test('images of which no fork can be made any more, and what is staged deeper than is safe', () => {
  const style = { colour: true, unicode: true };
  const lines = treeOf(lookOf(deepRecords(MOST_NESTED_NEW), [shop]), style);
  const deep = lines.filter((line) => line.includes('devices deep'));
  // The two oldest snapshots, and the fork of the oldest.
  expect(deep.map((line) => /(\d+) devices deep/.exec(line)?.[1])).toEqual(['33', '34', '36']);
  const yellow = '\u001B[33m';
  const red = '\u001B[31m';
  expect(deep.every((line) => line.includes(`${yellow}3`))).toBe(true);
  const staged = treeOf(lookOf(deepRecords(MOST_NESTED), [shop, fork]), style);
  expect(staged.filter((line) => line.includes(red))).toHaveLength(3);
  expect(staged.at(-1)).toContain(`${red}${MOST_NESTED + 4} devices deep`);
});

test('a restore that waits', () => {
  const wish = { token: '000000000w', mode: 'onactivate', snapshot: friday, keepSnapshot: true, askedMs: 0 } as const;
  const records = ALL.map((one) => (one === shopRecord ? { ...one, wish: { ...wish, safetySnapshotName: 'x' } } : one));
  expect(treeOf(lookOf(records))[3]).toMatch(/data 1 GiB {2,}to be restored to friday when it is next staged$/);
  const look = lookOf(records);
  const known = { ...look.known, whyWaiting: new Map([[wish.token, 'it is in use']]) };
  expect(treeOf({ ...look, known })[3]).toContain('when it is next staged: it is in use');
});

test('ghosts, and who takes over', () => {
  const records = [
    { ...shopRecord, deleted: true },
    { ...thursdayRecord, merging: shopRecord.store },
  ];
  const observed = observedOf(wantedOf(records, []), mib(5), mib(1));
  const lines = treeOf({ report: reportOf(records), observed, known: unattended(observed) });
  expect(lines[2]).toBe('family v-00000000sh  1 image of 1 GiB in 1.13 GiB');
  expect(lines[3]).toContain('ghost');
  expect(lines[4]).toContain('taking over shop, 4 MiB left');
});

test('what is wrong with a family stands at its head', () => {
  const look = lookOf();
  const known = { ...look.known, stuck: new Map([[shop, 'no']]), waiting: new Set([shop]), busy: () => true };
  expect(treeOf({ ...look, known })[2]).toContain('stuck: no  waits for room in the pool  an operation is under way');
  const twin = reportOf([shopRecord, { ...shopRecord, store: thursdayRecord.store }]);
  expect(treeOf({ ...look, report: twin }).join('\n')).toContain('family v-00000000sh  left alone: Cannot trust');
});

test('without pools, without volumes, without an answer', () => {
  expect(renderTree([], PLAIN)).toEqual(['There is no pool: no volume group of this node holds a store of snapmerge.']);
  expect(treeOf({ ...lookOf(), report: reportOf([]) }).at(-1)).toBe('no volumes');
  expect(renderTree([{ name: poolName('slow'), problem: 'why', contents: undefined }], PLAIN)).toEqual([
    'pool slow  does not answer: why',
  ]);
});

test('colours and plain characters', () => {
  const coloured = treeOf(lookOf(), { colour: true, unicode: false });
  expect(coloured[3]).toContain('\u001B[1mshop\u001B[22m');
  expect(coloured[4]).toContain('`- friday');
  // Columns stand where they stand without colours.
  const stripped = coloured.map((line) => stripVTControlCharacters(line));
  expect(stripped).toEqual(treeOf(lookOf(), { colour: false, unicode: false }));
});
