// `snapmerge check`: records, devices and laws compared. The driver may be in the middle of something, so what differs is
// looked at again, and only what stays counts. Pure but for the look and the pause that it is given.

import type { Finding, FindingKind, PoolView } from '../inspect/view.ts';
import type { NodeLook } from './look.ts';
import type { Style } from './terminal.ts';
import { paint } from './terminal.ts';
import { countOf } from './words.ts';

export interface Difference {
  readonly pool: string;
  /** Undefined for what belongs to no family. */
  readonly family: string | undefined;
  readonly kind: FindingKind | 'records';
  readonly subject: string;
  readonly message: string;
}

export interface CheckReport {
  readonly verdict: 'right' | 'differs' | 'cannot tell';
  readonly differences: readonly Difference[];
  /** Pools that do not answer, and why. */
  readonly unread: readonly { readonly pool: string; readonly problem: string }[];
  readonly families: number;
  readonly driver: NodeLook['driver'];
}

const PAUSE_MS = 1500;
const LOOKS = 3;
/** While operations run in the families that differ. */
const BUSY_LOOKS = 10;

/** Looks until nothing differs, or the same does in several looks. */
export async function checkNode(
  look: () => Promise<NodeLook>,
  pause: (ms: number) => Promise<void>,
): Promise<CheckReport> {
  let node = await look();
  let left = differencesOf(node.pools);
  for (let looks = 1; left.length > 0 && looks < (isBusy(node.pools, left) ? BUSY_LOOKS : LOOKS); looks += 1) {
    await pause(PAUSE_MS);
    node = await look();
    const before = new Set(left.map(keyOf));
    left = differencesOf(node.pools).filter((one) => before.has(keyOf(one)));
  }
  const unread = node.pools.flatMap(({ name, problem, contents }) =>
    contents === undefined ? [{ pool: name, problem }] : [],
  );
  const verdict = left.length > 0 ? 'differs' : unread.length > 0 || node.pools.length === 0 ? 'cannot tell' : 'right';
  const families = node.pools.reduce((sum, { contents }) => sum + (contents?.families.length ?? 0), 0);
  return { verdict, differences: left, unread, families, driver: node.driver };
}

function keyOf({ pool, kind, subject, message }: Difference): string {
  return [pool, kind, subject, message].join(' ');
}

function isBusy(pools: readonly PoolView[], differences: readonly Difference[]): boolean {
  return pools.some(({ name, contents }) =>
    contents?.families.some(
      ({ id, busy }) => busy && differences.some(({ pool, family }) => pool === name && family === id),
    ),
  );
}

export function differencesOf(pools: readonly PoolView[]): readonly Difference[] {
  return pools.flatMap(({ name: pool, contents }) => {
    if (contents === undefined) return [];
    const of = (family: string | undefined, findings: readonly Finding[]): readonly Difference[] =>
      findings.map((finding) => ({ pool, family, ...finding }));
    return [
      ...contents.troubles.map(({ family, stores, reason }): Difference => ({
        pool,
        family,
        kind: 'records',
        subject: stores.join(', '),
        message: reason,
      })),
      ...contents.families.flatMap(({ id, findings }) => of(id, findings)),
      ...of(undefined, contents.findings),
    ];
  });
}

const PUT_RIGHT =
  'the driver puts it right when it starts, or the next time something happens in the family; without a driver: snapmerge tables --missing';

const ADVICE: Readonly<Record<Difference['kind'], string>> = {
  records: 'nothing of it is touched until a person has put the tags right: docs/tags.md has every tag',
  table: PUT_RIGHT,
  state: PUT_RIGHT,
  'not-fed': 'stop the writer; the snapshots of what it writes to can no longer be trusted',
  lost: 'what reads through it is lost; delete it, and take what is needed from elsewhere',
  store: 'see lvs and pvs of the pool; the driver activates stores when it starts',
  'left-over': 'the driver takes it away when it starts',
  law: 'stop what uses either, and read both before anything is written',
  depth: 'unstage it, or delete snapshots that it reads through and nothing else needs; see docs/recovery.md',
};

export function renderCheck(report: CheckReport, style: Style): readonly string[] {
  const { differences, unread, families, driver, verdict } = report;
  const how = driver.answers ? '' : ', read without the driver';
  const titles = new Map<string, Difference[]>();
  for (const one of differences) {
    const title = `pool ${one.pool}, ${one.family === undefined ? 'no family' : `family ${one.family}`}`;
    titles.set(title, [...(titles.get(title) ?? []), one]);
  }
  const kinds = [...new Set(differences.map(({ kind }) => kind))];
  return [
    ...[...titles].flatMap(([title, ones]) => [
      paint(style, 'bold', title),
      ...ones.map(({ kind, subject, message }) => `  ${paint(style, 'red', kind)} ${subject}: ${message}`),
    ]),
    ...kinds.map((kind) => paint(style, 'dim', `${kind}: ${ADVICE[kind]}`)),
    ...unread.map(({ pool, problem }) => paint(style, 'yellow', `pool ${pool} cannot be read: ${problem}`)),
    {
      right: paint(style, 'green', `right: ${countOf(families, 'family', 'families')} as recorded${how}`),
      differs: paint(style, 'red', `differs: ${countOf(differences.length, 'finding')}${how}`),
      'cannot tell': paint(style, 'yellow', `cannot tell${how}`),
    }[verdict],
  ];
}
