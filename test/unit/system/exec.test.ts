// Real commands of this machine: what becomes of exit codes, signals, input and those who go away.

import { expect, test } from 'vitest';
import { localExec, output } from '../../../src/system/exec.ts';

const sh = (line: string) => ['sh', '-c', line] as const;

test('an exit code, both outputs, and the words of the C locale', async () => {
  const result = await localExec(sh('echo $LC_ALL; echo no >&2; exit 3'));
  expect(result).toEqual({ code: 3, stdout: 'C\n', stderr: 'no\n' });
  await expect(output(localExec, sh('echo no >&2; exit 3'))).rejects.toMatchObject({
    kind: 'internal',
    message: expect.stringContaining('exit code 3: no'),
  });
});

test('a signal leaves no exit code', async () => {
  expect(await localExec(sh('kill -KILL $$'))).toEqual({ code: undefined, stdout: '', stderr: '' });
});

test('input arrives whole; one that is not read does no harm; without any there is none', async () => {
  const stdin = 'x'.repeat(1_000_000);
  expect((await localExec(['wc', '-c'], { stdin })).stdout.trim()).toBe('1000000');
  expect((await localExec(['cat'], { stdin: Buffer.from([0xc3, 0xa4]) })).stdout).toBe('ä');
  expect((await localExec(['true'], { stdin })).code).toBe(0);
  expect(await localExec(['cat'])).toEqual({ code: 0, stdout: '', stderr: '' });
});

test('a character that arrives in two pieces is one', async () => {
  expect((await localExec(sh("printf '\\303'; sleep 0.1; printf '\\244'"))).stdout).toBe('ä');
});

test.each([
  ['there is none', ['/there/is/none']],
  ['its arguments are too long', ['true', 'x'.repeat(10_000_000)]],
] as const)('a command that cannot be started is unavailable: %s', async (_, argv) => {
  await expect(localExec(argv)).rejects.toMatchObject({ kind: 'unavailable' });
});

test('a caller who goes away ends it, and one who has gone does not begin it', async () => {
  const caller = new AbortController();
  const waits = localExec(['sleep', '1000'], { signal: caller.signal });
  caller.abort();
  await expect(waits).rejects.toMatchObject({ kind: 'cancelled' });
  await expect(localExec(['true'], { signal: caller.signal })).rejects.toMatchObject({ kind: 'cancelled' });
});

test('a process group of its own', async () => {
  const fields = sh('read -r pid name state parent group rest < /proc/$$/stat; echo $pid $group');
  const [pid, group] = (await localExec(fields)).stdout.trim().split(' ');
  expect(group).toBe(pid);
});
