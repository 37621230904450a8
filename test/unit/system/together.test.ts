import { expect, test } from 'vitest';
import { together } from '../../../src/system/together.ts';

function rig() {
  const ended: string[] = [];
  const untilEnded = (name: string) => async (signal: AbortSignal) => {
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    await Promise.resolve();
    ended.push(name);
  };
  return { ended, untilEnded };
}

test('one that fails ends the others, and is heard of when they have ended', async () => {
  const { ended, untilEnded } = rig();
  const fails = async () => Promise.reject(new Error('a bug'));
  const all = together(new AbortController().signal, [untilEnded('first'), fails, untilEnded('third')]);
  await expect(all).rejects.toThrow('a bug');
  expect(ended).toEqual(['first', 'third']);
});

test('all end with the signal', async () => {
  const { ended, untilEnded } = rig();
  const ending = new AbortController();
  const all = together(ending.signal, [untilEnded('first'), untilEnded('second')]);
  ending.abort();
  await all;
  expect(ended).toEqual(['first', 'second']);
});
