// The frames of the command channel, pure: type (1 byte), length (4 bytes, big endian), payload. The other end is
// guest/agent.pl, which lists the types.

export interface Frame {
  readonly type: string;
  readonly payload: Buffer;
}

const HEADER_BYTES = 5;
/** The agent refuses longer ones. */
const PAYLOAD_MAX_BYTES = 16 * 1024 ** 2;

export const frame = (type: string, payload: string | Uint8Array = ''): Buffer => {
  const body = typeof payload === 'string' ? Buffer.from(payload) : payload;
  if (body.length > PAYLOAD_MAX_BYTES) throw new RangeError(`Cannot send a frame of ${body.length} bytes`);
  const header = Buffer.alloc(HEADER_BYTES);
  header.write(type, 0, 'latin1');
  header.writeUInt32BE(body.length, 1);
  return Buffer.concat([header, body]);
};

/** The first whole frame of `bytes` and what follows it; undefined while it is not all there. */
export const takeFrame = (bytes: Buffer): { readonly frame: Frame; readonly rest: Buffer } | undefined => {
  if (bytes.length < HEADER_BYTES) return undefined;
  const endOffset = HEADER_BYTES + bytes.readUInt32BE(1);
  if (bytes.length < endOffset) return undefined;
  return {
    frame: { type: bytes.toString('latin1', 0, 1), payload: bytes.subarray(HEADER_BYTES, endOffset) },
    rest: bytes.subarray(endOffset),
  };
};

/** Turns the pieces of a stream into frames; a piece may hold none or many. */
export const frameReader = (): ((piece: Buffer) => readonly Frame[]) => {
  let rest: Buffer = Buffer.alloc(0);
  return (piece) => {
    rest = rest.length === 0 ? piece : Buffer.concat([rest, piece]);
    const frames: Frame[] = [];
    for (let taken = takeFrame(rest); taken !== undefined; taken = takeFrame(rest)) {
      frames.push(taken.frame);
      rest = taken.rest;
    }
    return frames;
  };
};

export interface Command {
  readonly argv: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
}

export const commandPayload = ({ argv, cwd, env }: Command): string => {
  const pairs = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  const words = [cwd, String(pairs.length), ...pairs, ...argv];
  const bad = words.find((word) => word.includes('\0'));
  if (bad !== undefined) throw new TypeError(`Cannot pass ${JSON.stringify(bad)} to a program: it holds a zero byte`);
  return words.join('\0');
};
