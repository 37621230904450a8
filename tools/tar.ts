// Writes tar archives (ustar) in memory: what goes into a guest at boot or later. Plain files only; folders are made by
// whoever unpacks.

export interface TarFile {
  /** Relative, at most 100 bytes. */
  readonly path: string;
  readonly content: Uint8Array | string;
  readonly executable?: boolean;
}

const BLOCK_BYTES = 512;

const octal = (value: number, lengthBytes: number): string => `${value.toString(8).padStart(lengthBytes - 1, '0')}\0`;

const header = (path: string, mode: number, sizeBytes: number): Buffer => {
  if (Buffer.byteLength(path) > 100) throw new RangeError(`Cannot put '${path}' into a tar: the name is too long`);
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(path, 0);
  block.write(octal(mode, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(sizeBytes, 12), 124);
  block.write(octal(0, 12), 136);
  block.write('        0', 148);
  block.write('ustar\x0000', 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return block;
};

/** The same files make the same bytes. */
export const tar = (files: readonly TarFile[]): Buffer => {
  const parts = files.flatMap(({ path, content, executable }) => {
    const bytes = Buffer.from(content);
    const paddingBytes = (BLOCK_BYTES - (bytes.length % BLOCK_BYTES)) % BLOCK_BYTES;
    return [header(path, executable === true ? 0o755 : 0o644, bytes.length), bytes, Buffer.alloc(paddingBytes)];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)]);
};
