// The one HTTP server: plain text by path, for probes and for Prometheus. Reading only; nothing here changes anything.

import { createServer } from 'node:http';
import type { Server, ServerResponse } from 'node:http';
import { fail, messageOf } from '../vocabulary/errors.ts';
import type { Logger } from '../system/log.ts';

export interface Page {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** What is served, by path. */
export type Pages = Readonly<Record<string, () => Promise<Page>>>;

export interface RunningHttp {
  /** The one asked for, or the one drawn where that was 0. */
  readonly port: number;
  readonly stop: () => Promise<void>;
}

export const PLAIN_TEXT = 'text/plain; charset=utf-8';

/** Probes and scrapes have no body and few headers. */
const REQUEST_LIMIT_MS = 10_000;

/** `precondition` when the address cannot be listened on. */
export async function startHttp({ host, port }: HttpAddress, pages: Pages, log: Logger): Promise<RunningHttp> {
  const server = createServer(
    { requestTimeout: REQUEST_LIMIT_MS, headersTimeout: REQUEST_LIMIT_MS },
    (request, response) => {
      const path = (request.url ?? '').split('?')[0] ?? '';
      const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
      if (request.method !== 'GET' && request.method !== 'HEAD') {
        send(response, { status: 405, contentType: PLAIN_TEXT, body: 'GET only\n' });
      } else if (page === undefined) {
        send(response, { status: 404, contentType: PLAIN_TEXT, body: `there are ${Object.keys(pages).join(', ')}\n` });
      } else {
        void answer(response, page, path, log);
      }
    },
  );
  await listening(server, host, port);
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  log.info({ host: host ?? '*', port: bound }, 'serving http');
  return {
    port: bound,
    stop: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function answer(response: ServerResponse, page: () => Promise<Page>, path: string, log: Logger): Promise<void> {
  try {
    send(response, await page());
  } catch (error) {
    log.error({ path, error: messageOf(error) }, 'http');
    send(response, { status: 500, contentType: PLAIN_TEXT, body: `${messageOf(error)}\n` });
  }
}

function send(response: ServerResponse, { status, contentType, body }: Page): void {
  response.writeHead(status, { 'content-type': contentType, 'cache-control': 'no-store' });
  response.end(body);
}

async function listening(server: Server, host: string | undefined, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve);
  }).catch((cause: unknown) =>
    fail('precondition', `Cannot serve http on ${host ?? '*'}:${port}: ${messageOf(cause)}`, cause),
  );
}

export interface HttpAddress {
  /** Undefined: all addresses of the machine. */
  readonly host: string | undefined;
  readonly port: number;
}
