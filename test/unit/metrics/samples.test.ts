import { expect, test } from 'vitest';
import type { Restore } from '../../../src/engine/engine.ts';
import { unattended, viewPool } from '../../../src/inspect/pool.ts';
import type { PoolView } from '../../../src/inspect/view.ts';
import { GAUGES, samplesOf } from '../../../src/metrics/samples.ts';
import { gib, mib } from '../../../src/vocabulary/units.ts';
import {
  POOL,
  friday,
  lookOf,
  observedOf,
  reportOf,
  restoring,
  shop,
  thursday,
  thursdayRecord,
  wantedOf,
} from '../inspect/family.ts';

const view = (look = lookOf()): PoolView => ({ name: POOL, problem: '', contents: viewPool(look) });

/** `gauge{labels} value` lines of one gauge, without the labels that every image has. */
function lines(gauge: string, pools: readonly PoolView[], restores: readonly Restore[] = []): readonly string[] {
  return samplesOf(pools, new Map([[POOL, restores]]))
    .filter((sample) => sample.gauge === gauge)
    .map(({ labels: { pool, id, ...labels }, value }) => {
      expect([pool, id ?? `${pool}.`]).toEqual([POOL, expect.stringMatching(new RegExp(`^${POOL}\\.`))]);
      return `${Object.values(labels).join(' ')} ${value}`.trim();
    });
}

test('a pool that answers, and one that does not', () => {
  const silent: PoolView = { name: POOL, problem: 'LVM does not answer', contents: undefined };
  expect(lines('snapmerge_pool_up', [view()])).toEqual(['1']);
  expect(lines('snapmerge_pool_up', [silent])).toEqual(['0']);
  expect(lines('snapmerge_pool_size_bytes', [silent])).toEqual([]);
  const { contents } = view();
  expect(lines('snapmerge_pool_size_bytes', [view()])).toEqual([`${contents?.size}`]);
  expect(lines('snapmerge_pool_free_bytes', [view()])).toEqual([`${contents?.free}`]);
});

test('images, also those of which there are none', () => {
  expect(lines('snapmerge_images', [view()])).toEqual([
    'volume false 1',
    'volume true 0',
    'fork false 1',
    'fork true 0',
    'snapshot false 2',
    'snapshot true 0',
  ]);
  expect(lines('snapmerge_images_active', [view()])).toEqual(['1']);
});

test('stores of exceptions by name, with what they use as far as it is known', () => {
  expect(lines('snapmerge_store_size_bytes', [view()])).toEqual([
    `friday snapshot ${mib(128)}`,
    `thursday snapshot ${mib(128)}`,
    `test-a fork ${mib(128)}`,
  ]);
  expect(lines('snapmerge_store_used_bytes', [view()])).toEqual([`friday snapshot ${mib(40)}`]);
});

test('writers that wait: for which store, and for how much', () => {
  const look = lookOf();
  const full = new Map([[thursdayRecord.store, { writer: shop, missing: mib(300) }]]);
  const waiting = view({ ...look, known: { ...look.known, full } });
  expect(lines('snapmerge_writers_waiting', [view()])).toEqual(['0']);
  expect(lines('snapmerge_writers_waiting', [waiting])).toEqual(['1']);
  expect(lines('snapmerge_waiting_missing_bytes', [waiting])).toEqual([`thursday snapshot ${mib(300)}`]);
});

test('a merge with what is left, and restores by phase', () => {
  const observed = observedOf(wantedOf(restoring(), [shop]), mib(101), mib(1));
  const pool = view({ report: reportOf(restoring()), observed, known: unattended(observed) });
  const [remaining, total] = ['remaining', 'total'].map((name) => lines(`snapmerge_merge_${name}_bytes`, [pool]));
  expect(remaining).toEqual([expect.stringMatching(/^shop volume restore \d+$/)]);
  expect(total).toEqual([expect.stringMatching(/^shop volume restore \d+$/)]);

  const restore: Restore = {
    id: 'r-0000000001',
    volume: shop,
    snapshot: thursday,
    mode: 'origin',
    phase: 'merging',
    keepSnapshot: true,
    safetySnapshot: friday,
    totalBytes: gib(1),
    remainingBytes: mib(1),
    remainingChunks: undefined,
    bytesPerSecond: undefined,
    startedMs: 0,
    endedMs: undefined,
    message: '',
  };
  const counted = lines('snapmerge_restores', [pool], [restore]);
  expect(counted).toHaveLength(12);
  expect(counted.filter((line) => !line.endsWith(' 0'))).toEqual(['merging origin 1']);
});

test('what is wrong: given up stores, stuck and troubled families, findings of those that nothing is done to', () => {
  const look = lookOf();
  const stuck = view({ ...look, known: { ...look.known, stuck: new Map([[shop, 'why']]) } });
  expect(lines('snapmerge_families_stuck', [stuck])).toEqual(['1']);
  expect(lines('snapmerge_families_troubled', [stuck])).toEqual(['0']);
  const nothing = { ...look, observed: { ...look.observed, devices: new Map() } };
  const known = { ...look.known, active: new Set([shop]) };
  const found = lines('snapmerge_findings', [view({ ...nothing, known })]);
  expect(found.filter((line) => !line.endsWith(' 0')).length).toBeGreaterThan(0);
  const busy = lines('snapmerge_findings', [view({ ...nothing, known: { ...known, busy: () => true } })]);
  expect(busy.every((line) => line.endsWith(' 0'))).toBe(true);
});

test('every sample has exactly the labels of its gauge', () => {
  for (const { gauge, labels } of samplesOf([view()], new Map())) {
    expect(Object.keys(labels).sort()).toEqual([...GAUGES[gauge].labels].sort());
  }
});
