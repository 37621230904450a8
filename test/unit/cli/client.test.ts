import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { openDriver, refusalOf, whyNot } from '../../../src/cli/client.ts';
import { fail } from '../../../src/vocabulary/errors.ts';
import { silentLogger } from '../../../src/system/log.ts';
import { loadDefinitions } from '../../../src/transport/proto.ts';
import { stream, unary } from '../../../src/transport/rpc.ts';
import { startServer } from '../../../src/transport/server.ts';
import type { RunningServer } from '../../../src/transport/server.ts';
import { refusal } from '../controller/call.ts';

let folder = '';
let socket = '';
let server: RunningServer | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'snapmerge-'));
  socket = join(folder, 'csi.sock');
});
afterEach(async () => {
  await server?.stop(100);
  server = undefined;
  await rm(folder, { recursive: true });
});

const { restore, inspect } = loadDefinitions();
const service = {
  GetRestore: unary(z.unknown(), async () => fail('precondition', "Cannot do it: it's not the day")),
  ListRestores: unary(z.unknown(), async () => ({ restores: [{ restore_id: 'r' }] })),
  WatchRestore: stream(z.unknown(), async function* watch(_, { signal }) {
    yield { restore: { message: 'one' } };
    yield { restore: { message: 'two' } };
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  }),
};
const start = async (): Promise<void> => {
  const services = [
    { definition: restore, service },
    { definition: inspect, service: {} },
  ];
  server = await startServer(socket, services, silentLogger);
};
const message = z.object({ restore: z.object({ message: z.string() }) });

test('calls, refusals in the words of the driver, replies that are not as expected', async () => {
  await start();
  const driver = await openDriver(socket);
  const reply = z.object({ restores: z.array(z.object({ restore_id: z.string() })) });
  expect(await driver.call('ListRestores', {}, reply)).toEqual({ restores: [{ restore_id: 'r' }] });
  expect(await refusal(driver.call('GetRestore', { restore_id: 'x' }, z.unknown()))).toEqual({
    kind: 'precondition',
    message: "Cannot do it: it's not the day",
  });
  expect((await refusal(driver.call('ListRestores', {}, z.object({ restores: z.string() })))).message).toContain(
    'Cannot read the reply to ListRestores: restores:',
  );
  expect(await refusal(driver.call('InspectPools', {}, z.unknown()))).toMatchObject({ kind: 'unavailable' });
  driver.close();
});

test('a stream ends when we have seen enough', async () => {
  await start();
  const driver = await openDriver(socket);
  const enough = new AbortController();
  const seen: string[] = [];
  for await (const one of driver.stream('WatchRestore', { restore_id: 'x' }, message, enough.signal)) {
    seen.push(one.restore.message);
    if (seen.length === 2) enough.abort();
  }
  expect(seen).toEqual(['one', 'two']);
  driver.close();
});

test('a stream that the driver refuses is refused', async () => {
  await start();
  const driver = await openDriver(socket);
  const failed = async (): Promise<void> => {
    for await (const _ of driver.stream('CancelRestore', {}, message, new AbortController().signal)) continue;
  };
  expect((await refusal(failed())).kind).toBe('unavailable');
  driver.close();
});

test('why nobody answers, and what to do about it', async () => {
  const open = (): ReturnType<typeof refusal> => refusal(openDriver(socket));
  const hint = 'start the driver, or give its path with --socket or SNAPMERGE_SOCKET';
  expect(await open()).toEqual({
    kind: 'unavailable',
    message: `Cannot reach the driver: there is no socket ${socket}; ${hint}`,
  });
  // A process that is killed leaves its socket behind.
  const listen = `require('net').createServer().listen('${socket}', () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', listen]);
  expect((await open()).message).toBe(`Cannot reach the driver: nobody listens at ${socket}; ${hint}`);
  await rm(socket, { force: true });
  await writeFile(socket, '');
  // The system says "connection refused" of a file as well.
  expect((await open()).kind).toBe('unavailable');
});

test.each([
  ['EACCES', '/s is closed to this user; be root'],
  ['ENOTSOCK', '/s is no socket; give its path with --socket or SNAPMERGE_SOCKET'],
  ['EFOO', '/s says EFOO; give its path with --socket or SNAPMERGE_SOCKET'],
])('%s', (code, message) => {
  expect(whyNot(code, '/s')).toBe(message);
});

test.each([
  [status.INVALID_ARGUMENT, 'invalid', 'words'],
  [status.ABORTED, 'busy', 'words'],
  [status.INTERNAL, 'internal', 'words'],
  [status.UNIMPLEMENTED, 'unavailable', 'Cannot ask the driver at /s: it is of another version (words)'],
  [
    status.UNAVAILABLE,
    'unavailable',
    'Cannot be served by the driver at /s: words; try again when it answers (snapmerge status)',
  ],
  [status.DEADLINE_EXCEEDED, 'unavailable', 'Cannot wait longer for the driver at /s: its log says what it does'],
])('status %i is %s', (code, kind, message) => {
  const error = refusalOf({ code, details: 'words' }, '/s');
  expect([error.kind, error.message]).toEqual([kind, message]);
});
