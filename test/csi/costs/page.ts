// The recorded counts as the part of docs/benchmarks.md that shows them. Pure.

import type { Cost, Count, Table } from './costs.ts';
import { textOf } from './costs.ts';

const BEGIN = '<!-- made by test/csi/costs.test.ts: begin -->';
const END = '<!-- made by test/csi/costs.test.ts: end -->';

const PARTS = [
  ['processes', 'processes'],
  ['lvm', 'of LVM'],
  ['changing', 'changing'],
  ['commits', 'commits'],
  ['devices', 'devices'],
] as const;
const DISKS = [
  ['flushes', 'flushes'],
  ['kib', 'KiB'],
] as const;

export function costTable(table: Table): string {
  const heads = [...PARTS, ...DISKS].map(([, head]) => head);
  const notes = new Set(table.flatMap(reasonsOf));
  return [
    `| operation | ${heads.join(' | ')} |`,
    `| --- |${' --- |'.repeat(heads.length)}`,
    ...table.map((cost) => `| ${cost.operation} | ${cellsOf(cost).join(' | ')} |`),
    ...(notes.size === 0 ? [] : ['', ...notes]),
  ].join('\n');
}

function cellsOf({ call, after, disks }: Cost): readonly string[] {
  return [
    ...PARTS.map(([key]) => (after[key] === 0 ? textOf(call[key]) : `${textOf(call[key])} + ${textOf(after[key])}`)),
    ...DISKS.map(([key]) => textOf(disks[key])),
  ];
}

function reasonsOf({ call, after, disks }: Cost): readonly string[] {
  return [call, after, disks].flatMap((counts) =>
    Object.values<Count>(counts).flatMap((count) => (typeof count === 'number' ? [] : [`Why a range: ${count.why}.`])),
  );
}

/** The page with this table in the place of the one that it has. */
export function withCostTable(page: string, table: Table): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`Cannot put the counts in: '${BEGIN}' and '${END}' do not match`);
  return `${page.slice(0, begin)}${BEGIN}\n\n${costTable(table)}\n\n${page.slice(end)}`;
}
