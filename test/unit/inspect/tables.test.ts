import { expect, test } from 'vitest';
import type { StoreRecord } from '../../../src/records/record.ts';
import { storeName } from '../../../src/vocabulary/ids.ts';
import { MOST_NESTED } from '../../../src/converge/depth.ts';
import type { TablesRequest } from '../../../src/inspect/tables.ts';
import { tablesOf } from '../../../src/inspect/tables.ts';
import {
  ALL,
  NAMES,
  deepRecords,
  fork,
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
} from './family.ts';

const NOTHING = { devices: new Map(), stores: new Map() };

function linesOf(more: Partial<TablesRequest> = {}, records: readonly StoreRecord[] = ALL): readonly string[] {
  const request: TablesRequest = {
    names: NAMES,
    report: reportOf(records),
    observed: NOTHING,
    only: undefined,
    mode: 'all',
    readOnly: false,
    ...more,
  };
  return tablesOf(request).lines;
}
const commandsIn = (lines: readonly string[]): readonly string[] =>
  lines.filter((line) => /^(dmsetup|lvchange) /.test(line));
/** Devices of volumes and snapshots. */
const madeIn = (lines: readonly string[]): readonly string[] =>
  lines.flatMap((line) => /^dmsetup create \$n-([vs]-\S+)/.exec(line)?.[1] ?? []);

