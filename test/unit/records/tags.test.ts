// Laws of the records as text: any record is read back as it was, in any order of its tags, within LVM's limits; and what
// has been damaged is refused or harmless, never taken for something else.

import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { SnapmergeError } from '../../../src/vocabulary/errors.ts';
import { ID_ALPHABET, snapshotId, storeName, volumeId } from '../../../src/vocabulary/ids.ts';
import type { Entity, StoreRecord } from '../../../src/records/record.ts';
import { nameOf, readTags, writeTags } from '../../../src/records/tags.ts';
import { bytes } from '../../../src/vocabulary/units.ts';

const word = fc.string({ unit: fc.constantFrom(...Array.from(ID_ALPHABET)), minLength: 10, maxLength: 10 });
const volume = word.map((text) => volumeId(`v-${text}`));
const snapshot = word.map((text) => snapshotId(`s-${text}`));
const store = word.map((text) => storeName(`sm_${text}`));
const size = fc.bigInt({ min: 1n, max: 2n ** 53n - 1n }).map(bytes);
const ms = fc.nat({ max: 2 ** 45 });
const maybe = <T>(some: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(some, { nil: undefined });

const parameters = fc.record({
  layout: fc.constantFrom('linear' as const, 'striped' as const, 'raid1' as const),
  chunk: size,
  snapshotReservePercent: fc.integer({ min: 1, max: 100 }),
  onFull: fc.constantFrom('wait' as const, 'drop' as const),
  scratch: fc.boolean(),
});
const facts = { name: fc.string({ unit: 'binary', maxLength: 128 }).map(nameOf), size, createdMs: ms, parameters };
const source = fc.oneof(
  volume.map((id) => ({ from: 'volume' as const, volume: id })),
  snapshot.map((id) => ({ from: 'snapshot' as const, snapshot: id })),
);
const entity: fc.Arbitrary<Entity> = fc.oneof(
  fc.record({ kind: fc.constant('volume' as const), id: volume, source: maybe(source), ...facts }),
  fc.record({ kind: fc.constant('snapshot' as const), id: snapshot, volume, ...facts }),
);
const hung = fc.oneof(
  fc.record({ kind: fc.constant('chain' as const), volume, seq: fc.integer({ min: -1000 }) }),
  fc.record({ kind: fc.constant('fork' as const), snapshot }),
);
const where = fc.oneof(
  fc.constant({ place: { kind: 'root' as const }, chunk: undefined, window: undefined }),
  fc.record({ place: hung, chunk: size, window: size }),
);
const mode = fc.constantFrom('origin' as const, 'snapshot' as const, 'onactivate' as const);
const mark = {
  token: word,
  mode,
  snapshot,
  keepSnapshot: fc.boolean(),
  safetySnapshot: maybe(snapshot),
  totalBytes: size,
};
const record: fc.Arbitrary<StoreRecord> = fc
  .record({
    store,
    family: volume,
    generation: fc.nat(),
    entity,
    where,
    image: maybe(size),
    anchors: fc.array(volume, { maxLength: 20 }),
    pending: maybe(word),
    decides: maybe(word),
    level: maybe(fc.record({ token: word, index: fc.nat(40) })),
    deleted: fc.boolean(),
    merged: fc.boolean(),
    lost: fc.boolean(),
    merging: maybe(store),
    wish: maybe(
      fc.record({
        token: word,
        mode,
        snapshot,
        keepSnapshot: fc.boolean(),
        askedMs: ms,
        safetySnapshotName: maybe(
          fc.string({
            unit: 'grapheme',
            minLength: 1,
            maxLength: 128,
          }),
        ),
      }),
    ),
    restore: maybe(
      fc.record({
        ...mark,
        into: maybe(store),
        size,
        startedMs: ms,
        stack: fc.array(store, {
          minLength: 1,
          maxLength: 200,
        }),
      }),
    ),
    restored: maybe(fc.record({ ...mark, startedMs: ms, endedMs: ms })),
  })
  .map(({ where: { place, chunk, window }, ...rest }) => ({ ...rest, place, chunk, window }));

test('any record is read back as it was, whatever order LVM gives its tags in', () => {
  fc.assert(
    fc.property(record, fc.infiniteStream(fc.nat()), (written, order) => {
      const tags = writeTags(written);
      for (const tag of tags) expect(tag).toMatch(/^[A-Za-z0-9_+.\-/=!:&#]{1,1024}$/);
      const shuffled = [...tags, 'theirs']
        .map((tag) => ({ tag, at: order.next().value }))
        .sort((a, b) => a.at - b.at)
        .map(({ tag }) => tag);
      expect(readTags(written.store, shuffled)).toEqual(written);
    }),
    { numRuns: 1000, seed: 7 },
  );
});

test('names stay apart, whatever characters they have', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.string({ unit: 'binary', maxLength: 300 }),
      (a, b) => {
        expect(JSON.stringify(nameOf(a)) === JSON.stringify(nameOf(b))).toBe(a === b);
      },
    ),
    { numRuns: 1000, seed: 7 },
  );
});

function attempt({ store: name }: StoreRecord, tags: readonly string[]): string {
  try {
    const again = writeTags(readTags(name, tags));
    return [...again].sort().join() === [...tags].sort().join() ? 'as written' : again.join();
  } catch (error) {
    const refusal = error instanceof SnapmergeError && error.kind === 'contradiction' && error.message.includes(name);
    return refusal ? `refused, naming ${name}` : String(error);
  }
}

test('a damaged tag is refused by name, or says what it says now; nothing else is thrown', () => {
  let refused = 0;
  fc.assert(
    fc.property(
      record,
      fc.nat(),
      fc.nat(),
      fc.constantFrom('a', 'z', '0', '9', ':', '+', '=', '-'),
      (written, which, at, letter) => {
        const tags = [...writeTags(written)];
        const index = which % tags.length;
        const tag = tags[index] ?? '';
        const place = 3 + (at % (tag.length - 3));
        tags[index] = tag.slice(0, place) + letter + tag.slice(place + 1);
        const outcome = attempt(written, tags);
        expect(['as written', `refused, naming ${written.store}`]).toContain(outcome);
        if (outcome !== 'as written') refused += 1;
      },
    ),
    { numRuns: 2000, seed: 7 },
  );
  expect(refused).toBeGreaterThan(500);
});
