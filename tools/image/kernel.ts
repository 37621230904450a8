// The kernel as it lies unpacked in memory, out of the image that a boot loader would unpack: under emulation that takes a
// second of each boot. Layout: Documentation/arch/x86/boot.rst of Linux.

import { zstdDecompressSync } from 'node:zlib';

const SECTOR_BYTES = 512;
const SETUP_SECTORS_AT = 0x1f1;
const MAGIC_AT = 0x202;
const MAGIC = 'HdrS';
const PAYLOAD_OFFSET_AT = 0x248;
const PAYLOAD_LENGTH_AT = 0x24c;
const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
/** Its length when unpacked follows what is packed. */
const TRAILER_BYTES = 4;

/** The ELF file in a bzImage; undefined when it is none, or packed otherwise than Debian does. */
export const unpackedKernel = (image: Buffer): Buffer | undefined => {
  if (image.toString('latin1', MAGIC_AT, MAGIC_AT + MAGIC.length) !== MAGIC) return undefined;
  const start = (image.readUInt8(SETUP_SECTORS_AT) + 1) * SECTOR_BYTES + image.readUInt32LE(PAYLOAD_OFFSET_AT);
  const payload = image.subarray(start, start + image.readUInt32LE(PAYLOAD_LENGTH_AT));
  if (!payload.subarray(0, ZSTD.length).equals(ZSTD)) return undefined;
  return zstdDecompressSync(payload.subarray(0, -TRAILER_BYTES));
};
