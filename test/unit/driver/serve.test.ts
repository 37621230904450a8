// The whole driver over an engine in memory, as the kubelet meets it: probes, sockets, registration, and its end.

import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { serve } from '../../../src/driver/serve.ts';
import type { ServeOptions } from '../../../src/driver/serve.ts';
import { readConfig } from '../../../src/config/config.ts';
import type { Settings } from '../../../src/config/config.ts';
import { PoolHeld } from '../../../src/dm/claim.ts';
import { localExec } from '../../../src/system/exec.ts';
import { silentLogger } from '../../../src/system/log.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { localFiles } from '../../../src/node/files.ts';
import { poolName } from '../../../src/vocabulary/ids.ts';
import type { PoolOpener } from '../../../src/pools/pools.ts';
import { loadDefinitions } from '../../../src/transport/proto.ts';
import { createFakeEngine } from '../controller/fake-engine.ts';
import { at } from '../controller/call.ts';

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'snapmerge-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function call(socket: string, definition: ServiceDefinition, method: string, request: object): Promise<unknown> {
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  const wire = definition[method];
  if (wire === undefined) throw new Error(method);
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(wire.path, wire.requestSerialize, wire.responseDeserialize, request, (error, reply) => {
      client.close();
      if (error === null) resolve(reply);
      else reject(error);
    });
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return address.port;
}

