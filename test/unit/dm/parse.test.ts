// Kernel text as values: every form that the kernel's sources print, and errors that say which field is wrong.

import { describe, expect, test } from 'vitest';
import * as fc from 'fast-check';
import { LEGS, deviceKey, storeName, volumeId } from '../../../src/vocabulary/ids.ts';
import { parseDevices, parseSnapshotStatus, parseTable, parseTargets } from '../../../src/dm/parse.ts';
import type { Ref, Table, Target } from '../../../src/dm/table.ts';
import { onDevice, onStore, sameTable, targetLine } from '../../../src/dm/table.ts';
import { sectors } from '../../../src/vocabulary/units.ts';

const stranger = (majorMinor: string): Ref => ({ on: 'stranger', majorMinor });
const ours = (): boolean => true;

describe('device list', () => {
  test('reads every attribute', () => {
    expect(parseDevices('vg-lv|LVM-abc|253|12|3|L--w\nx||253|0|0|-Isr\n')).toEqual([
      {
        name: 'vg-lv',
        uuid: 'LVM-abc',
        majorMinor: '253:12',
        openCount: 3,
        live: true,
        inactive: false,
        suspended: false,
        readOnly: false,
      },
      {
        name: 'x',
        uuid: '',
        majorMinor: '253:0',
        openCount: 0,
        live: false,
        inactive: true,
        suspended: true,
        readOnly: true,
      },
    ]);
  });

  test('is empty where the kernel has no device', () => {
    expect(parseDevices('No devices found\n')).toEqual([]);
    expect(parseDevices('')).toEqual([]);
  });

  test.each([
    ['a|b|253|x|0|L--w', "field 3 is 'x', want a minor number"],
    ['a|b|253|1|0|L-w', "field 5 is 'L-w', want attributes like L-sw"],
    ['a|b|253|1|0', 'field 5 is missing, want attributes like L-sw'],
    ['a|b|253|1|0|L--w|more', "field 6 is 'more', want the end of the line"],
  ])('refuses %s', (line, words) => {
    expect(() => parseDevices(line)).toThrow(words);
  });
});

describe('targets', () => {
  test('are told apart by device, several lines and none', () => {
    const targets = parseTargets('a: 0 8 linear 253:1 0\nb: \na: 8 8 error \n', ours);
    expect(targets.get('a')).toEqual([
      { start: 0n, length: 8n, type: 'linear', params: '253:1 0' },
      { start: 8n, length: 8n, type: 'error', params: '' },
    ]);
    expect(targets.get('b')).toEqual([]);
  });

  test('of others are not read', () => {
    expect([...parseTargets('odd: something else\nour: 0 8 zero\n', (name) => name === 'our').keys()]).toEqual(['our']);
  });

  test('keep names that hold a colon', () => {
    expect([...parseTargets('a:b: 0 8 zero\n', ours).keys()]).toEqual(['a:b']);
  });

  test('refuse a line without a name', () => {
    expect(() => parseTargets('0 8 zero\n', ours)).toThrow("Cannot read the line '0 8 zero'");
  });
});

