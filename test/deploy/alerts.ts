// When each alert fires and when it does not: series by the minute, in promtool's notation, and the labels of the alert that
// is to be there at a time. Healthy series that stand beside are in `HEALTHY`. Values only.

export interface AlertCase {
  readonly alert: string;
  /** `name{labels}` to its values. */
  readonly series: Readonly<Record<string, string>>;
  readonly quietAt: string;
  readonly firesAt: string;
  /** Labels that the alert has beside its severity. */
  readonly labels: Readonly<Record<string, string>>;
}

const AT = 'node="n1", pool="fast"';
const PLACE = { node: 'n1', pool: 'fast' };
const GIB = 1024 ** 3;

export const CASES: readonly AlertCase[] = [
  {
    alert: 'SnapmergeWritersWait',
    series: { [`snapmerge_writers_waiting{${AT}}`]: '0x4 2x10' },
    quietAt: '4m',
    firesAt: '5m',
    labels: PLACE,
  },
  {
    alert: 'SnapmergePoolInReserve',
    series: {
      [`snapmerge_pool_free_bytes{${AT}}`]: `${20 * GIB}x4 ${5 * GIB}x20`,
      [`snapmerge_pool_reserve_bytes{${AT}}`]: `${10 * GIB}x30`,
    },
    quietAt: '9m',
    firesAt: '10m',
    labels: PLACE,
  },
  {
    alert: 'SnapmergePoolFillsSoon',
    // 100 GiB lose 100 MiB a minute: half a day. Above 30 % nobody is woken.
    series: {
      [`snapmerge_pool_free_bytes{${AT}}`]: `${100 * GIB}-${100 * 1024 ** 2}x1000`,
      [`snapmerge_pool_size_bytes{${AT}}`]: `${200 * GIB}x1000`,
    },
    quietAt: '400m',
    firesAt: '500m',
    labels: PLACE,
  },
  {
    alert: 'SnapmergePoolMetadataNearlyFull',
    series: {
      [`snapmerge_pool_metadata_free_bytes{${AT}}`]: '50x4 9x40',
      [`snapmerge_pool_metadata_size_bytes{${AT}}`]: '100x50',
    },
    quietAt: '19m',
    firesAt: '20m',
    labels: PLACE,
  },
  {
    alert: 'SnapmergeImageLost',
    series: {
      [`snapmerge_image_unsound{${AT}, id="fast.abc.s-1", name="friday", kind="snapshot", condition="invalid"}`]:
        '_x5 1x9',
    },
    quietAt: '4m',
    firesAt: '5m',
    labels: { ...PLACE, id: 'fast.abc.s-1', name: 'friday', kind: 'snapshot', condition: 'invalid' },
  },
  {
    alert: 'SnapmergeDiskMissing',
    series: { [`snapmerge_pool_disks{${AT}, state="missing"}`]: '0x4 1x9' },
    quietAt: '4m',
    firesAt: '5m',
    labels: { ...PLACE, state: 'missing' },
  },
  {
    alert: 'SnapmergeFamilyTroubled',
    series: { [`snapmerge_families_troubled{${AT}}`]: '0x4 1x9' },
    quietAt: '5m',
    firesAt: '6m',
    labels: PLACE,
  },
  {
    alert: 'SnapmergeMergeStalled',
    series: {
      [`snapmerge_merge_remaining_bytes{${AT}, id="i", name="shop", kind="volume", merge="restore"}`]:
        '1000000-1000x20 980000x60',
    },
    quietAt: '30m',
    firesAt: '41m',
    labels: { ...PLACE, id: 'i', name: 'shop', kind: 'volume', merge: 'restore' },
  },
  {
    alert: 'SnapmergeRestoreFailed',
    series: { [`snapmerge_restores{${AT}, phase="failed", mode="origin"}`]: '0x4 1x9' },
    quietAt: '4m',
    firesAt: '5m',
    labels: { ...PLACE, phase: 'failed', mode: 'origin' },
  },
  {
    alert: 'SnapmergeRestoreWaits',
    series: {
      [`snapmerge_restores{${AT}, phase="waiting", mode="origin"}`]: '0x4 1x90',
      // It waits for its volume to be staged, as it was asked to.
      [`snapmerge_restores{${AT}, phase="waiting", mode="onactivate"}`]: '1x90',
    },
    quietAt: '64m',
    firesAt: '65m',
    labels: { ...PLACE, phase: 'waiting', mode: 'origin' },
  },
  {
    alert: 'SnapmergeFamilyStuck',
    series: { [`snapmerge_families_stuck{${AT}}`]: '0x4 1x20' },
    quietAt: '14m',
    firesAt: '15m',
    labels: PLACE,
  },
  {
    alert: 'SnapmergeFindings',
    series: { [`snapmerge_findings{${AT}, kind="table"}`]: '0x4 1x30' },
    quietAt: '19m',
    firesAt: '20m',
    labels: { ...PLACE, kind: 'table' },
  },
  {
    alert: 'SnapmergeDriverDown',
    series: { 'up{job="snapmerge", node="n1"}': '1x4 0x20', 'up{job="other", node="n1"}': '0x30' },
    quietAt: '9m',
    firesAt: '10m',
    labels: { job: 'snapmerge', node: 'n1' },
  },
  {
    alert: 'SnapmergePoolDown',
    series: { [`snapmerge_pool_up{${AT}}`]: '1x4 0x20' },
    quietAt: '9m',
    firesAt: '10m',
    labels: PLACE,
  },
  {
    alert: 'SnapmergeNotRegistered',
    series: { 'snapmerge_kubelet_registered{node="n1"}': '1x4 0x20' },
    quietAt: '9m',
    firesAt: '10m',
    labels: { node: 'n1' },
  },
  {
    alert: 'SnapmergeMonitorSilent',
    // The clock of promtool begins at 0: it looks until the fifth minute.
    series: { [`snapmerge_monitor_last_look_timestamp_seconds{${AT}}`]: '0+60x5 300x20' },
    quietAt: '7m',
    firesAt: '8m',
    labels: PLACE,
  },
  {
    alert: 'SnapmergeCallsFail',
    series: {
      'snapmerge_rpc_duration_seconds_count{node="n1", method="CreateSnapshot", code="INTERNAL"}': '0x10 0+1x60',
      'snapmerge_rpc_duration_seconds_count{node="n1", method="CreateSnapshot", code="OK"}': '0+9x70',
      // Refusals are answers.
      'snapmerge_rpc_duration_seconds_count{node="n1", method="CreateVolume", code="RESOURCE_EXHAUSTED"}': '0+1x70',
    },
    quietAt: '30m',
    firesAt: '35m',
    labels: { node: 'n1', method: 'CreateSnapshot', code: 'INTERNAL' },
  },
  {
    alert: 'SnapmergeLongPauses',
    series: {
      [`snapmerge_pause_duration_seconds_bucket{${AT}, le="2"}`]: '0x120',
      [`snapmerge_pause_duration_seconds_bucket{${AT}, le="5"}`]: '0x10 0+1x110',
      [`snapmerge_pause_duration_seconds_bucket{${AT}, le="+Inf"}`]: '0x10 0+1x110',
    },
    quietAt: '20m',
    firesAt: '90m',
    labels: PLACE,
  },
];
