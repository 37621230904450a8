import { expect, test } from 'vitest';
import { shareNext } from '../../src/share.ts';

/** Reads that end when they are told to, each with the number of its beginning. */
function reads() {
  const ends: { readonly done: () => void; readonly fail: () => void }[] = [];
  const read = shareNext(
    () =>
      new Promise<number>((resolve, reject) => {
        const number = ends.length + 1;
        ends.push({ done: () => resolve(number), fail: () => reject(new Error(`read ${number}`)) });
      }),
  );
  return { ends, read };
}

test('all who ask while one is under way get the next, which begins when that has ended', async () => {
  const { ends, read } = reads();
  const first = read();
  const others = [read(), read(), read()];
  expect(ends).toHaveLength(1);
  ends[0]?.done();
  expect(await first).toBe(1);
  await expect.poll(() => ends.length).toBe(2);
  // This one asks while the second is under way.
  const late = read();
  ends[1]?.done();
  expect(await Promise.all(others)).toEqual([2, 2, 2]);
  await expect.poll(() => ends.length).toBe(3);
  ends[2]?.done();
  expect(await late).toBe(3);
});

test('one after the other shares nothing', async () => {
  const { ends, read } = reads();
  for (const number of [1, 2]) {
    const result = read();
    ends.at(-1)?.done();
    expect(await result).toBe(number);
  }
});

test('a failure is of those who shared it, and the next begins all the same', async () => {
  const { ends, read } = reads();
  const first = read();
  const second = read();
  ends[0]?.fail();
  await expect(first).rejects.toThrow('read 1');
  await expect.poll(() => ends.length).toBe(2);
  ends[1]?.done();
  expect(await second).toBe(2);
});
