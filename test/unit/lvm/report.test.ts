// LVM's JSON as a value: what counts as a store, what as a stranger, and fields that are not as expected.

import { describe, expect, test } from 'vitest';
import { parseReport, reportArgs } from '../../../src/lvm/report.ts';
import { reportJson } from './report-json.ts';

describe('a report', () => {
  test('of LVM 2.03.31', () => {
    const text = reportJson({
      vg: { vg_seqno: '14' },
      lv: [
        { lv_name: 'sm_0000000001', lv_tags: 'sm.v1,sm.a=b:c', lv_layout: 'linear' },
        { lv_name: 'sm_0000000002', lv_tags: 'snapmerge', lv_layout: 'striped', lv_active: '0' },
        { lv_name: 'sm_0000000003', lv_tags: 'snapmerge', lv_layout: 'raid,raid1' },
      ],
    });
    expect(parseReport(text, 'pool-a')).toEqual({
      vgName: 'pool-a',
      vgUuid: 'dU4NYTrtIqU9FDlBLg4GqB3hvporJ8v6',
      extent: 4194304n,
      size: 8447328256n,
      free: 8153726976n,
      seqno: 14,
      metadataSize: 68153344n,
      metadataFree: 34071040n,
      physicalVolumes: [
        { path: '/dev/vdc', size: 4223664128n, free: 4034920448n, missing: false, closed: false },
        { path: '/dev/vdd', size: 4223664128n, free: 4118806528n, missing: false, closed: false },
      ],
      stores: [
        {
          store: 'sm_0000000001',
          tags: ['sm.v1', 'sm.a=b:c'],
          size: 67108864n,
          active: true,
          layout: 'linear',
          damaged: false,
        },
        {
          store: 'sm_0000000002',
          tags: ['snapmerge'],
          size: 67108864n,
          active: false,
          layout: 'striped',
          damaged: false,
        },
        { store: 'sm_0000000003', tags: ['snapmerge'], size: 67108864n, active: true, layout: 'raid1', damaged: false },
      ],
      strangers: 0,
    });
  });

  test('of another group, or of none, is none', () => {
    expect(parseReport(reportJson({}), 'pool-b')).toBeUndefined();
    expect(parseReport('{"report":[{}]}', 'pool-a')).toBeUndefined();
  });

  test.each([
    ['without a tag', { lv_name: 'sm_0000000001', lv_tags: '' }],
    ['with the tags of others', { lv_name: 'sm_0000000001', lv_tags: 'smile,snapmerge2' }],
    ['with our tag and a name of its own', { lv_name: 'data', lv_tags: 'snapmerge' }],
  ])('counts a volume %s as a stranger', (_, lv) => {
    expect(parseReport(reportJson({ lv: [lv] }), 'pool-a')).toMatchObject({ stores: [], strangers: 1 });
  });

  test('lets a stranger have any layout', () => {
    const cache = { lv_name: 'data', lv_tags: '', lv_layout: 'cache' };
    expect(parseReport(reportJson({ lv: [cache] }), 'pool-a')?.strangers).toBe(1);
  });

  test.each(['thin,sparse', 'cache', 'raid,raid5,raid5_ls', 'raid,raid1,integrity'])(
    'says of a store that somebody has made %s that it cannot be used, and reads the others',
    (lv_layout) => {
      const converted = { lv_name: 'sm_0000000001', lv_tags: 'snapmerge', lv_layout };
      const other = { lv_name: 'sm_0000000002', lv_tags: 'snapmerge' };
      const stores = parseReport(reportJson({ lv: [converted, other] }), 'pool-a')?.stores ?? [];
      expect(stores.map(({ trouble }) => trouble)).toEqual([
        `Cannot use store 'sm_0000000001': its layout is '${lv_layout}', want linear, striped or raid1`,
        undefined,
      ]);
    },
  );

  test('says the same of one that is listed twice', () => {
    const lv = { lv_name: 'sm_0000000001', lv_tags: 'snapmerge' };
    const stores = parseReport(reportJson({ lv: [lv, lv] }), 'pool-a')?.stores ?? [];
    expect(stores.map(({ trouble }) => trouble)).toEqual(["Cannot use store 'sm_0000000001': LVM lists it 2 times"]);
  });

  test.each([
    ['', false],
    ['mismatches exist', false],
    ['partial', true],
    ['refresh needed', true],
  ])("takes health '%s' for damage: %s", (lv_health_status, damaged) => {
    const lv = { lv_name: 'sm_0000000001', lv_tags: 'snapmerge', lv_health_status };
    expect(parseReport(reportJson({ lv: [lv] }), 'pool-a')?.stores[0]?.damaged).toBe(damaged);
  });

  test('says which disk is missing', () => {
    const text = reportJson({ pv: [{ pv_name: '[unknown]', pv_missing: '1' }] });
    expect(parseReport(text, 'pool-a')?.physicalVolumes[0]).toMatchObject({ path: '[unknown]', missing: true });
  });

  test('counts nothing as free that lies on a missing disk', () => {
    const text = reportJson({
      vg: { vg_free: '5000' },
      pv: [{ pv_missing: '1', pv_free: '3000' }, { pv_free: '2000' }],
    });
    expect(parseReport(text, 'pool-a')?.free).toBe(2000n);
  });

  test.each([
    ['no JSON', 'it is no JSON', 'WARNING: device'],
    ['a field of another form', 'report.0.vg.0.vg_seqno', reportJson({ vg: { vg_seqno: '1.5' } })],
    ['a missing field', 'report.0.lv.0.lv_tags', reportJson({ lv: [{ lv_tags: undefined }] })],
  ])('refuses %s', (_, words, text) => {
    expect(() => parseReport(text, 'pool-a')).toThrow(words);
  });
});

test('the arguments name the group last', () => {
  const args = reportArgs('pool-a');
  expect(args.at(-1)).toBe('pool-a');
  expect(args.filter((arg) => arg === '--configreport')).toHaveLength(5);
});

test('of a group that is exported: refused, LVM changes nothing in it', () => {
  const text = reportJson({ vg: { vg_exported: '1' } });
  expect(() => parseReport(text, 'pool-a')).toThrow(/it is exported; take it back/);
});
