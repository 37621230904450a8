import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { lastTime, remember } from '../../../tools/durations.ts';

let dir = '';

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'durations-'));
  vi.stubEnv('SNAPMERGE_CACHE', dir);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(dir, { recursive: true });
});

test('what was remembered is told, of the same thing alone', () => {
  expect(lastTime("booting guest 'demo'")).toBe('');
  remember("booting guest 'demo'", 12.6);
  expect(lastTime("booting guest 'demo'")).toBe(' (13 s the last time)');
  expect(lastTime("booting guest 'other'")).toBe('');
});

test('what cannot be read or written is not known', async () => {
  remember('building', 20);
  await writeFile(join(dir, 'durations', 'building'), 'soon');
  expect(lastTime('building')).toBe('');
  vi.stubEnv('SNAPMERGE_CACHE', join(dir, 'durations', 'building'));
  remember('building', 20);
  expect(lastTime('building')).toBe('');
});