test('from the bottom up, lower devices by the number that the kernel gave', () => {
  expect(linesOf()).toEqual([
    "# Pool 'fast', volume group 'vg-fast', at metadata commit 7: shows its volumes and snapshots.",
    '# For a root shell on a node where no driver runs. A driver that is started later goes on from here.',
    '# Nobody makes stores larger without the driver: when one is full, whoever writes into it waits until it is back.',
    'owned=$(dmsetup info -c --noheadings -o open -u SNAPMERGE-LOCK-vg-fast 2>/dev/null || echo 0)',
    `[ "$owned" = 0 ] || echo "STOP: a driver owns volume group 'vg-fast': nothing of this is done"`,
    'dmsetup() { [ "$owned" = 0 ] && command dmsetup "$@"; }',
    'lvchange() { [ "$owned" = 0 ] && command lvchange "$@"; }',
    "quiet='--devices /dev/vdc'",
    "seqno=$(vgs $quiet --noheadings -o vg_seqno vg-fast | tr -d ' ')",
    `[ "$seqno" = 7 ] || echo "STOP: volume group 'vg-fast' is not as it was when this was printed: print it again"`,
    'n=snapmerge-fast l=snapmerge-fast-AbCdEf u=SNAPMERGE-AbCdEf0123456789AbCdEf0123456789 h=LVM-SNAPMERGE00000000000000000000000AbCdEf0123456789AbCdEf0123456789',
    'dm() { [ "$seqno" = 7 ] && dmsetup info -c --noheadings --separator : -o major,minor "$1"; }',
    'shown() { echo "$1: /dev/dm-$(dmsetup info -c --noheadings -o minor "$2")"; }',
    '',
    `# ---- family ${shop} (shop)`,
    '# what the ends of all stores of this pool are made over',
    'dm $l-zero >/dev/null 2>&1 || dmsetup create $l-zero --uuid $h-zero --noudevsync --table "0 4398046511104 zero"',
    'dm $l-error >/dev/null 2>&1 || dmsetup create $l-error --uuid $h-error --noudevsync --table "0 4398046511104 error"',
    'lvchange $quiet -ay -K vg-fast/sm_0000000001 vg-fast/sm_0000000003 vg-fast/sm_0000000002 vg-fast/sm_0000000004',
    `# volume shop (${shop}), 1 GiB: holds everything itself`,
    `dmsetup create $n-${shop}-view --uuid $h-${shop}-view --noudevsync --table "0 2097152 linear $(dm vg--fast-sm_0000000001) 0"`,
    `# what lies behind the end of the store of '${friday}': a write that reaches it waits`,
    'dmsetup create $n-sm_0000000003-tail0 --uuid $h-sm_0000000003-tail0 --noudevsync --table "0 1836224 mirror core 2 1048576 nosync 2 $(dm $l-zero) 0 $(dm $l-error) 0 1 handle_errors"',
    `# the store of '${friday}', and what lies behind its end`,
    'dmsetup create $n-sm_0000000003-cow --uuid $h-sm_0000000003-cow --noudevsync --table "0 262144 linear $(dm vg--fast-sm_0000000003) 0\n262144 1836224 linear $(dm $n-sm_0000000003-tail0) 0"',
    `# snapshot friday (${friday}), 1 GiB: what differs from shop (${shop})`,
    `dmsetup create $n-${friday}-view --uuid $h-${friday}-view --noudevsync --readonly --table "0 2097152 snapshot $(dm $n-${shop}-view) $(dm $n-sm_0000000003-cow) P 64"`,
    `# snapshot thursday (${thursday}), 1 GiB: what differs from friday (${friday})`,
    `dmsetup create $n-${thursday}-view --uuid $h-${thursday}-view --noudevsync --readonly --table "0 2097152 snapshot $(dm $n-${friday}-view) $(dm vg--fast-sm_0000000002) P 64"`,
    `# what lies behind the end of the store of '${fork}': a write that reaches it waits`,
    'dmsetup create $n-sm_0000000004-tail0 --uuid $h-sm_0000000004-tail0 --noudevsync --table "0 1836224 mirror core 2 1048576 nosync 2 $(dm $l-zero) 0 $(dm $l-error) 0 1 handle_errors"',
    `# the store of '${fork}', and what lies behind its end`,
    'dmsetup create $n-sm_0000000004-cow --uuid $h-sm_0000000004-cow --noudevsync --table "0 262144 linear $(dm vg--fast-sm_0000000004) 0\n262144 1836224 linear $(dm $n-sm_0000000004-tail0) 0"',
    `# volume test-a (${fork}), 1 GiB: what differs from thursday (${thursday})`,
    `dmsetup create $n-${fork}-view --uuid $h-${fork}-view --noudevsync --table "0 2097152 snapshot $(dm $n-${thursday}-view) $(dm $n-sm_0000000004-cow) PO 64"`,
    `# volume test-a (${fork}): to be mounted`,
    `dmsetup create $n-${fork}-top --uuid $u-${fork}-top --noudevsync --table "0 2097152 linear $(dm $n-${fork}-view) 0"`,
    `# volume shop (${shop}): to be mounted; what it overwrites goes to friday (${friday})`,
    `dmsetup create $n-${shop}-top --uuid $u-${shop}-top --noudevsync --table "0 2097152 snapshot-origin $(dm $n-${shop}-view)"`,
    `shown 'volume shop (${shop})' $n-${shop}-top`,
    `shown 'snapshot thursday (${thursday})' $n-${thursday}-view`,
    `shown 'snapshot friday (${friday})' $n-${friday}-view`,
    `shown 'volume test-a (${fork})' $n-${fork}-top`,
  ]);
});

test('a merge under way goes on; the volume is there when the snapshot that it feeds is', () => {
  const lines = linesOf({}, restoring());
  const made = madeIn(lines);
  expect(made.indexOf(`${friday}-view`)).toBeLessThan(made.indexOf(`${shop}-top`));
  expect(lines).toContain(`# volume shop (${shop}), 1 GiB: its restore to '${friday}' under way`);
  expect(lines.find((line) => line.includes('snapshot-merge'))).toContain(
    '0 2097152 snapshot-merge $(dm vg--fast-sm_0000000001) $(dm vg--fast-sm_0000000003) P 64',
  );
});

test('read-only: nothing merges, nothing can be written, and nothing is to be mounted for writing', () => {
  const lines = linesOf({ readOnly: true }, restoring());
  const made = commandsIn(lines).filter((line) => /^dmsetup create \$n-[vs]-/.test(line));
  expect(made.every((line) => line.includes(' --readonly '))).toBe(true);
  expect(lines.join('\n')).not.toContain('snapshot-merge');
  expect(lines.join('\n')).not.toContain('-top');
  expect(lines).toContain(`shown 'volume shop (${shop})' $n-${shop}-view`);
});

