// Requests to the API server: plain JSON in and out, with the address, the trust and the credentials of a kubeconfig or of
// the pod's service account. Kinds of error instead of status codes; what an answer means is for its reader to check.

import { HttpMethod, IsomorphicFetchHttpLibrary, KubeConfig, RequestContext, Watch } from '@kubernetes/client-node';
import { z } from 'zod';
import { SnapmergeError, messageOf } from '../errors.ts';
import type { ErrorKind } from '../errors.ts';

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

const LIMIT_MS = 30_000;

/** `in-cluster`, or the path of a kubeconfig. */
export function connectTo(where: string): ApiServer {
  const config = new KubeConfig();
  if (where === 'in-cluster') config.loadFromCluster();
  else config.loadFromFile(where);
  const http = new IsomorphicFetchHttpLibrary();
  // The library makes a pool of connections for each request: one that is kept spares a handshake each time.
  let kept: ReturnType<RequestContext['getDispatcher']>;
  return {
    request: async ({ method, path, query = {}, body }) => {
      const server = config.getCurrentCluster()?.server ?? '';
      const context = new RequestContext(`${server}${path}`, HttpMethod[method]);
      for (const [key, value] of Object.entries(query)) context.setQueryParam(key, value);
      try {
        await config.applySecurityAuthentication(context);
        kept ??= context.getDispatcher();
        if (kept !== undefined) context.setDispatcher(kept);
        context.setHeaderParam('Accept', 'application/json');
        if (body !== undefined) {
          const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
          context.setHeaderParam('Content-Type', type);
          context.setBody(JSON.stringify(body));
        }
        context.setSignal(AbortSignal.timeout(LIMIT_MS));
        const response = await http.send(context).toPromise();
        const text = await response.body.text();
        if (response.httpStatusCode < 300) return JSON.parse(text);
        throw refusal(response.httpStatusCode, text, `${method} ${path}`);
      } catch (error) {
        if (error instanceof SnapmergeError) throw error;
        // A certificate authority that was changed is read anew with a new pool.
        kept = undefined;
        throw unreachableServer(error);
      }
    },
    watch: async (path, query, take, signal) => {
      if (signal.aborted) return;
      await new Promise<void>((resolve, reject) => {
        const end = (error: unknown): void => {
          if (error === null || error === undefined || signal.aborted || isQuiet(error)) resolve();
          else reject(refusalOf(error, path));
        };
        const each = (type: string, object: unknown): void => take({ type, object });
        const begin = async (): Promise<void> => {
          const request = await new Watch(config).watch(path, { ...query }, each, end);
          if (signal.aborted) request.abort();
          signal.addEventListener('abort', () => request.abort(), { once: true });
        };
        begin().catch(end);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    },
  };
}

/** The library ends a watch on which nothing has come for half a minute; the next one begins where it ended. */
function isQuiet(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError';
}

function refusalOf(error: unknown, path: string): SnapmergeError {
  const code = error instanceof Error && 'statusCode' in error ? error.statusCode : undefined;
  return typeof code === 'number' ? refusal(code, '', `watch ${path}`) : unreachableServer(error);
}

function unreachableServer(error: unknown): SnapmergeError {
  const cause = error instanceof Error && error.cause !== undefined ? `: ${messageOf(error.cause)}` : '';
  return new SnapmergeError('unavailable', `Cannot reach the API server: ${messageOf(error)}${cause}`, {
    cause: error,
  });
}

function refusal(code: number, text: string, what: string): SnapmergeError {
  const { message, reason, details } = statusIn(text);
  const isGoing = details.causes.some((cause) => cause.reason === 'NamespaceTerminating');
  return new SnapmergeError(
    isGoing ? 'cancelled' : kindOf(code, reason),
    `Cannot ${what}: ${code} ${message === '' ? text : message}`,
  );
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

function statusIn(text: string): z.output<typeof status> {
  try {
    return status.parse(JSON.parse(text));
  } catch {
    return NO_STATUS;
  }
}
