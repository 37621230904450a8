import { expect, test } from 'vitest';
import { createQueue } from '../../../../src/kubernetes/api/queue.ts';
import type { QueueOptions } from '../../../../src/kubernetes/api/queue.ts';

/** Time goes on when nobody has anything to do before. */
function setUp(work: QueueOptions['work'], workers = 2) {
  let now = 0;
  const failures: number[] = [];
  const ending = new AbortController();
  const queue = createQueue({
    clock: {
      monotonicMs: () => now,
      sleep: async (ms, signal) => {
        // Whatever is under way gets on first.
        for (let turn = 0; turn < 50; turn += 1) await Promise.resolve();
        if (!signal.aborted) now += ms;
      },
    },
    work,
    failed: (_, __, againMs) => failures.push(againMs),
    workers,
    firstRetryMs: 100,
    mostRetryMs: 350,
  });
  return { queue, failures, ending, now: () => now };
}

test('due in order of time; an earlier wish counts', async () => {
  const done: string[] = [];
  const { queue, ending, now } = setUp(async (key) => {
    done.push(`${key} ${now()}`);
    if (done.length === 3) ending.abort();
    return undefined;
  });
  queue.add('late', 500);
  queue.add('soon', 300);
  queue.add('late', 900);
  queue.add('moved', 800);
  queue.add('moved', 100);
  await queue.run(ending.signal);
  expect(done).toEqual(['moved 100', 'soon 300', 'late 500']);
});

test('again when it says so, and with growing pauses when it fails', async () => {
  let count = 0;
  const { queue, failures, ending } = setUp(async () => {
    count += 1;
    if (count === 8) ending.abort();
    if (count === 1) return 1000;
    if (count === 6) return 0;
    throw new Error('no');
  });
  queue.add('key', 0);
  await queue.run(ending.signal);
  expect(failures).toEqual([100, 200, 350, 350, 100, 200]);
});

test('one at a time for each key, and once more for what came meanwhile', async () => {
  let active = 0;
  let most = 0;
  let count = 0;
  const { queue, ending } = setUp(async () => {
    active += 1;
    most = Math.max(most, active);
    count += 1;
    if (count === 1) queue.add('key', 0);
    for (let turn = 0; turn < 500; turn += 1) await Promise.resolve();
    active -= 1;
    if (count === 2) ending.abort();
    return undefined;
  });
  queue.add('key', 0);
  await queue.run(ending.signal);
  expect([count, most]).toEqual([2, 1]);
});

test('no more at once than there are workers', async () => {
  let active = 0;
  let most = 0;
  let count = 0;
  const { queue, ending } = setUp(async () => {
    active += 1;
    most = Math.max(most, active);
    for (let turn = 0; turn < 100; turn += 1) await Promise.resolve();
    active -= 1;
    count += 1;
    if (count === 5) ending.abort();
    return undefined;
  });
  for (const key of ['1', '2', '3', '4', '5']) queue.add(key, 0);
  await queue.run(ending.signal);
  expect([count, most]).toEqual([5, 2]);
});