test('only some images, with all that they read through', () => {
  expect(madeIn(linesOf({ only: new Set([thursday]) }))).toEqual([
    `${shop}-view`,
    `${friday}-view`,
    `${thursday}-view`,
  ]);
});

test('what is missing, and how all of it goes', () => {
  const { observed } = lookOf();
  expect(madeIn(linesOf({ observed, mode: 'missing' }))).toEqual([`${thursday}-view`, `${fork}-view`, `${fork}-top`]);
  expect(linesOf({ observed }).join('\n')).toContain('# 5 devices of this pool are there now');
  expect(commandsIn(linesOf({ observed, mode: 'remove' }))).toEqual([
    `dmsetup remove --noudevsync $n-${shop}-top`,
    `dmsetup remove --noudevsync $n-${friday}-view`,
    'dmsetup remove --noudevsync $n-sm_0000000003-cow',
    'dmsetup remove --noudevsync $n-sm_0000000003-tail0',
    `dmsetup remove --noudevsync $n-${shop}-view`,
    'lvchange $quiet -an vg-fast/sm_0000000001 vg-fast/sm_0000000003',
    'dmsetup remove --noudevsync $l-zero $l-error 2>/dev/null',
  ]);
});

test('a fork that is larger than its snapshot reads through zeroes', () => {
  const larger = ALL.map((record): StoreRecord => {
    if (record.entity.kind !== 'volume' || record.entity.id !== fork) return record;
    const size = reportOf([]).extent;
    return { ...record, window: size };
  });
  expect(linesOf({}, larger).join('\n')).toContain(
    `--table "0 8192 linear $(dm $n-${thursday}-view) 0\n8192 2088960 zero"`,
  );
});

test('what is lost answers with errors', () => {
  const lost = ALL.map((record) => (record === thursdayRecord ? { ...record, lost: true } : record));
  const lines = linesOf({}, lost);
  expect(lines).toContain(`# snapshot thursday (${thursday}), 1 GiB: lost, and answers with errors`);
  expect(lines).toContain(
    `dmsetup create $n-${thursday}-view --uuid $h-${thursday}-view --noudevsync --table "0 2097152 error"`,
  );
});

test('a family in contradiction is left out, and said', () => {
  const twin = { ...thursdayRecord, store: storeName('sm_0000000007') };
  const tables = tablesOf({
    names: NAMES,
    report: reportOf([shopRecord, thursdayRecord, twin]),
    observed: NOTHING,
    only: undefined,
    mode: 'all',
    readOnly: false,
  });
  expect(commandsIn(tables.lines)).toEqual([]);
  expect(tables.leftOut).toHaveLength(1);
  expect(tables.lines.at(-1)).toMatch(/^# !! left out: Cannot trust/);
});

test('what lies too deep is left out, unless it is there: reading it could bring the kernel down', () => {
  const records = deepRecords(MOST_NESTED);
  const request: TablesRequest = {
    names: NAMES,
    report: reportOf(records),
    observed: NOTHING,
    only: undefined,
    mode: 'all',
    readOnly: true,
  };
  const { lines, leftOut } = tablesOf(request);
  // The newest lies three deep: its own view, its cow and the tail of that.
  const shown = MOST_NESTED - 2;
  expect(madeIn(lines).filter((key) => key.startsWith('s-'))).toHaveLength(shown);
  expect(leftOut).toHaveLength(3);
  expect(leftOut).toContain(
    `Cannot show volume 'test-a (${fork})': ${MOST_NESTED + 4} devices would lie on top of each other, and more than ` +
      `${MOST_NESTED} could bring the kernel down`,
  );
  expect(lines.filter((line) => line.startsWith('# !! left out: Cannot show'))).toHaveLength(3);

  const observed = observedOf(wantedOf(records, [shop, fork]));
  const missing = tablesOf({ ...request, observed, mode: 'missing', readOnly: false, only: new Set([shop, fork]) });
  expect(missing.leftOut).toEqual([]);
  expect(commandsIn(missing.lines)).toEqual([]);
  const removed = tablesOf({ ...request, observed, mode: 'remove' });
  expect(removed.leftOut).toEqual([]);
  expect(removed.lines.filter((line) => line.startsWith('dmsetup remove'))).not.toEqual([]);
});
