import { expect, test } from 'vitest';
import { inTurn, of } from '../../../bench/rounds.ts';

test('all sides in turn, one round after the other', async () => {
  const order: string[] = [];
  const side = (name: string) => (round: number) => {
    order.push(`${name}${round}`);
    return Promise.resolve(round * 10);
  };
  const found = await inTurn({ least: 3, most: 3 }, [
    ['a', side('a')],
    ['b', side('b')],
  ]);
  expect(order).toEqual(['a0', 'b0', 'a1', 'b1', 'a2', 'b2']);
  expect(of(found, 'b')).toEqual([0, 10, 20]);
  expect(() => of(new Map([['a', [1]]]), 'c')).toThrow("what 'c' measured");
});

test('rounds go on until what they say is settled, at most up to the limit', async () => {
  const rounds = { least: 2, most: 5 };
  const asked: number[] = [];
  const settledAt = async (count: number): Promise<number> => {
    const found = await inTurn(rounds, [['a', (round) => Promise.resolve(round)]], (sofar) => {
      asked.push(of(sofar, 'a').length);
      return of(sofar, 'a').length >= count;
    });
    return of(found, 'a').length;
  };
  expect(await settledAt(1)).toBe(2);
  expect(await settledAt(4)).toBe(4);
  expect(await settledAt(99)).toBe(5);
  expect(asked).toEqual([2, 2, 3, 4, 2, 3, 4, 5]);
});
