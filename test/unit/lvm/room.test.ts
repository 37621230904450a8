// Whether a size fits, by layout.

import { describe, expect, test } from 'vitest';
import type { Layout, PoolReport } from '../../../src/lvm/lvm.ts';
import { parseReport } from '../../../src/lvm/report.ts';
import { fits, largest, most } from '../../../src/lvm/room.ts';
import { mib } from '../../../src/vocabulary/units.ts';
import { reportJson } from './report-json.ts';

const free = (...mibs: readonly number[]): PoolReport => {
  const pv = mibs.map((size) => ({ pv_free: `${mib(size)}` }));
  const report = parseReport(reportJson({ pv }), 'pool-a');
  if (report === undefined) throw new Error('no report');
  return report;
};

describe('fits', () => {
  test.each<[Layout, readonly number[], number, boolean]>([
    ['linear', [64, 32], 96, true],
    ['linear', [64, 32], 97, false],
    ['striped', [64, 64], 128, true],
    ['striped', [64, 32], 96, false],
    ['raid1', [64, 64], 60, true],
    ['raid1', [64, 64], 61, false],
    ['raid1', [64, 32, 64], 60, true],
    ['raid1', [256], 4, false],
  ])('%s with %j MiB free on its disks, %d MiB: %s', (layout, mibs, size, expected) => {
    expect(fits(free(...mibs), layout, mib(size))).toBe(expected);
  });

  test('nothing fits on a disk that is missing', () => {
    const text = reportJson({ pv: [{ pv_missing: '1' }] });
    const report = parseReport(text, 'pool-a');
    expect(report && fits(report, 'linear', mib(4))).toBe(false);
  });

  test('nothing fits on a disk that is closed, and what is free there is not free', () => {
    const text = reportJson({ pv: [{ pv_allocatable: '0' }, { pv_free: `${mib(64)}` }] });
    const report = parseReport(text, 'pool-a');
    expect(report && [fits(report, 'linear', mib(64)), fits(report, 'linear', mib(68))]).toEqual([true, false]);
    expect(report?.free).toBe(8153726976n - 4034920448n);
  });
});

describe('how large one store can be, and all together', () => {
  test.each<[Layout, readonly number[], number, number]>([
    ['linear', [64, 32], 96, 96],
    ['striped', [64, 32, 64], 96, 96],
    ['raid1', [64], 0, 0],
    ['raid1', [64, 32], 28, 32],
    ['raid1', [64, 64, 64], 60, 96],
    ['raid1', [256, 32, 16], 44, 48],
    ['raid1', [64, 64, 64, 64], 124, 128],
  ])('%s with %j MiB free on its disks: %d MiB, %d MiB', (layout, mibs, one, all) => {
    const report = free(...mibs);
    expect([largest(report, layout), most(report, layout)]).toEqual([mib(one), mib(all)]);
  });
});
