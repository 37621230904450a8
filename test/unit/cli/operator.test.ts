import { expect, test } from 'vitest';
import { createOperator } from '../../../src/cli/operator.ts';
import type { Operator } from '../../../src/cli/operator.ts';
import { writeTags } from '../../../src/records/tags.ts';
import { reportJson } from '../lvm/report-json.ts';
import { ALL, restoring, shopRecord } from '../inspect/family.ts';
import { scriptedExec } from '../scripted-exec.ts';
import type { Answer } from '../scripted-exec.ts';

const PLACE = { socket: '/nowhere/snapmerge.sock', config: undefined, pools: undefined };
const OPTIONS = { place: PLACE, offline: true, json: false };
const TABLES = { place: PLACE, mode: 'all', readOnly: false, images: [] } as const;

const lv = (records = ALL) =>
  records.map((record) => ({
    lv_name: record.store,
    lv_tags: writeTags(record).join(','),
    lv_size: record.place.kind === 'root' ? '1073741824' : '134217728',
  }));
const GROUPS = JSON.stringify({
  report: [
    {
      pv: [
        {
          pv_name: '/dev/vdc',
          vg_name: 'pool-a',
          vg_uuid: 'dU4NYT-rtIq-U9FD-lBLg-4GqB-3hvp-orJ8v6',
          vg_exported: '',
          vg_systemid: '',
          pv_in_use: 'used',
        },
      ],
    },
  ],
});

/** A node without a driver and without a device of ours. */
function node(answers: Readonly<Record<string, Answer>> = {}) {
  const { exec, lines } = scriptedExec((argv) => {
    const [program, command] = argv;
    const key = program === 'lvm' || program === 'dmsetup' ? `${program} ${command}` : program;
    if (key in answers) return answers[key];
    if (key === 'cat') return ' 254 32 4194304 vdc\n';
    if (key === 'lvm pvs') return GROUPS;
    return key === 'lvm fullreport' ? reportJson({ lv: lv() }) : '';
  });
  const out: string[] = [];
  const err: string[] = [];
  const operator: Operator = createOperator({
    exec,
    terminal: {
      write: (text) => void out.push(text),
      complain: (text) => void err.push(text),
      style: { colour: false, unicode: true },
      live: false,
      columns: () => 100,
    },
    env: { SNAPMERGE_CONFIG: '' },
    nowMs: () => 0,
    pause: async () => undefined,
    interrupted: () => new AbortController().signal,
  });
  return { operator, lines, said: () => out.join(''), complained: () => err.join('') };
}

test('without the driver pools are found by what their groups hold, and nothing is changed', async () => {
  const { operator, lines, said, complained } = node();
  expect(await operator.tree({ ...OPTIONS, offline: false })).toBe(0);
  expect(said()).toMatch(/^pool pool-a {2}volume group pool-a/);
  expect(said()).toContain('└─ friday');
  expect(complained()).toContain('there is no socket /nowhere/snapmerge.sock; start the driver, or give its path');
  const reading = /^(dmsetup (info|table|status)|cat |lvm (pvs|fullreport) .*--readonly)/;
  expect(lines().filter((line) => !reading.test(line))).toEqual([]);
});

test('tree and check as JSON', async () => {
  const tree = node();
  await tree.operator.tree({ ...OPTIONS, json: true });
  expect(JSON.parse(tree.said())).toMatchObject({
    driver: { answers: false },
    pools: [
      { name: 'pool-a', contents: { families: [{ images: [{ size: 1073741824, used: 1073741824 }, {}, {}, {}] }] } },
    ],
  });
  const check = node();
  expect(await check.operator.check({ ...OPTIONS, json: true })).toBe(0);
  expect(JSON.parse(check.said())).toMatchObject({ verdict: 'right', differences: [] });
});

test('exit codes: what differs, what is wrong, what cannot be told', async () => {
  const merging = { 'lvm fullreport': reportJson({ lv: lv(restoring()) }) };
  const differing = node(merging);
  expect(await differing.operator.check(OPTIONS)).toBe(1);
  expect(differing.said()).toContain('differs: ');
  expect(await node().operator.status(OPTIONS)).toBe(1);
  const broken = { 'lvm pvs': 5 };
  for (const what of ['tree', 'status', 'check'] as const) {
    const { operator, complained } = node(broken);
    expect(await operator[what](OPTIONS)).toBe(2);
    expect(complained()).toContain('Cannot list physical volumes');
  }
  expect(await node({ 'lvm pvs': JSON.stringify({ report: [{ pv: [] }] }) }).operator.check(OPTIONS)).toBe(2);
  expect(await node({ 'lvm fullreport': 5 }).operator.tree({ ...OPTIONS, place: named })).toBe(2);
});

const named = { ...PLACE, pools: [{ name: 'fast', volumeGroup: 'pool-a' }] };

test('a pool that is named has its name, and is missed when it is not there', async () => {
  const { operator, said } = node();
  await operator.tables({ ...TABLES, place: named });
  expect(said()).toContain('n=snapmerge-fast l=snapmerge-fast-dU4NYT u=SNAPMERGE-dU4NYTrtIqU9FDlBLg4GqB3hvporJ8v6');
  const missing = { ...PLACE, pools: [{ name: 'fast', volumeGroup: 'elsewhere', loopFile: '/var/lib/x.img' }] };
  const gone = node();
  expect(await gone.operator.tables({ ...TABLES, place: missing })).toBe(1);
  expect(gone.complained()).toContain('attach its file first: losetup --find --direct-io=on /var/lib/x.img');
});

test('tables of some images, and of none that is there', async () => {
  const { operator, said } = node();
  expect(await operator.tables({ ...TABLES, images: ['friday'] })).toBe(0);
  expect(said()).toContain('# snapshot friday');
  expect(said()).not.toContain('thursday');
  await expect(operator.tables({ ...TABLES, images: ['monday'] })).rejects.toThrow(
    "Cannot find volume or snapshot 'monday'",
  );
  const nothing = node({ 'lvm fullreport': reportJson({ lv: [] }) });
  await expect(nothing.operator.tables(TABLES)).rejects.toThrow('name one with --pool NAME=VG');
});

test('tables need no device-mapper that answers', async () => {
  const { operator, said } = node({ 'dmsetup table': 1 });
  expect(await operator.tables(TABLES)).toBe(0);
  expect(said()).toContain('dmsetup create $n-v-00000000sh-top');
});

test('what cannot be shown is said, and by the exit code', async () => {
  const twin = [...ALL, { ...shopRecord, store: 'sm_0000000009' }];
  const { operator, complained } = node({
    'lvm fullreport': reportJson({
      lv: twin.map((record, index) => ({ ...lv()[index % ALL.length], lv_name: record.store })),
    }),
  });
  expect(await operator.tables(TABLES)).toBe(1);
  expect(complained()).toContain('left out: Cannot trust');
});

test('what needs the driver is refused without it', async () => {
  const { operator } = node();
  const request = {
    volume: 'shop',
    snapshot: 'friday',
    mode: 'origin',
    dropSnapshot: false,
    safety: undefined,
    replace: false,
    watch: false,
  } as const;
  await expect(operator.restore(PLACE, request, false)).rejects.toThrow('Cannot reach the driver: there is no socket');
  await expect(operator.restores(PLACE, false, false)).rejects.toThrow('there is no socket');
  await expect(operator.cancel(PLACE, 'r-1')).rejects.toThrow('there is no socket');
  await expect(operator.names(PLACE, 'volumes')).rejects.toThrow('there is no socket');
});
