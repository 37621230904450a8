import { expect, test } from 'vitest';
import type { RestoreMark } from '../../../src/records/record.ts';
import { unattended, viewPool } from '../../../src/inspect/pool.ts';
import type { ImageView } from '../../../src/inspect/view.ts';
import { labelOf } from '../../../src/inspect/view.ts';
import { storeName } from '../../../src/vocabulary/ids.ts';
import { gib, mib, toBytes } from '../../../src/vocabulary/units.ts';
import {
  ALL,
  fork,
  forkRecord,
  friday,
  lookOf,
  observedOf,
  reportOf,
  restoring,
  shop,
  shopRecord,
  thursday,
  thursdayRecord,
  wantedOf,
  withDevice,
} from './family.ts';

const imagesOf = (look = lookOf()): readonly ImageView[] => viewPool(look).families[0]?.images ?? [];

test('each image below what it reads through, with what it takes and uses', () => {
  expect(
    imagesOf().map((image) => [labelOf(image), image.kind, image.parent, image.shown, image.fed, image.used]),
  ).toEqual([
    ['shop', 'volume', undefined, true, false, gib(1)],
    ['friday', 'snapshot', shop, true, true, mib(40)],
    ['thursday', 'snapshot', friday, false, false, undefined],
    ['test-a', 'fork', thursday, false, false, undefined],
  ]);
});

test('a family says what it shows and stores, and nothing differs', () => {
  const [family] = viewPool(lookOf()).families;
  expect(family).toMatchObject({ id: shop, stored: gib(1) + 3n * mib(128), stuck: '', busy: false, findings: [] });
  expect(imagesOf()[0]?.top).toEqual({ path: '/dev/dm-4', openers: 1 });
  expect(imagesOf()[3]).toMatchObject({ top: undefined, source: thursday });
});

test('what the driver remembers of a dormant store is shown', () => {
  const look = lookOf();
  const known = { ...look.known, measured: new Map([[thursdayRecord.store, mib(9)]]), stuck: new Map([[shop, 'why']]) };
  expect(viewPool({ ...look, known }).families[0]).toMatchObject({
    stuck: 'why',
    images: [{}, {}, { used: mib(9) }, {}],
  });
});

test('a restore under way: what it had to move, and what is left', () => {
  const wanted = wantedOf(restoring(), [shop]);
  const observed = observedOf(wanted, mib(101), mib(1));
  const look = { report: reportOf(restoring()), observed, known: unattended(observed) };
  const [first, second] = imagesOf(look);
  expect(first?.merge).toEqual({
    kind: 'restore',
    with: friday,
    restore: 'r-0000000009',
    total: mib(400),
    left: mib(100),
  });
  // Friday lives in its fresh store, and is fed by the merge.
  expect(second).toMatchObject({ store: storeName('sm_0000000005'), fed: true, shown: true, used: mib(101) });
  const gone = { devices: new Map(), stores: new Map() };
  expect(imagesOf({ ...look, observed: gone, known: unattended(gone) })[0]?.merge?.left).toBeUndefined();
});

test('a ghost and the reader that takes it over', () => {
  const records = [{ ...shopRecord, deleted: true }, { ...thursdayRecord, merging: shopRecord.store }, forkRecord];
  const observed = observedOf(wantedOf(records, []), mib(5), mib(1));
  const [ghost, reader] = imagesOf({ report: reportOf(records), observed, known: unattended(observed) });
  expect(ghost?.ghost).toBe(true);
  expect(reader?.merge).toEqual({
    kind: 'absorption',
    with: shop,
    restore: undefined,
    total: undefined,
    left: mib(4),
  });
});

test('records in contradiction stand apart from families', () => {
  const twin = { ...thursdayRecord, store: storeName('sm_0000000007') };
  const look = lookOf();
  const { families, troubles } = viewPool({ ...look, report: reportOf([...ALL, twin]) });
  expect(families).toEqual([]);
  expect(troubles).toMatchObject([{ family: shop, images: [friday, thursday, fork, shop].sort() }]);
  expect(troubles[0]?.reason).toContain('generation 1');
});

test('what the kernel calls invalid is the state of its image', () => {
  const look = lookOf();
  const observed = withDevice(look.observed, `${friday}-view`, (device) => ({
    ...device,
    status: { state: 'invalid' },
  }));
  expect(imagesOf({ ...look, observed })[1]).toMatchObject({ state: 'invalid', used: undefined });
});

test('what was lost once stays lost', () => {
  const lost = ALL.map((record) => (record === thursdayRecord ? { ...record, lost: true } : record));
  expect(imagesOf(lookOf(lost)).map(({ state }) => state)).toEqual(['sound', 'sound', 'invalid', 'sound']);
});

test('a size in sectors is not taken for bytes', () => {
  const look = lookOf();
  const status = look.observed.devices.get(`${friday}-view`)?.status;
  expect(status?.state === 'counts' ? toBytes(status.used) : undefined).toBe(imagesOf()[1]?.used);
});

test('a restore that waits, and what for', () => {
  const wish = {
    token: '000000000w',
    mode: 'onactivate',
    snapshot: friday,
    keepSnapshot: true,
    safetySnapshotName: undefined,
    askedMs: 6000,
  } as const;
  const records = ALL.map((record) => (record === shopRecord ? { ...record, wish } : record));
  const look = lookOf(records);
  const waiting = new Set([shop]);
  expect(viewPool({ ...look, known: { ...look.known, waiting } }).families[0]?.waitsForRoom).toBe(true);
  const known = { ...look.known, waiting, whyWaiting: new Map([[wish.token, 'it is in use']]) };
  const [family] = viewPool({ ...look, known }).families;
  expect(family?.waitsForRoom).toBe(false);
  expect(family?.images[0]?.wish).toEqual({
    restore: 'r-000000000w',
    mode: 'onactivate',
    snapshot: friday,
    reason: 'it is in use',
  });
});

test('a promotion under way is named with the origin that the fork takes over', () => {
  const mark: RestoreMark = {
    token: '000000000p',
    mode: 'snapshot',
    snapshot: thursday,
    into: shopRecord.store,
    stack: [thursdayRecord.store, forkRecord.store],
    size: gib(1),
    keepSnapshot: true,
    safetySnapshot: undefined,
    totalBytes: mib(80),
    startedMs: 5000,
  };
  const kept = { ...thursdayRecord, store: storeName('sm_0000000006'), generation: 2, pending: mark.token };
  const place = { kind: 'chain', volume: fork, seq: 0 } as const;
  const records = [shopRecord, thursdayRecord, { ...kept, place }, { ...forkRecord, restore: mark }];
  const observed = observedOf(wantedOf(records, [fork]), mib(21), mib(1));
  const images = imagesOf({ report: reportOf(records), observed, known: unattended(observed) });
  expect(images.map(({ id, ghost }) => [id, ghost])).toEqual([
    [shop, true],
    [fork, false],
    [thursday, false],
  ]);
  expect(images[1]).toMatchObject({
    merge: { kind: 'promotion', with: shop, restore: 'r-000000000p', total: mib(80), left: mib(40) },
    top: { openers: 1 },
    used: mib(21),
  });
});
