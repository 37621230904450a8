// Which devices are ours, what their tables lie on, and listings that do not fit together.

import { describe, expect, test } from 'vitest';
import type { Listings } from '../../../src/dm/observed.ts';
import { assemble, indexOf, deviceNode } from '../../../src/dm/observed.ts';
import { parseDevices } from '../../../src/dm/parse.ts';
import { deviceKey, storeName, vgUuid, volumeId } from '../../../src/vocabulary/ids.ts';

const VG = 'dU4NYTrtIqU9FDlBLg4GqB3hvporJ8v6';
const OTHER_VG = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA';
const LV = 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb';
const scope = { vgName: 'pool-a', vgUuid: vgUuid(VG) };
const view = deviceKey(volumeId('v-0000000001'), 'view');
const top = deviceKey(volumeId('v-0000000001'), 'top');
const store = storeName('sm_0000000001');

const STORE_ROW = `pool--a-sm_0000000001|LVM-${VG}${LV}|253|0|1|L--w`;
const HIDDEN = 'LVM-SNAPMERGE00000000000000000000000';
const VIEW_ROW = `snapmerge-fast-${view}|${HIDDEN}${VG}-${view}|253|1|1|L--w`;
const TOP_ROW = `snapmerge-fast-${top}|SNAPMERGE-${VG}-${top}|253|2|0|L--w`;

const listings = (rows: readonly string[], tables: readonly string[], rest: Partial<Listings> = {}): Listings => ({
  rows: parseDevices(rows.join('\n')),
  tables: tables.join('\n'),
  inactive: '',
  statuses: '',
  ...rest,
});

describe('what is ours', () => {
  test.each([
    ['of another group', `pool--a-sm_0000000001|LVM-${OTHER_VG}${LV}|253|0|1|L--w`],
    ['a hidden half of a raid', `pool--a-sm_0000000001_rimage_0|LVM-${VG}${LV}|253|0|1|L--w`],
    ['a layer below', `pool--a-sm_0000000001-real|LVM-${VG}${LV}-real|253|0|1|L--w`],
    ['without the name of a store', `pool--a-data|LVM-${VG}${LV}|253|0|1|L--w`],
    ['the end of a longer name', `pool--a-x--sm_0000000001|LVM-${VG}${LV}|253|0|1|L--w`],
    ['without a UUID', `pool--a-sm_0000000001||253|0|1|L--w`],
  ])('no store: %s', (_, row) => {
    expect(indexOf(parseDevices(row), scope).stores.size).toBe(0);
  });

  test.each(['pool--a', 'pool--a--b', 'elsewhere', 'x--'])('a store, also where its group is called %s now', (name) => {
    const row = `${name}-sm_0000000001|LVM-${VG}${LV}|253|0|1|L--w`;
    expect([...indexOf(parseDevices(row), scope).stores.keys()]).toEqual([store]);
  });

  test.each([
    ['of another pool', `snapmerge-fast-${view}|SNAPMERGE-${OTHER_VG}-${view}|253|1|1|L--w`],
    ['of another pool, hidden', `snapmerge-fast-${view}|${HIDDEN}${OTHER_VG}-${view}|253|1|1|L--w`],
    ['of a volume group that is called so', `x|LVM-${VG}${VG}-${view}|253|1|1|L--w`],
    ['by its name alone', `snapmerge-fast-${view}|CRYPT-x|253|1|1|L--w`],
    ['of an unknown kind', `snapmerge-fast-x|SNAPMERGE-${VG}-v-0000000001-cow|253|1|1|L--w`],
  ])('no device: %s', (_, row) => {
    expect(indexOf(parseDevices(row), scope).devices.size).toBe(0);
  });

  test('a device is found by its UUID, whatever its name', () => {
    expect([...indexOf(parseDevices(`renamed|SNAPMERGE-${VG}-${view}|253|1|1|L--w`), scope).devices.keys()]).toEqual([
      view,
    ]);
  });
});

describe('assemble', () => {
  test('resolves stores, our devices and strangers', () => {
    const observed = assemble(
      listings(
        [STORE_ROW, VIEW_ROW, TOP_ROW, 'alien||253|9|0|L--w'],
        [
          'alien: 0 8 striped 1 2 3',
          `snapmerge-fast-${view}: 0 8 linear 253:0 0`,
          `snapmerge-fast-${view}: 8 8 linear 253:9 0`,
          `snapmerge-fast-${view}: 16 8 linear 8:1 0`,
          `snapmerge-fast-${top}: 0 24 linear 253:1 0`,
        ],
      ),
      scope,
    );
    expect(observed?.devices.get(view)?.live).toEqual([
      { type: 'linear', length: 8n, on: { on: 'store', store }, offset: 0n },
      { type: 'linear', length: 8n, on: { on: 'stranger', majorMinor: '253:9' }, offset: 0n },
      { type: 'linear', length: 8n, on: { on: 'stranger', majorMinor: '8:1' }, offset: 0n },
    ]);
    expect(observed?.devices.get(top)?.live?.[0]).toEqual({
      type: 'linear',
      length: 24n,
      on: { on: 'device', device: view },
      offset: 0n,
    });
    expect(observed?.stores.get(store)).toEqual({ store, majorMinor: '253:0', openCount: 1 });
  });

  test('gives the inactive table and the flags', () => {
    const row = `x|SNAPMERGE-${VG}-${view}|253|1|4|LIsr`;
    const observed = assemble(listings([row], ['x: 0 8 zero'], { inactive: 'x: 0 8 error' }), scope);
    expect(observed?.devices.get(view)).toMatchObject({
      live: [{ type: 'zero' }],
      inactive: [{ type: 'error' }],
      suspended: true,
      readOnly: true,
      openCount: 4,
      status: undefined,
    });
  });

  test('gives the status of a snapshot', () => {
    const tables = [`snapmerge-fast-${view}: 0 8 snapshot 253:0 253:0 P 8`];
    const statuses = `snapmerge-fast-${view}: 0 8 snapshot 16/64 16`;
    const observed = assemble(listings([STORE_ROW, VIEW_ROW], tables, { statuses }), scope);
    expect(observed?.devices.get(view)?.status).toEqual({ state: 'counts', used: 16n, total: 64n, metadata: 16n });
  });

  test.each<[string, Listings]>([
    ['a device lost its table', listings([VIEW_ROW], [])],
    ['a device got a table', listings([VIEW_ROW.replace('L--w', '---w')], [`snapmerge-fast-${view}: 0 8 zero`])],
    ['an inactive table went', listings([VIEW_ROW.replace('L--w', 'LI-w')], [`snapmerge-fast-${view}: 0 8 zero`])],
    ['a table lies on a newcomer', listings([VIEW_ROW], [`snapmerge-fast-${view}: 0 8 linear 253:77 0`])],
    [
      'a snapshot became a merge',
      listings([STORE_ROW, VIEW_ROW], [`snapmerge-fast-${view}: 0 8 snapshot 253:0 253:0 P 8`], {
        statuses: `snapmerge-fast-${view}: 0 8 snapshot-merge 16/64 16`,
      }),
    ],
  ])('asks for another look: %s', (_, seen) => {
    expect(assemble(seen, scope)).toBeUndefined();
  });
});

test('nodes are those of devtmpfs', () => {
  expect(deviceNode('253:12')).toBe('/dev/dm-12');
});
