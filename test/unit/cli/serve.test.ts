// The whole driver over an engine in memory, as the kubelet meets it: probes, sockets, registration, and its end.

import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, credentials } from '@grpc/grpc-js';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { serve } from '../../../src/cli/serve.ts';
import { readConfig } from '../../../src/config.ts';
import { localExec } from '../../../src/exec.ts';
import { silentLogger } from '../../../src/log.ts';
import { createMetrics } from '../../../src/metrics/metrics.ts';
import { localFiles } from '../../../src/node/files.ts';
import { loadDefinitions } from '../../../src/proto.ts';
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
