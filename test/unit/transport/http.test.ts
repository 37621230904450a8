import { afterEach, expect, test } from 'vitest';
import { healthPages } from '../../../src/pools/health-pages.ts';
import { startHttp } from '../../../src/transport/http.ts';
import type { Pages, RunningHttp } from '../../../src/transport/http.ts';
import { silentLogger } from '../../../src/system/log.ts';

let http: RunningHttp | undefined;
afterEach(async () => {
  await http?.stop();
  http = undefined;
});

async function get(pages: Pages, path: string, method = 'GET') {
  http ??= await startHttp({ host: '127.0.0.1', port: 0 }, pages, silentLogger);
  const response = await fetch(`http://127.0.0.1:${http.port}${path}`, { method });
  return { status: response.status, body: await response.text() };
}

test('ok, or every problem on a line', async () => {
  const problems: string[] = [];
  const pages = healthPages({ alive: async () => [], ready: async () => problems });
  expect(await get(pages, '/healthz')).toEqual({ status: 200, body: 'ok\n' });
  expect(await get(pages, '/readyz?verbose')).toEqual({ status: 200, body: 'ok\n' });
  problems.push("pool 'a': gone", "pool 'b': gone\nfor good");
  expect(await get(pages, '/readyz')).toEqual({ status: 503, body: "pool 'a': gone\npool 'b': gone | for good\n" });
});

test('other pages, other methods, and a page that fails', async () => {
  const pages: Pages = {
    '/metrics': async () => {
      throw new Error('boom');
    },
  };
  expect(await get(pages, '/')).toEqual({ status: 404, body: 'there are /metrics\n' });
  expect((await get(pages, '/toString')).status).toBe(404);
  expect((await get(pages, '/metrics', 'POST')).status).toBe(405);
  expect(await get(pages, '/metrics')).toEqual({ status: 500, body: 'boom\n' });
});

test('an address that is taken is named', async () => {
  http = await startHttp({ host: '127.0.0.1', port: 0 }, {}, silentLogger);
  await expect(startHttp({ host: '127.0.0.1', port: http.port }, {}, silentLogger)).rejects.toThrow(
    `Cannot serve http on 127.0.0.1:${http.port}: `,
  );
});
