// LVM's JSON as 2.03.16 and 2.03.31 print it, with some fields replaced.

type Row = Readonly<Record<string, string | undefined>>;

const VG: Row = {
  vg_name: 'pool-a',
  vg_uuid: 'dU4NYT-rtIq-U9FD-lBLg-4GqB-3hvp-orJ8v6',
  vg_extent_size: '4194304',
  vg_size: '8447328256',
  vg_free: '8153726976',
  vg_seqno: '1',
  vg_mda_size: '68153344',
  vg_mda_free: '34071040',
  vg_exported: '0',
};
const PV: readonly Row[] = [
  { pv_name: '/dev/vdc', pv_size: '4223664128', pv_free: '4034920448', pv_missing: '0', pv_allocatable: '1' },
  { pv_name: '/dev/vdd', pv_size: '4223664128', pv_free: '4118806528', pv_missing: '0', pv_allocatable: '1' },
];
const LV: Row = {
  lv_name: 'sm_0000000001',
  lv_size: '67108864',
  lv_tags: 'snapmerge',
  lv_layout: 'linear',
  lv_active: '1',
  lv_health_status: '',
};

export function reportJson({
  vg = {},
  pv = PV,
  lv = [],
}: {
  readonly vg?: Row;
  readonly pv?: readonly Row[];
  readonly lv?: readonly Row[];
}): string {
  const section = {
    vg: [{ ...VG, ...vg }],
    pv: pv.map((row, index) => ({ ...(PV[index] ?? PV[0]), ...row })),
    lv: lv.map((row) => ({ ...LV, ...row })),
    pvseg: [{ pvseg_start: '0' }],
    seg: [],
  };
  return JSON.stringify({ report: [section], log: [] });
}
