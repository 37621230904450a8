import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { connectTo } from '../../../../src/kubernetes/api/http.ts';
import type { ApiServer, WatchEvent } from '../../../../src/kubernetes/api/http.ts';

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function serve(
  answer: (request: IncomingMessage, response: ServerResponse) => void,
  quietMs?: number,
): Promise<ApiServer> {
  const server: Server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' ? address?.port : undefined;
  const dir = await mkdtemp(join(tmpdir(), 'snapmerge-http-'));
  const path = join(dir, 'kubeconfig');
  const config = {
    clusters: [{ name: 'c', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user: { token: 'secret' } }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  await writeFile(path, JSON.stringify(config));
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(dir, { recursive: true });
  });
  return connectTo(path, quietMs);
}

test('a request carries who asks, what for, and a merge patch as such', async () => {
  let seen: readonly unknown[] = [];
  const api = await serve((request, response) => {
    let body = '';
    request.on('data', (part) => (body += String(part)));
    request.on('end', () => {
      const { authorization, 'content-type': type } = request.headers;
      seen = [request.method, request.url, authorization, type, body];
      response.end('{"kind":"Thing"}');
    });
  });
  expect(await api.request({ method: 'PATCH', path: '/api/v1/x', query: { a: 'b=c' }, body: { k: null } })).toEqual({
    kind: 'Thing',
  });
  expect(seen).toEqual(['PATCH', '/api/v1/x?a=b%3Dc', 'Bearer secret', 'application/merge-patch+json', '{"k":null}']);
});

const TERMINATING = { reason: 'Forbidden', details: { causes: [{ reason: 'NamespaceTerminating' }] } };

test.each([
  [404, {}, 'not-found'],
  [409, { reason: 'AlreadyExists' }, 'exists'],
  [409, { reason: 'Conflict' }, 'busy'],
  [410, {}, 'out-of-range'],
  [400, {}, 'invalid'],
  [422, {}, 'invalid'],
  [401, {}, 'precondition'],
  [403, { reason: 'Forbidden' }, 'precondition'],
  [403, TERMINATING, 'cancelled'],
  [429, {}, 'unavailable'],
  [500, {}, 'unavailable'],
])('%d %j: %s', async (code, body, kind) => {
  const api = await serve((_, response) => {
    response.statusCode = code;
    response.end(JSON.stringify({ kind: 'Status', message: 'what it says', ...body }));
  });
  await expect(api.request({ method: 'GET', path: '/api/v1/x' })).rejects.toMatchObject({
    kind,
    message: `Cannot GET /api/v1/x: ${code} what it says`,
  });
});

test('what is no status is told as it is', async () => {
  const api = await serve((_, response) => {
    response.statusCode = 502;
    response.end('bad gateway');
  });
  await expect(api.request({ method: 'GET', path: '/x' })).rejects.toThrow('502 bad gateway');
});

test('nobody there', async () => {
  const api = await serve((request) => request.socket.destroy());
  await expect(api.request({ method: 'GET', path: '/x' })).rejects.toMatchObject({ kind: 'unavailable' });
  await expect(api.watch('/x', {}, () => undefined, new AbortController().signal)).rejects.toMatchObject({
    kind: 'unavailable',
  });
});

test('a watch: events as they come, the end, a refusal, and an end of ours', async () => {
  const taken: WatchEvent[] = [];
  const api = await serve((request, response) => {
    if (request.url?.startsWith('/old') === true) {
      response.statusCode = 410;
      response.end('{}');
      return;
    }
    response.write('{"type":"ADDED","object":{"n":1}}\n');
    if (request.url?.startsWith('/short') === true) response.end('{"type":"DELETED","object":{"n":2}}\n');
  });
  const never = new AbortController().signal;
  await api.watch('/short', { resourceVersion: '5' }, (event) => taken.push(event), never);
  expect(taken).toEqual([
    { type: 'ADDED', object: { n: 1 } },
    { type: 'DELETED', object: { n: 2 } },
  ]);
  await expect(api.watch('/old', {}, () => undefined, never)).rejects.toMatchObject({ kind: 'out-of-range' });
  const ending = new AbortController();
  await api.watch('/long', {}, () => ending.abort(), ending.signal);
  await api.watch('/long', {}, () => expect.unreachable(), ending.signal);
});

test('a watch that breaks says so, in the middle of a line too', async () => {
  const taken: WatchEvent[] = [];
  const api = await serve((_, response) => {
    response.write('{"type":"ADDED","object":{"n":1}}\n{"type":"ADDED",');
    setTimeout(() => response.destroy(), 10);
  });
  const watch = api.watch('/x', {}, (event) => taken.push(event), new AbortController().signal);
  await expect(watch).rejects.toMatchObject({ kind: 'unavailable' });
  expect(taken).toEqual([{ type: 'ADDED', object: { n: 1 } }]);
});

test('a watch on which nothing comes any more ends', async () => {
  const taken: WatchEvent[] = [];
  const answer = (_: IncomingMessage, response: ServerResponse): void => {
    response.write('{"type":"ADDED","object":{"n":1}}\n');
  };
  const api = await serve(answer, 200);
  await api.watch('/x', {}, (event) => taken.push(event), new AbortController().signal);
  expect(taken.length).toBeLessThanOrEqual(1);
});
