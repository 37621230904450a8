import { expect, test } from 'vitest';
import { inTurn, of } from '../../../bench/rounds.ts';

test('all sides in turn, one round after the other', async () => {
  const order: string[] = [];
  const side = (name: string) => (round: number) => {
    order.push(`${name}${round}`);
    return Promise.resolve(round * 10);
  };
  const found = await inTurn(3, [
    ['a', side('a')],
    ['b', side('b')],
  ]);
  expect(order).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'b2']);
  expect(of(found, 'b')).toEqual([0, 10, 20]);
  expect(() => of(new Map([['a', [1]]]), 'c')).toThrow("what 'c' measured");
});
