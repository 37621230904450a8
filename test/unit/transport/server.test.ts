import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials, status } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { fail } from '../../../src/vocabulary/errors.ts';
import { createLogger } from '../../../src/system/log.ts';
import { loadDefinitions } from '../../../src/transport/proto.ts';
import { stream, unary } from '../../../src/transport/rpc.ts';
import type { Service } from '../../../src/transport/rpc.ts';
import { startServer } from '../../../src/transport/server.ts';
import type { RunningServer } from '../../../src/transport/server.ts';

const { controller, restore } = loadDefinitions();
const lines: string[] = [];
const log = createLogger('info', { write: (line) => void lines.push(line) });

let folder = '';
let socket = '';
let server: RunningServer | undefined;
let release = (): void => undefined;

const service: Service = {
  DeleteVolume: unary(z.object({ volume_id: z.string().min(1, 'is missing') }), async ({ volume_id: id }) => {
    if (id === 'gone') fail('not-found', 'Cannot find it');
    if (id === 'odd') throw new Error('boom');
    if (id === 'slow') await new Promise<void>((resolve) => (release = resolve));
    return {};
  }),
};
const restoreService: Service = {
  WatchRestore: stream(z.unknown(), async function* watch(_, { signal }) {
    yield { restore: { message: 'first' } };
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  }),
};

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'snapmerge-'));
  socket = join(folder, 'run', 'csi.sock');
  lines.length = 0;
});
afterEach(async () => {
  await server?.stop(100);
  server = undefined;
  await rm(folder, { recursive: true });
});

async function start(): Promise<RunningServer> {
  const services = [
    { definition: controller, service },
    { definition: restore, service: restoreService },
  ];
  server = await startServer(socket, services, log);
  return server;
}

async function call(method: string, request: object): Promise<{ readonly code: status; readonly details: string }> {
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  const wire = controller[method];
  if (wire === undefined) throw new Error(method);
  return new Promise((resolve) => {
    client.makeUnaryRequest(wire.path, wire.requestSerialize, wire.responseDeserialize, request, (error) => {
      client.close();
      resolve({ code: error?.code ?? status.OK, details: error?.details ?? '' });
    });
  });
}

test('kinds of errors become codes, and what is not served is UNIMPLEMENTED', async () => {
  await start();
  expect(await call('DeleteVolume', { volume_id: 'v' })).toEqual({ code: status.OK, details: '' });
  expect(await call('DeleteVolume', {})).toEqual({
    code: status.INVALID_ARGUMENT,
    details: 'Cannot take this DeleteVolume request: volume_id is missing',
  });
  expect((await call('DeleteVolume', { volume_id: 'gone' })).code).toBe(status.NOT_FOUND);
  expect(await call('DeleteVolume', { volume_id: 'odd' })).toEqual({ code: status.INTERNAL, details: 'boom' });
  expect((await call('ControllerModifyVolume', { volume_id: 'v' })).code).toBe(status.UNIMPLEMENTED);
});

test('one line for each call, without secrets', async () => {
  await start();
  lines.length = 0;
  await call('DeleteVolume', { volume_id: 'v', secrets: { password: 'hunter2' } });
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ method: 'DeleteVolume', volume_id: 'v', code: 'OK', msg: 'rpc' });
  expect(lines.join('')).not.toContain('hunter2');
});

test('the socket is for its owner only, in a folder of its own', async () => {
  await start();
  expect((await stat(socket)).mode & 0o777).toBe(0o600);
  expect((await stat(join(folder, 'run'))).mode & 0o777).toBe(0o700);
  await server?.stop(100);
  await expect(stat(socket)).rejects.toThrow('ENOENT');
});

test('a socket that nobody listens on is replaced, a served one and a file are not', async () => {
  socket = join(folder, 'csi.sock');
  const other = createServer().listen(socket);
  await new Promise((resolve) => other.once('listening', resolve));
  await expect(start()).rejects.toThrow('another process serves there');
  await new Promise((resolve) => other.close(resolve));

  // What a killed driver leaves: a socket without a listener.
  const listen = `require('net').createServer().listen(${JSON.stringify(socket)}, () => process.kill(process.pid, 9))`;
  expect(spawnSync(process.execPath, ['-e', listen]).signal).toBe('SIGKILL');
  expect((await stat(socket)).isSocket()).toBe(true);
  await start();
  expect((await call('DeleteVolume', { volume_id: 'v' })).code).toBe(status.OK);
});

test('something else in its place is kept', async () => {
  socket = join(folder, 'csi.sock');
  await writeFile(socket, 'precious');
  await expect(start()).rejects.toThrow('something that is no socket is in its place');
});

test('calls under way end before the server does, and streams end with it', async () => {
  await start();
  const slow = call('DeleteVolume', { volume_id: 'slow' });
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  const watch = restore['WatchRestore'];
  if (watch === undefined) throw new Error('no WatchRestore');
  const watching = client.makeServerStreamRequest(watch.path, watch.requestSerialize, watch.responseDeserialize, {});
  await new Promise((resolve) => watching.once('data', resolve));
  const ended = new Promise((resolve) => watching.once('end', resolve));
  const stopped = server?.stop(5_000);
  await ended;
  release();
  expect((await slow).code).toBe(status.OK);
  client.close();
  await stopped;
});
