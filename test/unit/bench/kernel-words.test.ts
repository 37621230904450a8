// What the bench reads from dmsetup and fio.

import { expect, test } from 'vitest';
import { parseFio, replayLog, resultOf, shuffled } from '../../../bench/fio.ts';
import { leftOf, speedOf } from '../../../bench/merges.ts';
import { waitedShare } from '../../../bench/rows/full.ts';
import { usedIn } from '../../../bench/volume.ts';

test('what snapshots have used, by a part of the name, also where dm doubles a dash', () => {
  const status = `pool-bench_thick_s04_s1: 0 131072 snapshot 4112/139264 16
pool-bench_thick_s04_s2: 0 131072 snapshot 16/139264 16
snapmerge-pool-s-11dfxm0nav-view: 0 131072 snapshot 256/131456 256
pool-other: 0 131072 snapshot Invalid
`;
  expect(usedIn(status, 'bench_thick_s04')).toBe(4128 * 512);
  expect(usedIn(status, 's-11dfxm0nav')).toBe(256 * 512);
  expect(usedIn('my--vg-a--b_s1: 0 8 snapshot 32/64 16', 'a-b')).toBe(32 * 512);
});

test('what merges have before them', () => {
  expect(leftOf('a: 0 8 snapshot-merge 1040/4096 16\nb: 0 8 snapshot-merge 16/4096 16\n')).toBe(1024 * 512);
  expect(leftOf('No devices found')).toBe(0);
});

test('how fast a merge got on: as long as it was seen under way, or until it was over when it was seen too rarely', () => {
  const looks = [
    { ms: 1000, left: 900 },
    { ms: 2000, left: 600 },
    { ms: 3000, left: 300 },
    { ms: 9000, left: 0 },
  ];
  expect(speedOf(looks)).toBe(300);
  expect(
    speedOf([
      { ms: 0, left: 900 },
      { ms: 3000, left: 0 },
    ]),
  ).toBe(300);
  expect(() => speedOf([{ ms: 0, left: 0 }])).toThrow('it was over before it was looked at');
});

const side = (ios: number, iops: number) => ({
  iops,
  bw_bytes: iops * 4096,
  runtime: 100,
  total_ios: ios,
  lat_ns: { max: 5e6 },
  clat_ns: { percentile: { '99.000000': 2e6 } },
});

test("fio's answer, with what it says before", () => {
  const report = { jobs: [{ jobname: 'one', error: 0, read: side(0, 0), write: side(9, 900) }] };
  const results = parseFio(`fio: a warning\n${JSON.stringify(report)}`);
  expect(resultOf(results, 'one')).toEqual({ iops: 900, bytesPerSecond: 900 * 4096, p99Ms: 2, longestMs: 5 });
  expect(() => resultOf(results, 'two')).toThrow("Cannot find job 'two'");
  const failed = { jobs: [{ jobname: 'one', error: 5, read: side(0, 0), write: side(9, 900) }] };
  expect(() => parseFio(JSON.stringify(failed))).toThrow('fio met error 5');
});

test('a replay has every place once, and its neighbours apart', () => {
  for (const count of [1, 2, 8, 32, 100, 128]) {
    expect(shuffled(count).toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, index) => index));
  }
  expect(shuffled(32).slice(0, 3)).not.toEqual([0, 1, 2]);
  expect(replayLog('/dev/x', [65536, 0], 4096)).toBe(
    'fio version 2 iolog\n/dev/x add\n/dev/x open\n/dev/x write 65536 4096\n/dev/x write 0 4096\n/dev/x close\n',
  );
});

test('the share of its time that a writer waited', () => {
  const log = [...Array.from({ length: 10 }, (_, index) => `${index}, 10, 1, 4096, 0`), '11, 300, 1, 4096, 0'].join(
    '\n',
  );
  expect(waitedShare(log)).toBe(0.75);
  expect(waitedShare('1, 10, 1, 4096, 0\n2, 11, 1, 4096, 0\n')).toBe(0);
  expect(() => waitedShare('')).toThrow('fio wrote no log');
});
