// Runs commands in a guest over its agent. A connection carries one command at a time and goes back to a pool, so a
// command costs one round trip; many commands at once are many connections.

import { constants } from 'node:os';
import type { Socket } from 'node:net';
import type { Connector } from './connect.ts';
import { GuestError } from './fault.ts';
import { commandPayload, frame, frameReader } from './frames.ts';
import type { Frame } from './frames.ts';

export interface ExecOptions {
  readonly stdin?: Uint8Array | string | AsyncIterable<Uint8Array>;
  /** Added to the guest's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** `/` unless told. */
  readonly cwd?: string;
  /** When it has passed, the command and its process group are killed and the result says `timedOut`. */
  readonly timeoutMs?: number;
  /** Kills the command and its process group. */
  readonly signal?: AbortSignal;
  /** Called with output as it arrives, which then is not collected in the result. */
  readonly onStdout?: (bytes: Uint8Array) => void;
  readonly onStderr?: (bytes: Uint8Array) => void;
}

export interface ExecResult {
  /** Null when a signal ended it. */
  readonly code: number | null;
  /** `SIGKILL` and so on, null when it ended by itself. */
  readonly signal: string | null;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly timedOut: boolean;
}

export interface Channel {
  readonly exec: (argv: readonly string[], options?: ExecOptions) => Promise<ExecResult>;
  /** Closes every connection; commands under way are lost. */
  readonly close: () => void;
}

const INPUT_PIECE_BYTES = 1024 * 1024;

interface Line {
  readonly socket: Socket;
  /** What to do with frames of the command under way. */
  onFrame: (frame: Frame) => void;
  onLost: (cause?: Error) => void;
}

const signalName = (number: number): string =>
  Object.entries(constants.signals).find(([, value]) => value === number)?.[0] ?? `SIG${number}`;

const lineOn = (socket: Socket): Line => {
  const read = frameReader();
  const line: Line = { socket, onFrame: () => socket.destroy(), onLost: () => undefined };
  socket.on('data', (piece: Buffer) => {
    for (const received of read(piece)) line.onFrame(received);
  });
  socket.on('error', (cause) => line.onLost(cause));
  socket.on('end', () => socket.destroy());
  socket.on('close', () => line.onLost());
  socket.resume();
  return line;
};

const drained = (socket: Socket): Promise<void> =>
  new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });

const sendInput = async (socket: Socket, stdin: ExecOptions['stdin'], stopped: () => boolean): Promise<void> => {
  const source = typeof stdin === 'string' ? Buffer.from(stdin) : stdin;
  const pieces = source === undefined ? [] : source instanceof Uint8Array ? [source] : source;
  for await (const piece of pieces) {
    for (let offset = 0; offset < piece.length; offset += INPUT_PIECE_BYTES) {
      if (stopped()) return;
      if (!socket.write(frame('I', piece.subarray(offset, offset + INPUT_PIECE_BYTES)))) await drained(socket);
    }
  }
  if (!stopped()) socket.write(frame('E'));
};

const runOn = (line: Line, argv: readonly string[], options: ExecOptions): Promise<ExecResult> =>
  new Promise((resolve, reject) => {
    const stdout: Uint8Array[] = [];
    const stderr: Uint8Array[] = [];
    let timedOut = false;
    let ended = false;
    const kill = (): void => void line.socket.write(frame('K', String(constants.signals.SIGKILL)));
    const limit =
      options.timeoutMs === undefined
        ? undefined
        : setTimeout(() => {
            timedOut = true;
            kill();
          }, options.timeoutMs);
    const end = (): void => {
      ended = true;
      clearTimeout(limit);
      options.signal?.removeEventListener('abort', kill);
      line.onFrame = () => line.socket.destroy();
      line.onLost = () => undefined;
    };
    const shown = argv.join(' ');
    line.onLost = (cause) => {
      end();
      reject(new GuestError('lost', `Cannot finish '${shown}': the guest is gone`, { cause }));
    };
    line.onFrame = ({ type, payload }) => {
      switch (type) {
        case 'o':
          if (options.onStdout) options.onStdout(payload);
          else stdout.push(payload);
          return;
        case 'e':
          if (options.onStderr) options.onStderr(payload);
          else stderr.push(payload);
          return;
        case 'x': {
          end();
          const status = payload.readUInt32BE(0);
          const signal = status & 0x7f;
          resolve({
            code: signal === 0 ? status >> 8 : null,
            signal: signal === 0 ? null : signalName(signal),
            stdout: Buffer.concat(stdout),
            stderr: Buffer.concat(stderr),
            timedOut,
          });
          return;
        }
        case 'f':
          end();
          reject(new GuestError('cannot-start', `Cannot start '${shown}' in the guest: ${payload.toString()}`));
          return;
        default:
          line.socket.destroy();
          line.onLost(new Error(`frame of type ${JSON.stringify(type)}`));
      }
    };
    options.signal?.addEventListener('abort', kill);
    const run = frame('R', commandPayload({ argv, cwd: options.cwd ?? '/', env: options.env ?? {} }));
    if (options.stdin === undefined) {
      // One packet instead of two for the commonest case.
      line.socket.write(Buffer.concat([run, frame('E')]));
    } else {
      line.socket.write(run);
      sendInput(line.socket, options.stdin, () => ended).catch((cause: unknown) => {
        line.socket.destroy();
        line.onLost(cause instanceof Error ? cause : new Error(String(cause)));
      });
    }
    if (options.signal?.aborted === true) kill();
  });

export const openChannel = (connect: Connector, port: number): Channel => {
  const idle: Line[] = [];
  const all = new Set<Line>();
  let closed = false;

  const take = async (): Promise<Line> => {
    for (;;) {
      const line = idle.pop();
      if (line === undefined) break;
      if (!line.socket.destroyed) {
        line.socket.ref();
        return line;
      }
    }
    const line = lineOn(await connect(port));
    all.add(line);
    line.socket.on('close', () => all.delete(line));
    return line;
  };

  const giveBack = (line: Line): void => {
    if (closed || line.socket.destroyed) {
      line.socket.destroy();
      return;
    }
    // A connection that nobody uses must not keep the process alive.
    line.socket.unref();
    idle.push(line);
  };

  return {
    exec: async (argv, options = {}) => {
      if (closed) throw new GuestError('lost', `Cannot run '${argv.join(' ')}': the guest is not running`);
      const line = await take();
      try {
        return await runOn(line, argv, options);
      } finally {
        giveBack(line);
      }
    },
    close: () => {
      closed = true;
      for (const line of all) line.socket.destroy();
    },
  };
};
