// The command line's side of the socket: calls of the driver's own services, replies checked. What goes wrong is said
// with what to do about it. Nothing here prints.

import { connect } from 'node:net';
import { Client, credentials, status } from '@grpc/grpc-js';
import type { MethodDefinition, ServiceError } from '@grpc/grpc-js';
import type { z } from 'zod';
import { SnapmergeError, fail } from '../vocabulary/errors.ts';
import type { ErrorKind } from '../vocabulary/errors.ts';
import { loadDefinitions } from '../transport/proto.ts';

export interface DriverClient {
  /** One reply. Errors are SnapmergeError with the driver's own words. */
  readonly call: <S extends z.ZodType>(method: string, request: object, reply: S) => Promise<z.output<S>>;
  /** Many, until the driver ends the stream or the signal fires. */
  readonly stream: <S extends z.ZodType>(
    method: string,
    request: object,
    reply: S,
    signal: AbortSignal,
  ) => AsyncIterable<z.output<S>>;
  readonly close: () => void;
}

/** A restore prepares stores before it answers, and the driver may still be busy with the family. */
const CALL_LIMIT_MS = 15 * 60_000;
/** A look takes seconds; where LVM or the kernel hangs, the driver does too. */
const LOOK_LIMIT_MS = 60_000;

const KINDS: Readonly<Partial<Record<status, ErrorKind>>> = {
  [status.INVALID_ARGUMENT]: 'invalid',
  [status.NOT_FOUND]: 'not-found',
  [status.ALREADY_EXISTS]: 'exists',
  [status.FAILED_PRECONDITION]: 'precondition',
  [status.ABORTED]: 'busy',
  [status.RESOURCE_EXHAUSTED]: 'exhausted',
  [status.OUT_OF_RANGE]: 'out-of-range',
  [status.UNAVAILABLE]: 'unavailable',
  [status.DEADLINE_EXCEEDED]: 'unavailable',
  [status.UNIMPLEMENTED]: 'unavailable',
  [status.CANCELLED]: 'cancelled',
};

const HINT = 'give its path with --socket or SNAPMERGE_SOCKET';

/** Throws `unavailable` unless somebody listens there. */
export async function openDriver(socketPath: string): Promise<DriverClient> {
  await requireListener(socketPath);
  const { restore, inspect } = loadDefinitions();
  const methods = new Map([restore, inspect].flatMap((service) => Object.entries(service)));
  const find = (method: string): MethodDefinition<object, object> =>
    methods.get(method) ?? fail('internal', `Cannot call ${method}: no service has it`);
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
  });
  const failed = (error: ServiceError): SnapmergeError => refusalOf(error, socketPath);
  return {
    call: async (method, request, reply) => {
      const { path, requestSerialize, responseDeserialize } = find(method);
      const deadline = { deadline: Date.now() + (method === 'InspectPools' ? LOOK_LIMIT_MS : CALL_LIMIT_MS) };
      const value = await new Promise<unknown>((resolve, reject) => {
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, deadline, (error, answer) =>
          error === null ? resolve(answer) : reject(failed(error)),
        );
      });
      return read(reply, value, method);
    },
    stream: async function* stream(method, request, reply, signal) {
      const { path, requestSerialize, responseDeserialize } = find(method);
      const messages = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
      const cancel = (): void => messages.cancel();
      signal.addEventListener('abort', cancel, { once: true });
      try {
        for await (const message of messages) yield read(reply, message, method);
      } catch (error) {
        if (signal.aborted) return;
        throw isServiceError(error) ? failed(error) : error;
      } finally {
        signal.removeEventListener('abort', cancel);
        cancel();
      }
    },
    close: () => client.close(),
  };
}

function read<S extends z.ZodType>(schema: S, value: unknown, method: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  return fail(
    'internal',
    `Cannot read the reply to ${method}: ${issue?.path.map(String).join('.')}: ${issue?.message}`,
  );
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error;
}

export function refusalOf(
  { code, details }: Pick<ServiceError, 'code' | 'details'>,
  socketPath: string,
): SnapmergeError {
  const kind = KINDS[code] ?? 'internal';
  if (code === status.UNIMPLEMENTED) {
    return new SnapmergeError(kind, `Cannot ask the driver at ${socketPath}: it is of another version (${details})`);
  }
  if (code === status.DEADLINE_EXCEEDED) {
    return new SnapmergeError(kind, `Cannot wait longer for the driver at ${socketPath}: its log says what it does`);
  }
  if (code === status.UNAVAILABLE) {
    const next = 'try again when it answers (snapmerge status)';
    return new SnapmergeError(kind, `Cannot be served by the driver at ${socketPath}: ${details}; ${next}`);
  }
  return new SnapmergeError(kind, details);
}

/** grpc would say "No connection established"; the system says which of the few reasons it is. */
async function requireListener(socketPath: string): Promise<void> {
  const code = await new Promise<string | undefined>((resolve) => {
    const probe = connect(socketPath);
    probe.once('connect', () => {
      probe.destroy();
      resolve(undefined);
    });
    probe.once('error', (error) => resolve('code' in error ? String(error.code) : error.message));
  });
  if (code !== undefined) fail('unavailable', `Cannot reach the driver: ${whyNot(code, socketPath)}`);
}

export function whyNot(code: string, socketPath: string): string {
  switch (code) {
    case 'ENOENT':
      return `there is no socket ${socketPath}; start the driver, or ${HINT}`;
    case 'ECONNREFUSED':
      return `nobody listens at ${socketPath}; start the driver, or ${HINT}`;
    case 'EACCES':
    case 'EPERM':
      return `${socketPath} is closed to this user; be root`;
    case 'ENOTSOCK':
      return `${socketPath} is no socket; ${HINT}`;
    default:
      return `${socketPath} says ${code}; ${HINT}`;
  }
}
