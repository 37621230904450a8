import { expect, test } from 'vitest';
import type { Background } from '../../../../src/engine/background/scheduler.ts';
import { createBackground } from '../../../../src/engine/background/scheduler.ts';
import { volumeId } from '../../../../src/vocabulary/ids.ts';
import { systemClock } from '../../../../src/system/clock.ts';
import type { Clock } from '../../../../src/vocabulary/ports.ts';
import { silentLog } from '../../../../src/vocabulary/ports.ts';

const FAMILY = volumeId('v-0000000001');
const OTHER = volumeId('v-0000000002');
const LONG_MS = 600_000;

interface Scene {
  readonly background: Background;
  /** Families in the order in which they were advanced. */
  readonly advanced: string[];
  /** Lets the one that was begun last come to its end. */
  readonly end: () => void;
}

function scene(): Scene {
  const advanced: string[] = [];
  const waiting: (() => void)[] = [];
  const background = createBackground({
    clock: systemClock,
    log: silentLog,
    advance: async (family) => {
      advanced.push(family);
      await new Promise<void>((resolve) => waiting.push(resolve));
      return true;
    },
    retried: () => [],
    look: () => Promise.resolve(LONG_MS),
    looked: undefined,
  });
  return { background, advanced, end: () => waiting.pop()?.() };
}

test('who waits for quiet waits until nothing goes on any more', async () => {
  const { background, advanced, end } = scene();
  background.start();
  background.goOn(FAMILY);
  const heard: string[] = [];
  const quiet = background.quiet(LONG_MS).then((result) => heard.push(`quiet: ${result}`));
  await expect.poll(() => advanced).toEqual([FAMILY]);
  expect(heard).toEqual([]);
  end();
  await quiet;
  expect(heard).toEqual(['quiet: true']);
  await background.stop();
});

test('there is nothing to wait for where nothing goes on', async () => {
  const { background } = scene();
  background.goOn(FAMILY);
  expect(await background.quiet(LONG_MS), 'not started').toBe(false);
  const other = scene();
  other.background.start();
  expect(await other.background.quiet(LONG_MS), 'nothing due').toBe(false);
  await other.background.stop();
  expect(await other.background.quiet(LONG_MS), 'stopped').toBe(false);
});

test('who waits for quiet does not wait longer than it likes, and not for an end', async () => {
  const { background, advanced, end } = scene();
  background.start();
  background.goOn(FAMILY);
  await expect.poll(() => advanced).toEqual([FAMILY]);
  expect(await background.quiet(20)).toBe(true);
  const quiet = background.quiet(LONG_MS);
  const stopped = background.stop();
  end();
  expect(await quiet).toBe(true);
  await stopped;
});

test('a family does not wait for another that is held up', async () => {
  const { background, advanced, end } = scene();
  background.start();
  background.goOn(FAMILY);
  await expect.poll(() => advanced).toEqual([FAMILY]);
  background.goOn(OTHER);
  await expect.poll(() => advanced).toEqual([FAMILY, OTHER]);
  // Asked for once more while it goes on: again, and not beside itself.
  background.goOn(FAMILY);
  expect(advanced).toEqual([FAMILY, OTHER]);
  end();
  await expect.poll(() => advanced).toEqual([FAMILY, OTHER]);
  end();
  await expect.poll(() => advanced).toEqual([FAMILY, OTHER, FAMILY]);
  const stopped = background.stop();
  end();
  await stopped;
});

/** A hundred times as fast as the system's. */
const fastClock: Clock = {
  nowMs: () => systemClock.nowMs(),
  monotonicMs: () => systemClock.monotonicMs() * 100,
  sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
};

test('a look that hangs is gone past', async () => {
  let looks = 0;
  const hung: (() => void)[] = [];
  const background = createBackground({
    clock: fastClock,
    log: silentLog,
    advance: async () => true,
    retried: () => [],
    look: async () => {
      looks += 1;
      if (looks === 1) await new Promise<void>((resolve) => hung.push(resolve));
      return 5000;
    },
    looked: undefined,
  });
  background.start();
  await expect.poll(() => looks).toBeGreaterThan(3);
  for (const end of hung) end();
  await background.stop();
});

test('families that hang take the places of others for a minute only', async () => {
  const families = Array.from({ length: 12 }, (_, index) => volumeId(`v-00000000${index + 10}`));
  const advanced: string[] = [];
  const hung: (() => void)[] = [];
  const background = createBackground({
    clock: fastClock,
    log: silentLog,
    advance: async (family) => {
      advanced.push(family);
      if (family !== OTHER) await new Promise<void>((resolve) => hung.push(resolve));
      return true;
    },
    retried: () => [],
    look: () => Promise.resolve(LONG_MS),
    looked: undefined,
  });
  background.start();
  for (const family of families) background.goOn(family);
  background.goOn(OTHER);
  await expect.poll(() => advanced.length).toBe(8);
  await expect.poll(() => advanced.includes(OTHER), { timeout: 10_000 }).toBe(true);
  for (const end of hung) end();
  await background.stop();
});
