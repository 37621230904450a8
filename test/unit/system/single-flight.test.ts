import { expect, test } from 'vitest';
import type { Sharing } from '../../../src/system/single-flight.ts';
import { shareNext } from '../../../src/system/single-flight.ts';

/** Reads that end when they are told to, each with the number of its beginning. */
function reads(sharing: Partial<Sharing> = {}) {
  const ends: { readonly done: () => void; readonly fail: () => void }[] = [];
  const read = shareNext(
    () =>
      new Promise<number>((resolve, reject) => {
        const number = ends.length + 1;
        ends.push({ done: () => resolve(number), fail: () => reject(new Error(`read ${number}`)) });
      }),
    { what: 'Cannot read', ...sharing },
  );
  const begun = (count: number): Promise<void> => expect.poll(() => ends.length).toBe(count);
  return { begun, ends, read };
}

test('all who ask while one is under way get the next, which begins when that has ended', async () => {
  const { begun, ends, read } = reads();
  const first = read();
  const others = [read(), read(), read()];
  expect(ends).toHaveLength(1);
  ends[0]?.done();
  expect(await first).toBe(1);
  await begun(2);
  const late = read();
  await Promise.resolve();
  expect(ends).toHaveLength(2);
  ends[1]?.done();
  expect(await Promise.all(others)).toEqual([2, 2, 2]);
  await begun(3);
  ends[2]?.done();
  expect(await late).toBe(3);
});

test('who asks at the moment of an end gets one that begins after that', async () => {
  const { begun, ends, read } = reads();
  const first = read();
  ends[0]?.done();
  await first;
  const second = read();
  await begun(2);
  ends[1]?.done();
  expect(await second).toBe(2);
});

test('a failure is of those who shared it, and the next begins all the same', async () => {
  const { begun, ends, read } = reads();
  const first = read();
  const second = read();
  ends[0]?.fail();
  await expect(first).rejects.toThrow('read 1');
  await begun(2);
  ends[1]?.done();
  expect(await second).toBe(2);
});

test('one that hangs is waited for by those who asked for it alone', async () => {
  const { begun, ends, read } = reads({ patienceMs: 20 });
  const hung = read();
  const second = read();
  await begun(2);
  const third = read();
  ends[1]?.done();
  expect(await second).toBe(2);
  await begun(3);
  // Its end at last changes nothing for those who are under way.
  ends[0]?.done();
  expect(await hung).toBe(1);
  const fourth = read();
  expect(ends).toHaveLength(3);
  ends[2]?.done();
  expect(await third).toBe(3);
  await begun(4);
  ends[3]?.done();
  expect(await fourth).toBe(4);
});

test('of those that hang two are under way at most, and who asks is told', async () => {
  const { begun, ends, read } = reads({ patienceMs: 5, limitMs: 50 });
  const asked = Promise.allSettled([read(), read(), read(), read()]);
  await begun(2);
  for (const { status } of await asked) expect(status).toBe('rejected');
  const again = read();
  await expect(again).rejects.toMatchObject({ kind: 'unavailable' });
  await expect(again).rejects.toThrow(/^Cannot read: no answer for \d+ s: a disk hangs$/);
  expect(ends).toHaveLength(2);
  // One that has ended makes room for another.
  ends[0]?.done();
  await Promise.resolve();
  const last = read();
  await begun(3);
  ends[2]?.done();
  expect(await last).toBe(3);
});

test('who waits in vain is told what keeps it, where that is known', async () => {
  const why = async (): Promise<string> => 'somebody has it';
  const { read } = reads({ patienceMs: 5, limitMs: 50, why });
  for (const asked of [read(), read(), read()]) {
    await expect(asked).rejects.toThrow(/^Cannot read: no answer for \d+ s: somebody has it$/);
  }
  const unknown = reads({ patienceMs: 5, limitMs: 50, why: () => Promise.reject(new Error('it hangs, too')) });
  await expect(unknown.read()).rejects.toThrow(/: a disk hangs$/);
});

test('what must come to its end is waited for, and begun no more often either', async () => {
  const { begun, ends, read } = reads({ patienceMs: 5, limitMs: Number.POSITIVE_INFINITY });
  const first = read();
  const second = read();
  await begun(2);
  const third = read();
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(ends).toHaveLength(2);
  ends[0]?.done();
  expect(await first).toBe(1);
  await begun(3);
  ends[1]?.done();
  ends[2]?.done();
  expect(await second).toBe(2);
  expect(await third).toBe(3);
});
