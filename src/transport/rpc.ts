// What a gRPC handler looks like here, and the only room that knows gRPC: `async (request, context) => response` on one
// side, grpc-js on the other, and between them one function from error to status and one log line for each call.

import { status } from '@grpc/grpc-js';
import type {
  Metadata,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedServiceImplementation,
  sendUnaryData,
} from '@grpc/grpc-js';
import type { z } from 'zod';
import { SnapmergeError, messageOf } from '../vocabulary/errors.ts';
import type { ErrorKind } from '../vocabulary/errors.ts';
import type { Logger } from '../system/log.ts';
import { namedObjects } from '../vocabulary/object-names.ts';

export interface CallContext {
  /** `CreateVolume`, without the service. */
  readonly method: string;
  /** Fires when the caller goes away or the server stops. */
  readonly signal: AbortSignal;
}

/** A reply as plain values in the names of the .proto file. */
export type Reply = object;

export interface Unary<R extends Reply = Reply> {
  readonly kind: 'unary';
  readonly call: (request: unknown, context: CallContext) => Promise<R>;
}

export interface Stream<R extends Reply = Reply> {
  readonly kind: 'stream';
  readonly call: (request: unknown, context: CallContext) => AsyncIterable<R>;
}

export type Method = Unary | Stream;

export type Service = Readonly<Record<string, Method>>;

/**
 * The calls of a service with the replies that its .proto file has, from the types that are made of that file (`npm run proto`).
 * Those that are left out answer UNIMPLEMENTED.
 */
export type ServiceOf<Handlers> = {
  readonly [Name in keyof Handlers as string extends Name ? never : Name]?: MethodOf<Handlers[Name]>;
};

type MethodOf<Handler> = Handler extends (call: infer Call) => void
  ? Call extends { write: (reply: infer R extends Reply) => unknown }
    ? Stream<R>
    : never
  : Handler extends (call: never, send: sendUnaryData<infer R>) => void
    ? Unary<Extract<R, Reply>>
    : never;

/** A call with one reply. The schema checks what arrives; what it says is wrong becomes INVALID_ARGUMENT. */
export function unary<S extends z.ZodType, R extends Reply>(
  schema: S,
  handler: (request: z.output<S>, context: CallContext) => Promise<R>,
): Unary<R> {
  return { kind: 'unary', call: async (raw, context) => handler(parse(schema, raw, context.method), context) };
}

/** A call with many replies. */
export function stream<S extends z.ZodType, R extends Reply>(
  schema: S,
  handler: (request: z.output<S>, context: CallContext) => AsyncIterable<R>,
): Stream<R> {
  return { kind: 'stream', call: (raw, context) => handler(parse(schema, raw, context.method), context) };
}

function parse<S extends z.ZodType>(schema: S, raw: unknown, method: string): z.output<S> {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const wrong = result.error.issues.map(({ path, message }) => `${path.map(String).join('.')} ${message}`);
  throw new SnapmergeError('invalid', `Cannot take this ${method} request: ${wrong.join('; ')}`);
}

const CODES: Readonly<Record<ErrorKind, status>> = {
  invalid: status.INVALID_ARGUMENT,
  'not-found': status.NOT_FOUND,
  exists: status.ALREADY_EXISTS,
  precondition: status.FAILED_PRECONDITION,
  busy: status.ABORTED,
  exhausted: status.RESOURCE_EXHAUSTED,
  'out-of-range': status.OUT_OF_RANGE,
  unavailable: status.UNAVAILABLE,
  // The state of the volume forbids it, and only a person can change that: no retry helps, nothing has been touched.
  contradiction: status.FAILED_PRECONDITION,
  cancelled: status.CANCELLED,
  internal: status.INTERNAL,
};

export function codeOf(error: unknown): status {
  return error instanceof SnapmergeError ? CODES[error.kind] : status.INTERNAL;
}

/** Status messages travel in a header: long ones would break the call instead of explaining it. */
const MAX_MESSAGE_CHARS = 2000;

function statusOf(error: unknown): { readonly code: status; readonly details: string } {
  const words = messageOf(error);
  const details = words.length > MAX_MESSAGE_CHARS ? `${words.slice(0, MAX_MESSAGE_CHARS)}...` : words;
  return { code: codeOf(error), details };
}

/** The only fields of a request that are ever logged, with the names of objects; secrets and mount options are not. */
const LOGGED_FIELDS = [
  'name',
  'volume_id',
  'snapshot_id',
  'source_volume_id',
  'restore_id',
  'staging_target_path',
  'target_path',
  'volume_path',
] as const;

