import { expect, test } from 'vitest';
import type { NodeLook } from '../../../src/cli/look.ts';
import { reportStatus } from '../../../src/cli/status.ts';
import { viewPool } from '../../../src/inspect/pool.ts';
import { gib } from '../../../src/vocabulary/units.ts';
import { POOL, lookOf, reportOf, restoring, shop, wantedOf, observedOf } from '../inspect/family.ts';

const PLAIN = { colour: false, unicode: true };
const driver = { answers: true, version: '1.2.3', socket: '/s' } as const;
const contents = { ...viewPool(lookOf()), reserve: gib(10) };
const node: NodeLook = { driver, pools: [{ name: POOL, problem: '', contents }] };

test('a pool at a glance', () => {
  expect(reportStatus(node, PLAIN)).toEqual({
    lines: [
      'driver 1.2.3 answers at /s',
      '',
      'pool fast  volume group vg-fast',
      '  space    80 GiB free of 100 GiB (80 %), 10 GiB of it the reserve',
      '  records  60 MiB free of 64 MiB of LVM metadata area (94 %)',
      '  disks    /dev/vdc  80 GiB free of 100 GiB',
      '  images   1 volume, 1 fork, 2 snapshots, in 1 family, 1 staged',
      '',
      'All is well.',
    ],
    wrong: [],
    notices: [],
  });
});

test('what merges is shown, what is wrong and what will be is said', () => {
  const observed = observedOf(wantedOf(restoring(), [shop]));
  const merging = viewPool({ ...lookOf(), report: reportOf(restoring()), observed });
  const pools = [{ name: POOL, problem: '', contents: { ...merging, free: gib(1), reserve: gib(10) } }];
  const { lines, wrong, notices } = reportStatus({ driver, pools }, PLAIN);
  expect(lines).toContain('  merging  shop: restoring to friday, 90 %, 40 MiB left');
  expect([wrong.length, notices.length]).toEqual([0, 1]);
  expect(lines.at(-1)).toBe('Nothing is wrong yet.');
});

test('a driver that does not answer is wrong, and so is a pool', () => {
  const silent = { answers: false, reason: 'Cannot reach the driver: why' } as const;
  const { lines, wrong } = reportStatus(
    { driver: silent, pools: [...node.pools, { name: POOL, problem: 'gone', contents: undefined }] },
    PLAIN,
  );
  expect(wrong).toEqual(['Cannot reach the driver: why', "pool 'fast' does not answer: gone"]);
  expect(lines[0]).toBe('read from LVM and the kernel, without the driver');
  expect(lines.at(-1)).toBe("wrong: pool 'fast' does not answer: gone");
});
