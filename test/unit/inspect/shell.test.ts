import { expect, test } from 'vitest';
import type { Step } from '../../../src/dm/step.ts';
import type { DeviceKey } from '../../../src/vocabulary/ids.ts';
import { storeName } from '../../../src/vocabulary/ids.ts';
import { commandsOf, storeDevice } from '../../../src/inspect/shell.ts';
import { sectors } from '../../../src/vocabulary/units.ts';
import { NAMES, shop } from './family.ts';

const view: DeviceKey = `${shop}-view`;
const store = storeName('sm_0000000001');
const load: Step = { do: 'load', device: view, table: [{ type: 'error', length: sectors(8) }], readOnly: false };
const told = (steps: readonly Step[]): readonly string[] => commandsOf(steps, NAMES, () => 'why');

test('a device that is made, loaded and resumed is one command', () => {
  const steps: readonly Step[] = [{ do: 'create', device: view }, load, { do: 'resume', device: view }];
  expect(told(steps)).toEqual([
    '# why',
    `dmsetup create $n-${view} --uuid $h-${view} --noudevsync --table "0 8 error"`,
  ]);
});

test('a device that is not resumed at once, or was there, is not', () => {
  expect(told([{ do: 'create', device: view }, load, { do: 'suspend', device: view }])).toEqual([
    '# why',
    `dmsetup create $n-${view} --uuid $h-${view} --noudevsync --notable`,
    `dmsetup load $n-${view} --table "0 8 error"`,
    `dmsetup suspend $n-${view}`,
  ]);
  expect(told([load, { do: 'resume', device: view }])).toEqual([
    '# why',
    `dmsetup load $n-${view} --table "0 8 error"`,
    `dmsetup resume --noudevsync $n-${view}`,
  ]);
});

test('the devices of a store: made and swapped at once', () => {
  const tail: DeviceKey = `${store}-tail0`;
  const table = [{ type: 'error', length: sectors(8) }] as const;
  expect(
    told([
      { do: 'make', device: tail, table, readOnly: false },
      { do: 'swap', device: tail, table, readOnly: false },
    ]),
  ).toEqual([
    '# why',
    `dmsetup create $n-${tail} --uuid $h-${tail} --noudevsync --table "0 8 error"`,
    '# why',
    `dmsetup load $n-${tail} --table "0 8 error"`,
    `dmsetup resume --nolockfs --noflush --noudevsync $n-${tail}`,
  ]);
});

test('every other step has its command', () => {
  expect(
    told([
      { do: 'clear', device: view },
      { do: 'activate', stores: [store] },
      { do: 'flush', device: view },
      { do: 'remove', device: view },
      { do: 'deactivate', stores: [store] },
    ]),
  ).toEqual([
    `dmsetup clear $n-${view}`,
    'lvchange $quiet -ay -K vg-fast/sm_0000000001',
    `sync /dev/dm-$(dmsetup info -c --noheadings -o minor $n-${view})`,
    `dmsetup remove --noudevsync $n-${view}`,
    'lvchange $quiet -an vg-fast/sm_0000000001',
  ]);
});

test('LVM doubles the hyphens of a group in the names of its devices', () => {
  expect(storeDevice('a-b', store)).toBe('a--b-sm_0000000001');
});