test('a kubelet finds the driver, and a removed socket is found out', async () => {
  const definitions = loadDefinitions();
  const registry = join(folder, 'plugins_registry');
  const socket = join(folder, 'plugins', 'csi.sock');
  const port = await freePort();
  const config = readConfig({
    flags: {
      node: 'n',
      pools: [{ name: 'default', volumeGroup: 'vg' }],
      socket,
      httpAddress: `127.0.0.1:${port}`,
      registrationSocket: join(registry, 'snapmerge-reg.sock'),
    },
    env: {},
    file: undefined,
  });
  const page = async (path: string) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`);
    return `${response.status} ${(await response.text()).trim()}`;
  };
  const engine = createFakeEngine();
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  const ending = new AbortController();
  const ended = serve({
    config,
    openers: [{ name: engine.pool, open: async () => opened.then(() => engine) }],
    exec: localExec,
    files: localFiles,
    log: silentLogger,
    version: '1',
    metrics: createMetrics('1'),
    ending: ending.signal,
  });

  await vi.waitFor(async () => expect(await page('/healthz')).toBe('200 ok'), 10_000);
  expect(await page('/readyz')).toBe(
    "503 pool 'default' is being started\nnot serving yet\nthe kubelet has not registered this driver yet",
  );
  open();
  await vi.waitFor(async () => expect(await readdir(registry)).toEqual(['snapmerge-reg.sock']), 10_000);

  const reg = join(registry, 'snapmerge-reg.sock');
  const info = await call(reg, definitions.registration, 'GetInfo', {});
  expect(at(info, 'endpoint')).toBe(socket);
  expect(at(await call(socket, definitions.node, 'NodeGetInfo', {}), 'node_id')).toBe('n');
  await call(reg, definitions.registration, 'NotifyRegistrationStatus', { error: 'no such node' });
  expect(await page('/readyz')).toBe('503 the kubelet does not register this driver: no such node');
  await call(reg, definitions.registration, 'NotifyRegistrationStatus', { plugin_registered: true });
  expect(await page('/readyz')).toBe('200 ok');

  const metrics = await page('/metrics');
  expect(metrics).toContain('snapmerge_rpc_duration_seconds_count{method="NodeGetInfo",code="OK"} 1');
  expect(metrics).toContain('snapmerge_kubelet_registered 1');
  // This engine has neither LVM nor a kernel to look at, and that is told instead of nothing.
  expect(metrics).toContain('snapmerge_pool_up{pool="default"} 0');

  await rm(socket);
  expect(await page('/healthz')).toBe(`503 socket ${socket} is gone`);
  ending.abort();
  await ended;
  expect(await readdir(registry)).toEqual([]);
  await expect(page('/healthz')).rejects.toThrow('fetch failed');
});

/** A driver of one pool with whatever of it is to be different, and what became of its engine. */
function driver(settings: Settings = {}) {
  const engine = createFakeEngine();
  const stopped = vi.fn<() => Promise<void>>(async () => undefined);
  const open = vi.fn<PoolOpener['open']>(async () => ({ ...engine, stop: stopped }));
  const ending = new AbortController();
  const socket = join(folder, 'csi.sock');
  const run = async (options: Partial<ServeOptions> = {}): Promise<void> =>
    serve({
      config: readConfig({
        flags: { node: 'n', pools: [{ name: 'default', volumeGroup: 'vg' }], socket, ...settings },
        env: {},
        file: undefined,
      }),
      openers: [{ name: engine.pool, open }],
      exec: localExec,
      files: localFiles,
      log: silentLogger,
      version: '1',
      metrics: createMetrics('1'),
      ending: ending.signal,
      ...options,
    });
  return { engine, stopped, open, ending, socket, run };
}

async function taken(address: string | number): Promise<Server> {
  const server = createServer();
  if (typeof address === 'string') server.listen(address);
  else server.listen(address, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return server;
}

test('a driver whose socket is taken ends before it opens a pool, and names who has that', async () => {
  const { run, open, socket } = driver();
  const other = await taken(socket);
  const who = "'snapmerge serve' (process 7 on n, since 2030-01-01T00:00:00Z)";
  await expect(run({ owner: async () => who })).rejects.toThrow(
    `Cannot serve on ${socket}: another process serves there; its pool is owned by ${who}`,
  );
  expect(open).not.toHaveBeenCalled();
  await new Promise((resolve) => other.close(resolve));
});

test('what looks after VolumeRestores may end: volumes are served, and it is begun again', async () => {
  const { run, stopped, socket, ending } = driver();
  const looks = vi
    .fn<NonNullable<ServeOptions['kubernetes']>>()
    .mockRejectedValueOnce(new Error('it has a fault'))
    .mockResolvedValueOnce(undefined)
    .mockImplementation(
      async (_, signal) => new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
    );
  const ended = run({ kubernetes: looks, againMs: 5 });
  await vi.waitFor(() => expect(looks).toHaveBeenCalledTimes(3), 10_000);
  expect(at(await call(socket, loadDefinitions().node, 'NodeGetInfo', {}), 'node_id')).toBe('n');
  ending.abort();
  await ended;
  expect(stopped).toHaveBeenCalledOnce();
});

test.each(['httpAddress', 'registrationSocket'] as const)(
  'a driver whose %s cannot be had ends with nothing going on',
  async (setting) => {
    const port = await freePort();
    const other = await taken(port);
    const blocked = join(folder, 'file');
    await writeFile(blocked, '');
    const value = setting === 'httpAddress' ? `127.0.0.1:${port}` : join(blocked, 'reg.sock');
    const { run, open, stopped, socket } = driver({ [setting]: value });
    await expect(run()).rejects.toThrow(/EADDRINUSE|ENOTDIR|EEXIST/);
    expect(stopped).toHaveBeenCalledTimes(open.mock.calls.length);
    expect(open).toHaveBeenCalledTimes(1);
    expect(existsSync(socket)).toBe(false);
    await new Promise((resolve) => other.close(resolve));
  },
);

test("a driver whose pools are all another one's serves nothing, says so, and ends after a while", async () => {
  const port = await freePort();
  const { run, open, socket } = driver({ httpAddress: `127.0.0.1:${port}` });
  open.mockRejectedValue(new PoolHeld('it is owned by process 7'));
  const ended = run({ heldLimitMs: 1000 });
  await vi.waitFor(async () => {
    const response = await fetch(`http://127.0.0.1:${port}/readyz`);
    expect(await response.text()).toContain('it is owned by process 7');
  }, 10_000);
  expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  expect(existsSync(socket)).toBe(false);
  await expect(ended).rejects.toThrow('Cannot serve: after 1 s there is no pool for this process. it is owned by');
});

test('a signal ends a driver that waits for another one', async () => {
  const { run, open, ending, socket } = driver();
  open.mockRejectedValue(new PoolHeld('it is owned by process 7'));
  const ended = run();
  await vi.waitFor(() => expect(open).toHaveBeenCalledTimes(1), 10_000);
  ending.abort();
  await ended;
  expect(existsSync(socket)).toBe(false);
});

test('one pool that another process owns does not keep the others from being served', async () => {
  const { run, engine, ending, socket } = driver({
    pools: [
      { name: 'default', volumeGroup: 'vg' },
      { name: 'other', volumeGroup: 'vg2' },
    ],
  });
  const ended = run({
    openers: [
      { name: engine.pool, open: async () => engine },
      { name: poolName('other'), open: async () => Promise.reject(new PoolHeld('it is owned by process 7')) },
    ],
  });
  await vi.waitFor(() => expect(existsSync(socket)).toBe(true), 10_000);
  ending.abort();
  await ended;
});
