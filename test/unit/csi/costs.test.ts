import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Cost, Operation } from '../../csi/costs/costs.ts';
import { differences, recordedAnew, table } from '../../csi/costs/costs.ts';
import { costTable, withCostTable } from '../../csi/costs/page.ts';

const ROOT = join(import.meta.dirname, '../../..');
const NONE = { processes: 0, lvm: 0, changing: 0, commits: 0, devices: 0 };
const CALL = { processes: 3, lvm: 2, changing: 1, commits: 1, devices: 6 };
const DISKS = { flushes: 4, kib: 256 };
const FLUSHES = { least: 4, most: 6, why: 'the kernel puts flushes together that it gets at once' };

const recorded: Cost = { operation: 'DeleteVolume', call: CALL, after: NONE, disks: { ...DISKS, flushes: FLUSHES } };
const found = ({ call = CALL, after = NONE, disks = DISKS } = {}): Operation => ({
  operation: 'DeleteVolume',
  call: { counts: call, commands: ['lvm fullreport', 'lvm lvremove', 'sync'] },
  after: { counts: after, commands: [] },
  disks,
});

test('docs/benchmarks.md has what is recorded', async () => {
  const page = await readFile(join(ROOT, 'docs/benchmarks.md'), 'utf8');
  const costs = table.parse(JSON.parse(await readFile(join(ROOT, 'test/csi/costs/costs.json'), 'utf8')));
  expect(costs.length).toBeGreaterThan(0);
  expect(withCostTable(page, costs)).toBe(page);
});

test('equal counts, and those within their range, are no difference', () => {
  expect(differences(recorded, found())).toEqual([]);
  expect(differences(recorded, found({ disks: { ...DISKS, flushes: 6 } }))).toEqual([]);
});

test('of the disks a little more or less is no difference', () => {
  expect(differences(recorded, found({ disks: { flushes: 10, kib: 384 } }))).toEqual([]);
  expect(differences(recorded, found({ disks: { flushes: 0, kib: 385 } }))).toEqual([
    'DeleteVolume: 385 KiB written, recorded are 256',
  ]);
});

test('one that rises or falls is told, with what was recorded and what is started now', () => {
  const other = found({ call: { ...CALL, processes: 4, devices: 5 }, disks: { flushes: 11, kib: 8 } });
  expect(differences(recorded, other)).toEqual([
    'DeleteVolume: 4 processes, recorded are 3',
    'DeleteVolume: 5 devices that a process opened, recorded are 6',
    'DeleteVolume: the processes are now: lvm fullreport, lvm lvremove, sync',
    'DeleteVolume: 11 flushes of the disks, recorded are 4 to 6',
    'DeleteVolume: 8 KiB written, recorded are 256',
  ]);
  expect(differences(recorded, found({ after: { ...NONE, commits: 1 } }))).toEqual([
    "DeleteVolume, after the reply: 1 commits of LVM's metadata, recorded are 0",
    'DeleteVolume, after the reply: the processes are now: ',
  ]);
});

test('what is recorded anew are the counts, but for a range that holds', () => {
  const call = { ...CALL, processes: 2 };
  const after = { ...NONE, commits: 1 };
  const anew = recordedAnew([recorded], [found({ call, after, disks: { flushes: 5, kib: 9 } })]);
  expect(anew).toEqual([{ operation: 'DeleteVolume', call, after, disks: { flushes: FLUSHES, kib: 9 } }]);
});

test('a row tells what comes after the reply, and a range its reason', () => {
  const lines = costTable([{ ...recorded, after: { ...NONE, processes: 2 } }]).split('\n');
  expect(lines.slice(2)).toEqual([
    '| DeleteVolume | 3 + 2 | 2 | 1 | 1 | 6 | 4 to 6 | 256 |',
    '',
    'Why a range: the kernel puts flushes together that it gets at once.',
  ]);
});
