// The server's side of the NBD protocol on a unix socket: fixed newstyle, simple replies, as much as QEMU asks for. What
// the requests do to contents is the business of whoever serves them.

import { rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Socket } from 'node:net';

export type NbdRequest =
  | { readonly do: 'read'; readonly offset: number; readonly length: number }
  | { readonly do: 'write'; readonly offset: number; readonly data: Buffer; readonly fua: boolean }
  /** A discard; this server never promises what is read afterwards. */
  | { readonly do: 'trim'; readonly offset: number; readonly length: number; readonly fua: boolean }
  | { readonly do: 'zero'; readonly offset: number; readonly length: number; readonly fua: boolean }
  | { readonly do: 'flush' };

/** What was read, nothing, an error of the disk's, or no answer ever: the machine waits until it is cut. */
export type NbdReply = Buffer | 'done' | 'io-error' | 'no-answer';

/** A promise where the answer has to wait. */
export type Answer = (request: NbdRequest) => NbdReply | Promise<NbdReply>;

export interface NbdServer {
  /** Drops all connections, with what they had sent and nobody had read. */
  readonly disconnect: () => void;
  readonly close: () => Promise<void>;
}

const OPTION_MAGIC = Buffer.from('IHAVEOPT');
const OPTION_REPLY_MAGIC = 0x3e889045565a9n;
const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;

const FIXED_NEWSTYLE_NO_ZEROES = 3;
/** Has flags, flush, FUA, trim, write zeroes. */
const EXPORT_FLAGS = 0b0110_1101;
const OPTION = { exportName: 1, abort: 2, info: 6, go: 7 } as const;
const REPLY = { ack: 1, info: 3, unsupported: 0x80000001 } as const;
const INFO_EXPORT = 0;
const COMMAND = { read: 0, write: 1, disconnect: 2, flush: 3, trim: 4, zero: 6 } as const;
const COMMAND_FUA = 1;
const EIO = 5;
const EINVAL = 22;
const REQUEST_BYTES = 28;

/** How much of what has arrived is used up; undefined when more has to arrive first. */
type Reader = (received: Buffer) => number | undefined;

export async function serveNbd(path: string, sizeBytes: number, answer: Answer): Promise<NbdServer> {
  await rm(path, { force: true });
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => socket.destroy());
    converse(socket, sizeBytes, answer);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(path, resolve);
  });
  const disconnect = (): void => {
    for (const socket of open) socket.destroy();
  };
  return {
    disconnect,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        disconnect();
      }),
  };
}

function converse(socket: Socket, sizeBytes: number, answer: Answer): void {
  let received: Buffer = Buffer.alloc(0);
  const transmission: Reader = (from) => readRequest(socket, from, answer);
  const options: Reader = (from) => {
    const used = readOption(socket, from, sizeBytes);
    if (used === 'go') read = transmission;
    return typeof used === 'string' ? optionBytes(from) : used;
  };
  const greeting: Reader = (from) => {
    if (from.length < 4) return undefined;
    read = options;
    return 4;
  };
  let read = greeting;
  const hello = Buffer.alloc(18);
  hello.write('NBDMAGICIHAVEOPT');
  hello.writeUInt16BE(FIXED_NEWSTYLE_NO_ZEROES, 16);
  socket.write(hello);
  socket.on('data', (piece: Buffer) => {
    received = received.length === 0 ? piece : Buffer.concat([received, piece]);
    for (let used = read(received); used !== undefined; used = read(received)) {
      received = received.subarray(used);
      if (socket.destroyed) return;
    }
  });
}

function optionBytes(from: Buffer): number {
  return 16 + from.readUInt32BE(12);
}

function readOption(socket: Socket, from: Buffer, sizeBytes: number): number | 'go' | undefined {
  if (from.length < 16 || from.length < optionBytes(from)) return undefined;
  if (!from.subarray(0, 8).equals(OPTION_MAGIC)) socket.destroy();
  const option = from.readUInt32BE(8);
  const reply = (type: number, data: Buffer = Buffer.alloc(0)): void => {
    const head = Buffer.alloc(20);
    head.writeBigUInt64BE(OPTION_REPLY_MAGIC, 0);
    head.writeUInt32BE(option, 8);
    head.writeUInt32BE(type, 12);
    head.writeUInt32BE(data.length, 16);
    socket.write(Buffer.concat([head, data]));
  };
  const size = Buffer.alloc(10);
  size.writeBigUInt64BE(BigInt(sizeBytes), 0);
  size.writeUInt16BE(EXPORT_FLAGS, 8);
  switch (option) {
    case OPTION.exportName:
      socket.write(size);
      return 'go';
    case OPTION.info:
    case OPTION.go: {
      const type = Buffer.alloc(2);
      type.writeUInt16BE(INFO_EXPORT, 0);
      reply(REPLY.info, Buffer.concat([type, size]));
      reply(REPLY.ack);
      return option === OPTION.go ? 'go' : optionBytes(from);
    }
    case OPTION.abort:
      reply(REPLY.ack);
      socket.end();
      return optionBytes(from);
    default:
      reply(REPLY.unsupported);
      return optionBytes(from);
  }
}

function readRequest(socket: Socket, from: Buffer, answer: Answer): number | undefined {
  if (from.length < REQUEST_BYTES) return undefined;
  if (from.readUInt32BE(0) !== REQUEST_MAGIC) {
    socket.destroy();
    return REQUEST_BYTES;
  }
  const command = from.readUInt16BE(6);
  const length = from.readUInt32BE(24);
  const total = REQUEST_BYTES + (command === COMMAND.write ? length : 0);
  if (from.length < total) return undefined;
  if (command === COMMAND.disconnect) {
    socket.end();
    return total;
  }
  const cookie = Buffer.from(from.subarray(8, 16));
  const request = requestOf(command, from, length);
  const said = request === undefined ? undefined : answer(request);
  if (said instanceof Promise) void said.then((later) => reply(socket, cookie, later));
  else reply(socket, cookie, said);
  return total;
}

function reply(socket: Socket, cookie: Buffer, said: NbdReply | undefined): void {
  if (said === 'no-answer') return;
  const head = Buffer.alloc(16);
  head.writeUInt32BE(REPLY_MAGIC, 0);
  head.writeUInt32BE(said === undefined ? EINVAL : said === 'io-error' ? EIO : 0, 4);
  cookie.copy(head, 8);
  socket.write(said instanceof Buffer ? Buffer.concat([head, said]) : head);
}

function requestOf(command: number, from: Buffer, length: number): NbdRequest | undefined {
  const offset = Number(from.readBigUInt64BE(16));
  const fua = (from.readUInt16BE(4) & COMMAND_FUA) !== 0;
  switch (command) {
    case COMMAND.read:
      return { do: 'read', offset, length };
    case COMMAND.write:
      // A copy: what has arrived is one large buffer, which must not be kept alive by a small write.
      return { do: 'write', offset, data: Buffer.from(from.subarray(REQUEST_BYTES, REQUEST_BYTES + length)), fua };
    case COMMAND.flush:
      return { do: 'flush' };
    case COMMAND.trim:
      return { do: 'trim', offset, length, fua };
    case COMMAND.zero:
      return { do: 'zero', offset, length, fua };
    default:
      return undefined;
  }
}
