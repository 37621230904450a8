// A machine ends as a whole, although its first process is not all of it.

import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, test } from 'vitest';
import { endGroup, lives, startMachine } from '../../../vm/machine.ts';

/** The leader of a group, and another process in it; both would live for long. */
const twoProcesses = async (script: string): Promise<readonly [number, number]> => {
  const child = spawn('sh', ['-c', script], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  for await (const line of createInterface({ input: child.stdout })) return [child.pid ?? 0, Number(line)];
  throw new Error('Cannot start two processes');
};

test('what it has started goes with it', async () => {
  const both = await twoProcesses('sleep 1000 >/dev/null & echo $!; exec sleep 1000 >/dev/null');
  expect(both.map(lives)).toEqual([true, true]);
  expect(await endGroup(both[0])).toBe(true);
  expect(both.map(lives)).toEqual([false, false]);
});

test('also what is left of one that has ended by itself', async () => {
  const [leader, other] = await twoProcesses('sleep 1000 >/dev/null & echo $!');
  await expect.poll(() => lives(leader)).toBe(false);
  expect(lives(other)).toBe(true);
  expect(await endGroup(leader)).toBe(true);
  expect(lives(other)).toBe(false);
});

test('one that ends while it should come up says what it said', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'snapmerge-machine-'));
  try {
    const command = (script: string) => ({ argv: ['sh', '-c', script], env: { WORD: 'so' }, printsConsole: true });
    const bad = await startMachine(command('echo Cannot do "$WORD" >&2'), { dir, detached: false });
    expect(await bad.booted()).toBe('it ended: Cannot do so');
    const good = await startMachine(command('echo snapmerge-guest: ready'), { dir, detached: false });
    expect(await good.booted()).toBe(true);
  } finally {
    await rm(dir, { recursive: true });
  }
});
