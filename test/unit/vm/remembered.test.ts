// How long it is believed what was found out about a machine.

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { remembered } from '../../../vm/remembered.ts';

const HOUR_MS = 3600 * 1000;
const DAY_MS = 24 * HOUR_MS;
const Found = z.object({ speed: z.number() });

let cache: string;
beforeEach(async () => {
  cache = await mkdtemp(join(tmpdir(), 'snapmerge-remembered-'));
  vi.stubEnv('SNAPMERGE_CACHE', cache);
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(async () => {
  vi.useRealTimers();
  vi.unstubAllEnvs();
  await rm(cache, { recursive: true });
});

const look = async (found: { readonly speed: number } | string, keys = ['kernel']) => {
  const tryIt = vi.fn<() => Promise<typeof found>>(() => Promise.resolve(found));
  const got = await remembered('means', keys, Found, tryIt);
  return { got, tries: tryIt.mock.calls.length };
};
const later = (ms: number): void => void vi.setSystemTime(Date.now() + ms);

test('what works, for a week', async () => {
  expect(await look({ speed: 1 })).toEqual({ got: { speed: 1 }, tries: 1 });
  later(6 * DAY_MS);
  expect(await look({ speed: 2 })).toEqual({ got: { speed: 1 }, tries: 0 });
  later(2 * DAY_MS);
  expect(await look({ speed: 2 })).toEqual({ got: { speed: 2 }, tries: 1 });
});

test('what does not, for an hour: it may have been the network', async () => {
  expect(await look('no mirror')).toEqual({ got: 'no mirror', tries: 1 });
  later(HOUR_MS / 2);
  expect(await look({ speed: 2 })).toEqual({ got: 'no mirror', tries: 0 });
  later(HOUR_MS);
  expect(await look({ speed: 2 })).toEqual({ got: { speed: 2 }, tries: 1 });
});

test('not of another kernel', async () => {
  await look({ speed: 1 });
  expect(await look({ speed: 2 }, ['another'])).toEqual({ got: { speed: 2 }, tries: 1 });
});

test('once for all who ask at the same time', async () => {
  const all = await Promise.all([look({ speed: 1 }), look({ speed: 2 }), look({ speed: 3 })]);
  expect(all.map(({ tries }) => tries).reduce((sum, one) => sum + one)).toBe(1);
  expect(new Set(all.map(({ got }) => JSON.stringify(got))).size).toBe(1);
});
