import { expect, test } from 'vitest';
import { checkNode, renderCheck } from '../../../src/cli/check.ts';
import type { NodeLook } from '../../../src/cli/look.ts';
import { viewPool } from '../../../src/inspect/pool.ts';
import type { PoolContents } from '../../../src/inspect/view.ts';
import { POOL, lookOf, shop } from '../inspect/family.ts';

const PLAIN = { colour: false, unicode: true };
const driver = { answers: true, version: '1', socket: '/s' } as const;
const right = viewPool(lookOf());
const finding = { kind: 'state', subject: 'x', message: 'is suspended' } as const;
const differing = (busy = false, message: string = finding.message): PoolContents => ({
  ...right,
  families: right.families.map((one) => ({ ...one, busy, findings: [{ ...finding, message }] })),
});
const nodeOf = (contents: PoolContents | undefined): NodeLook => ({
  driver,
  pools: [{ name: POOL, problem: contents === undefined ? 'gone' : '', contents }],
});

/** Gives one look after the other, the last again and again. */
async function check(...looks: readonly (PoolContents | undefined)[]) {
  let taken = 0;
  const look = async (): Promise<NodeLook> => {
    taken += 1;
    return nodeOf(looks[Math.min(taken, looks.length) - 1]);
  };
  const report = await checkNode(look, async () => undefined);
  return { ...report, taken, lines: renderCheck(report, PLAIN) };
}

test('right at once', async () => {
  expect(await check(right)).toMatchObject({ verdict: 'right', taken: 1, lines: ['right: 1 family as recorded'] });
});

test('what differs in all looks differs', async () => {
  const report = await check(differing());
  expect(report).toMatchObject({ verdict: 'differs', taken: 3 });
  expect(report.lines).toEqual([
    `pool fast, family ${shop}`,
    '  state x: is suspended',
    'state: the driver puts it right when it starts, or the next time something happens in the family; without a driver: snapmerge tables --missing',
    'differs: 1 finding',
  ]);
});

test('what a working driver puts right in the meantime does not count', async () => {
  expect(await check(differing(), right)).toMatchObject({ verdict: 'right', taken: 2 });
  expect(await check(differing(), differing(false, 'something else'))).toMatchObject({ verdict: 'right' });
});

test('an operation that goes on is given more time, and not for ever', async () => {
  const busy = differing(true);
  expect(await check(busy, busy, busy, busy, busy, right)).toMatchObject({ verdict: 'right', taken: 6 });
  expect(await check(busy)).toMatchObject({ verdict: 'differs', taken: 10 });
});

test('a pool that does not answer cannot be told, unless another differs', async () => {
  const report = await check(undefined);
  expect(report).toMatchObject({ verdict: 'cannot tell' });
  expect(report.lines).toEqual(['pool fast cannot be read: gone', 'cannot tell']);
  expect(
    (
      await checkNode(
        async () => ({ driver, pools: [] }),
        async () => undefined,
      )
    ).verdict,
  ).toBe('cannot tell');
});

test('records in contradiction, and what belongs to no family', async () => {
  const trouble = { family: undefined, stores: [], images: [], reason: 'Cannot read' };
  const report = await check({ ...right, troubles: [trouble], findings: [{ ...finding, kind: 'left-over' }] });
  expect(report.differences.map(({ kind, family }) => [kind, family])).toEqual([
    ['records', undefined],
    ['left-over', undefined],
  ]);
  expect(report.lines[0]).toBe('pool fast, no family');
});

test('without the driver it says so', async () => {
  const silent: NodeLook = { driver: { answers: false, reason: 'why' }, pools: nodeOf(right).pools };
  const report = await checkNode(
    async () => silent,
    async () => undefined,
  );
  expect(renderCheck(report, PLAIN)).toEqual(['right: 1 family as recorded, read without the driver']);
});
