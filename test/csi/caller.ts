// Calls of any of the driver's services over its socket, as an orchestrator would make them; replies are checked against
// what the caller needs of them.

import { Client, Metadata, credentials, status } from '@grpc/grpc-js';
import type { MethodDefinition, ServiceError } from '@grpc/grpc-js';
import { z } from 'zod';
import { loadDefinitions } from '../../src/transport/proto.ts';

const CALL_LIMIT_MS = 300_000;

/** A call that the driver answered with an error. */
export class Refused extends Error {
  /** As the standard writes it: `FAILED_PRECONDITION`. */
  readonly code: string;
  constructor(method: string, { code, details }: ServiceError) {
    super(`${method}: ${details}`);
    this.name = 'Refused';
    this.code = status[code];
  }
}

export interface Caller {
  readonly call: <T>(method: string, request: object, reply: z.ZodType<T>) => Promise<T>;
  /** A call whose reply is of no interest. */
  readonly tell: (method: string, request: object) => Promise<void>;
  /** All messages of a stream, until it ends. */
  readonly stream: <T>(method: string, request: object, message: z.ZodType<T>) => Promise<readonly T[]>;
  /** The error that a call ends with. */
  readonly refusal: (method: string, request: object) => Promise<Refused>;
  readonly close: () => void;
}

export function createCaller(socketPath: string): Caller {
  const client = new Client(`unix:${socketPath}`, credentials.createInsecure());
  const { identity, controller, node, restore } = loadDefinitions();
  const methods = new Map([identity, controller, node, restore].flatMap((service) => Object.entries(service)));
  const find = (method: string): MethodDefinition<object, object> => {
    const found = methods.get(method);
    if (found === undefined) throw new Error(`Cannot call ${method}: no service has it`);
    return found;
  };
  // A driver that is starting again is waited for, as an orchestrator's retries would.
  const metadata = (): Metadata => new Metadata({ waitForReady: true });
  const deadline = (): { readonly deadline: number } => ({ deadline: Date.now() + CALL_LIMIT_MS });

  const call: Caller['call'] = (method, request, reply) => {
    const { path, requestSerialize, responseDeserialize } = find(method);
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata(),
        deadline(),
        (error, value) => (error === null ? resolve(reply.parse(value)) : reject(new Refused(method, error))),
      );
    });
  };
  return {
    call,
    tell: async (method, request) => {
      await call(method, request, z.unknown());
    },
    stream: async (method, request, message) => {
      const { path, requestSerialize, responseDeserialize } = find(method);
      const stream = client.makeServerStreamRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata(),
        deadline(),
      );
      const messages: z.output<typeof message>[] = [];
      for await (const one of stream) messages.push(message.parse(one));
      return messages;
    },
    refusal: async (method, request) => {
      try {
        await call(method, request, z.unknown());
      } catch (error) {
        if (error instanceof Refused) return error;
        throw error;
      }
      throw new Error(`${method} was not refused`);
    },
    close: () => client.close(),
  };
}
