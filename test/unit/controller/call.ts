// Calls a service as a client would, without a socket: requests and replies go through the wire form of the .proto files.

import type { ServiceDefinition } from '@grpc/grpc-js';
import { SnapmergeError } from '../../../src/vocabulary/errors.ts';
import type { ErrorKind } from '../../../src/vocabulary/errors.ts';
import { loadDefinitions } from '../../../src/transport/proto.ts';
import type { Reply, Service } from '../../../src/transport/rpc.ts';

export const DEFINITIONS = loadDefinitions();

export type Caller = (method: string, request?: object) => Promise<Reply>;

export function callerOf(definition: ServiceDefinition, service: Service): Caller {
  return async (method, request = {}) => {
    const wire = definition[method];
    const served = service[method];
    if (wire === undefined || served?.kind !== 'unary') throw new Error(`no call ${method}`);
    const arrived: unknown = wire.requestDeserialize(wire.requestSerialize(request));
    const reply = await served.call(arrived, { method, signal: new AbortController().signal });
    return wire.responseDeserialize(wire.responseSerialize(reply));
  };
}

/** The kind and words of the error that a call ends with. */
export async function refusal(call: Promise<unknown>): Promise<{ readonly kind: ErrorKind; readonly message: string }> {
  try {
    await call;
  } catch (error) {
    if (error instanceof SnapmergeError) return { kind: error.kind, message: error.message };
    throw error;
  }
  throw new Error('the call was not refused');
}

/** `ok`, or the kind of the error that a call ends with. */
export async function outcome(call: Promise<unknown>): Promise<'ok' | ErrorKind> {
  try {
    await call;
    return 'ok';
  } catch (error) {
    if (error instanceof SnapmergeError) return error.kind;
    throw error;
  }
}

/** A value inside a reply, by its path. */
export function at(reply: unknown, ...path: readonly (string | number)[]): unknown {
  let value: unknown = reply;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = new Map<string, unknown>(Object.entries(value)).get(String(key));
  }
  return value;
}

export function text(reply: unknown, ...path: readonly (string | number)[]): string {
  const value = at(reply, ...path);
  if (typeof value !== 'string') throw new Error(`no text at ${path.join('.')}`);
  return value;
}

export const MOUNT = { mount: {}, access_mode: { mode: 'SINGLE_NODE_WRITER' } };
export const BLOCK = { block: {}, access_mode: { mode: 'SINGLE_NODE_WRITER' } };