describe('tables', () => {
  const legs: ReadonlyMap<string, Ref> = new Map(LEGS.map((leg, at) => [`253:${8 + at}`, { on: 'leg', leg }]));
  const legOrStranger = (number: string): Ref => legs.get(number) ?? stranger(number);
  const read = (text: string): Table =>
    parseTable('d', parseTargets(`d: ${text}\n`, ours).get('d') ?? [], legOrStranger);

  test.each<[string, Target]>([
    ['0 16 linear 253:3 2048', { type: 'linear', length: sectors(16), on: stranger('253:3'), offset: sectors(2048) }],
    [
      '0 16 snapshot 253:1 253:2 PO 8',
      {
        type: 'snapshot',
        length: sectors(16),
        origin: stranger('253:1'),
        cow: stranger('253:2'),
        mode: 'PO',
        chunk: sectors(8),
      },
    ],
    [
      '0 16 snapshot-merge 253:1 253:2 P 1024',
      {
        type: 'snapshot-merge',
        length: sectors(16),
        origin: stranger('253:1'),
        cow: stranger('253:2'),
        mode: 'P',
        chunk: sectors(1024),
      },
    ],
    ['0 16 snapshot-origin 253:1', { type: 'snapshot-origin', length: sectors(16), origin: stranger('253:1') }],
    ['0 16 zero', { type: 'zero', length: sectors(16) }],
    ['0 16 error', { type: 'error', length: sectors(16) }],
    ['0 20 mirror core 2 16 nosync 2 253:8 0 253:9 0 1 handle_errors', { type: 'hold', length: sectors(20) }],
    // Legs, regions and features of somebody else's.
    ...['core 2 16 nosync 2 253:9 0 253:8 0 1 handle_errors', 'core 2 8 nosync 2 253:8 0 253:9 0 1 handle_errors'].map(
      (params): [string, Target] => [
        `0 20 mirror ${params}`,
        { type: 'other', length: sectors(20), name: 'mirror', params },
      ],
    ),
    ['0 16 flakey 253:1 0 1 2', { type: 'other', length: sectors(16), name: 'flakey', params: '253:1 0 1 2' }],
  ])('%s', (text, target) => {
    expect(read(text)).toEqual([target]);
  });

  test.each([
    ['0 16 linear 253:3', 'field 1 is missing, want an offset in sectors'],
    ['0 16 linear /dev/x 0', "field 0 is '/dev/x', want a device as major:minor"],
    ['0 16 snapshot 253:1 253:2 X 8', "field 2 is 'X', want P, N or PO"],
    ['0 16 snapshot 253:1 253:2 P 8 1 discard_zeroes_cow', "field 4 is '1', want the end of the line"],
    ['0 16 error 1', "field 0 is '1', want the end of the line"],
    ['8 16 zero', 'a target begins at 8, want 0'],
  ])('%s is refused', (text, words) => {
    expect(() => read(text)).toThrow(words);
  });

  test('what is printed for the kernel reads back the same', () => {
    const length = fc.bigInt(1n, 2n ** 40n).map((n) => sectors(n));
    const ref = fc.constantFrom<Ref>(
      onStore(storeName('sm_0000000000')),
      onStore(storeName('sm_0000000001')),
      onDevice(deviceKey(volumeId('v-0000000000'), 'view')),
    );
    const numbers = ['253:0', '253:1', '253:2', '253:3', '253:4'];
    const refs: readonly Ref[] = [
      onStore(storeName('sm_0000000000')),
      onStore(storeName('sm_0000000001')),
      onDevice(deviceKey(volumeId('v-0000000000'), 'view')),
      { on: 'leg', leg: 'zero' },
      { on: 'leg', leg: 'error' },
    ];
    const nameOf = (wanted: Ref): string =>
      numbers[refs.findIndex((one) => JSON.stringify(one) === JSON.stringify(wanted))] ?? '';
    const target = fc.oneof(
      fc.record({ type: fc.constant('linear' as const), length, on: ref, offset: length }),
      fc.record({ type: fc.constantFrom('zero' as const, 'error' as const, 'hold' as const), length }),
      fc.record({ type: fc.constant('snapshot-origin' as const), length, origin: ref }),
      fc.record({
        type: fc.constantFrom('snapshot' as const, 'snapshot-merge' as const),
        length,
        origin: ref,
        cow: ref,
        mode: fc.constantFrom('P' as const, 'N' as const, 'PO' as const),
        chunk: length,
      }),
    );
    fc.assert(
      fc.property(fc.array(target, { minLength: 1, maxLength: 5 }), (table: Table) => {
        let start = 0n;
        const lines = table.map((one) => {
          const line = `d: ${targetLine(one, start, nameOf)}`;
          start += one.length;
          return line;
        });
        const raw = parseTargets(lines.join('\n'), ours).get('d') ?? [];
        const back = parseTable('d', raw, (number) => refs[numbers.indexOf(number)] ?? stranger(number));
        expect(sameTable(back, table)).toBe(true);
      }),
    );
  });
});

describe('snapshot status', () => {
  test('numbers', () => {
    expect(parseSnapshotStatus('s', '32/32768 16')).toEqual({
      state: 'counts',
      used: 32n,
      total: 32768n,
      metadata: 16n,
    });
  });

  test.each([
    ['Invalid', 'invalid'],
    ['Overflow', 'overflow'],
    ['Merge failed', 'merge-failed'],
    ['Unknown', 'unknown'],
  ])('%s', (words, state) => {
    expect(parseSnapshotStatus('s', words)).toEqual({ state });
  });

  test.each([
    ['Broken', "field 0 is 'Broken', want sectors, or one of Invalid"],
    ['1/2', 'field 2 is missing'],
    ['1/2 3 4', "field 3 is '4', want the end"],
  ])('%s is refused', (params, words) => {
    expect(() => parseSnapshotStatus('s', params)).toThrow(words);
  });
});