export function loggedFields(request: unknown): Readonly<Record<string, string>> {
  if (typeof request !== 'object' || request === null) return {};
  const entries = new Map<string, unknown>(Object.entries(request));
  const logged = LOGGED_FIELDS.flatMap((field): readonly (readonly [string, string])[] => {
    const value = entries.get(field);
    return typeof value === 'string' && value !== '' ? [[field, value.slice(0, 512)]] : [];
  });
  return {
    ...Object.fromEntries(logged),
    ...namedObjects(texts(entries.get('parameters')), texts(entries.get('volume_context'))),
  };
}

function texts(value: unknown): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) return {};
  const entries: readonly (readonly [string, unknown])[] = Object.entries(value);
  return Object.fromEntries(entries.flatMap(([key, text]) => (typeof text === 'string' ? [[key, text]] : [])));
}

export interface RpcOptions {
  readonly log: Logger;
  /** Milliseconds that only go up. */
  readonly now: () => number;
  /** Fires when the server begins to stop: streams end. */
  readonly stopping: AbortSignal;
  /** Hears of every call when it has ended. */
  readonly called?: Called | undefined;
}

/** `code` as gRPC names it, such as `NOT_FOUND`. */
export type Called = (method: string, code: string, seconds: number) => void;

/** A service as grpc-js wants it. Calls of the definition that the service does not have answer UNIMPLEMENTED. */
export function implementation(
  definition: ServiceDefinition,
  service: Service,
  options: RpcOptions,
): UntypedServiceImplementation {
  const handlers: UntypedServiceImplementation = {};
  for (const method of Object.keys(definition)) {
    const served = service[method];
    if (served === undefined) continue;
    handlers[method] =
      served.kind === 'unary'
        ? unaryHandler(method, served.call, options)
        : streamHandler(method, served.call, options);
  }
  return handlers;
}

type UnaryCall = Extract<Method, { readonly kind: 'unary' }>['call'];
type StreamCall = Extract<Method, { readonly kind: 'stream' }>['call'];

function unaryHandler(method: string, run: UnaryCall, options: RpcOptions) {
  const answer = async (call: ServerUnaryCall<unknown, Reply>, send: sendUnaryData<Reply>): Promise<void> => {
    const signal = abortOnCancel(call);
    const done = logged(method, call.request, options);
    try {
      const reply = await run(call.request, { method, signal });
      done(undefined);
      send(null, reply);
    } catch (error) {
      done(error);
      send(statusOf(error));
    }
  };
  return (call: ServerUnaryCall<unknown, Reply>, send: sendUnaryData<Reply>): void => void answer(call, send);
}

function streamHandler(method: string, run: StreamCall, options: RpcOptions) {
  const answer = async (call: ServerWritableStream<unknown, Reply>): Promise<void> => {
    const signal = AbortSignal.any([abortOnCancel(call), options.stopping]);
    const done = logged(method, call.request, options);
    try {
      await writeAll(call, run, method, signal);
      done(undefined);
      call.end();
    } catch (error) {
      done(error);
      call.emit('error', statusOf(error));
    }
  };
  return (call: ServerWritableStream<unknown, Reply>): void => void answer(call);
}

async function writeAll(
  call: ServerWritableStream<unknown, Reply>,
  run: StreamCall,
  method: string,
  signal: AbortSignal,
): Promise<void> {
  for await (const reply of run(call.request, { method, signal })) {
    if (signal.aborted) return;
    if (!call.write(reply)) await drained(call, signal);
  }
}

async function drained(call: ServerWritableStream<unknown, Reply>, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    call.once('drain', resolve);
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

interface Cancellable {
  readonly metadata: Metadata;
  on: (event: 'cancelled', listener: () => void) => unknown;
}

function abortOnCancel(call: Cancellable): AbortSignal {
  const controller = new AbortController();
  call.on('cancelled', () => controller.abort());
  return controller.signal;
}

/** One line per call, written when it ends. What nobody expected also shows where it came from. */
function logged(method: string, request: unknown, { log, now, called }: RpcOptions): (error: unknown) => void {
  const startedMs = now();
  const fields = loggedFields(request);
  return (error) => {
    const elapsedMs = now() - startedMs;
    const durationMs = Math.round(elapsedMs);
    called?.(method, error === undefined ? 'OK' : status[codeOf(error)], elapsedMs / 1000);
    if (error === undefined) {
      log.info({ method, ...fields, code: 'OK', durationMs }, 'rpc');
      return;
    }
    const code = status[codeOf(error)];
    const line = { method, ...fields, code, durationMs, error: messageOf(error) };
    if (code === 'INTERNAL') log.error({ ...line, stack: error instanceof Error ? error.stack : undefined }, 'rpc');
    else log.info(line, 'rpc');
  };
}
