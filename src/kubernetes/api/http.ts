// Requests to the API server: plain JSON in and out, with the address, the trust and the credentials of a kubeconfig or of
// the pod's service account. Kinds of error instead of status codes; what an answer means is for its reader to check.
//
// By Node's own http and not by the library's client: that parses with WebAssembly, which a Node without a compiler at run time
// (--jitless) does not have, and makes a new connection for each request.

import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import https from 'node:https';
import type { RequestOptions } from 'node:https';
import { KubeConfig } from '@kubernetes/client-node';
import { z } from 'zod';
import { SnapmergeError, messageOf } from '../../vocabulary/errors.ts';
import type { ErrorKind } from '../../vocabulary/errors.ts';

export interface Request {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** From `/api` or `/apis` on. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  /** Of a PATCH: a merge patch. */
  readonly body?: unknown;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: unknown;
}

/** Where an API server is, and who asks it. */
export interface ApiServer {
  /**
   * `not-found`; `exists` and `busy` (changed since it was read) for conflicts; `invalid` for what is refused;
   * `precondition` for what is not allowed; `cancelled` for what a namespace that is being deleted does not take any more;
   * `unavailable` when it does not answer.
   */
  readonly request: (request: Request) => Promise<unknown>;
  /** Resolves when the server ends it, or nothing has come for a while; rejects as `request` does (`out-of-range`: too old). */
  readonly watch: (
    path: string,
    query: Readonly<Record<string, string>>,
    take: (event: WatchEvent) => void,
    signal: AbortSignal,
  ) => Promise<void>;
}

/** For an answer. */
const LIMIT_MS = 30_000;
/**
 * Nothing new, not even that nothing is new, which comes every minute: the connection may have died. The next watch begins
 * where this one ended.
 */
const QUIET_MS = 150_000;

/** `in-cluster`, or the path of a kubeconfig. */
export function connectTo(where: string, quietMs = QUIET_MS): ApiServer {
  const config = new KubeConfig();
  if (where === 'in-cluster') config.loadFromCluster();
  else config.loadFromFile(where);
  const connections: Connections = { http: new http.Agent(KEPT), https: new https.Agent(KEPT) };
  const send = sender(config, connections);
  return {
    request: async (request) => {
      const limit = AbortSignal.timeout(LIMIT_MS);
      try {
        const response = await send(request, limit);
        const text = await textOf(response);
        if (isFine(response)) return JSON.parse(text);
        throw refusal(response, text, request);
      } catch (error) {
        throw error instanceof SnapmergeError ? error : unreachableServer(error);
      }
    },
    watch: async (path, query, take, signal) => {
      const request: Request = { method: 'GET', path, query: { ...query, watch: 'true' } };
      let isQuiet = false;
      try {
        const response = await send(request, signal, LIMIT_MS);
        if (!isFine(response)) throw refusal(response, await textOf(response), request);
        response.setTimeout(quietMs, () => {
          isQuiet = true;
          response.destroy();
        });
        for await (const line of linesOf(response)) {
          const event = parsed(watchEvent, line);
          if (event !== undefined) take(event);
        }
      } catch (error) {
        if (signal.aborted || isQuiet) return;
        throw error instanceof SnapmergeError ? error : unreachableServer(error);
      }
    },
  };
}

const watchEvent = z.object({ type: z.string(), object: z.unknown() });

/** Spares a handshake for each request, which is most of what one costs. */
const KEPT = { keepAlive: true, maxSockets: 8, timeout: 90_000 };

interface Connections {
  readonly http: http.Agent;
  readonly https: https.Agent;
}

/** Resolves with the head of the answer. */
type Send = (request: Request, signal: AbortSignal, headLimitMs?: number) => Promise<IncomingMessage>;

function sender(config: KubeConfig, connections: Connections): Send {
  return async ({ method, path, query = {}, body }, signal, headLimitMs) => {
    const cluster = config.getCurrentCluster();
    const url = new URL(`${cluster?.server ?? ''}${path}`);
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    const options: RequestOptions = { method, signal };
    // Read anew each time, because tokens are changed. With another authority another connection is made.
    await config.applyToHTTPSOptions(options);
    const isSecure = url.protocol === 'https:';
    if (cluster?.proxyUrl === undefined) options.agent = isSecure ? connections.https : connections.http;
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    const content = body === undefined ? {} : { 'content-type': type };
    const { request } = isSecure ? https : http;
    return new Promise((resolve, reject) => {
      const sent = request(url, options, (response) => {
        sent.setTimeout(0);
        resolve(response);
      });
      for (const [name, value] of Object.entries({ accept: 'application/json', ...content }))
        sent.setHeader(name, value);
      sent.once('error', reject);
      if (headLimitMs !== undefined) sent.setTimeout(headLimitMs, () => sent.destroy(new Error('it does not answer')));
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  };
}

/** Rejects when the connection breaks. (The lines of node:readline then neither end nor fail.) */
async function* linesOf(response: IncomingMessage): AsyncGenerator<string> {
  let rest = '';
  response.setEncoding('utf8');
  for await (const part of response) {
    const [first = '', ...others] = String(part).split('\n');
    rest += first;
    for (const next of others) {
      yield rest;
      rest = next;
    }
  }
  if (rest !== '') yield rest;
}

async function textOf(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of response) if (Buffer.isBuffer(part)) parts.push(part);
  return Buffer.concat(parts).toString();
}

function isFine({ statusCode = 0 }: IncomingMessage): boolean {
  return statusCode >= 200 && statusCode < 300;
}

function unreachableServer(error: unknown): SnapmergeError {
  return new SnapmergeError('unavailable', `Cannot reach the API server: ${messageOf(error)}`, { cause: error });
}

function refusal({ statusCode = 0 }: IncomingMessage, text: string, { method, path }: Request): SnapmergeError {
  const { message, reason, details } = parsed(status, text) ?? NO_STATUS;
  const isGoing = details.causes.some((cause) => cause.reason === 'NamespaceTerminating');
  const kind = isGoing ? 'cancelled' : kindOf(statusCode, reason);
  return new SnapmergeError(kind, `Cannot ${method} ${path}: ${statusCode} ${message === '' ? text : message}`);
}

function kindOf(code: number, reason: string): ErrorKind {
  switch (code) {
    case 404:
      return 'not-found';
    case 409:
      return reason === 'AlreadyExists' ? 'exists' : 'busy';
    case 410:
      return 'out-of-range';
    case 400:
    case 422:
      return 'invalid';
    case 401:
    case 403:
    case 405:
      return 'precondition';
    default:
      return 'unavailable';
  }
}

const status = z.object({
  message: z.string().default(''),
  reason: z.string().default(''),
  details: z
    .object({ causes: z.array(z.object({ reason: z.string().default('') })).default([]) })
    .default({ causes: [] }),
});
const NO_STATUS = status.parse({});

function parsed<S extends z.ZodType>(schema: S, text: string): z.output<S> | undefined {
  try {
    return schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
