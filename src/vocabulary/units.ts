// Sizes as types. Bytes and sectors are both bigints and must never be mixed by accident, so each has a brand and the
// only casts of the code base are here. Nothing but arithmetic and text may enter.

/** A length or offset in bytes, never negative. */
export type Bytes = bigint & { readonly unit: 'bytes' };
/** A length or offset in sectors of 512 bytes, the unit of every device-mapper table and status line. */
export type Sectors = bigint & { readonly unit: 'sectors' };

export const SECTOR_BYTES = 512n;

/** Largest chunk size a pool may use; every volume size is a multiple of it (design law: no piece between end and chunk). */
export const MAX_CHUNK_BYTES: Bytes = bytes(512n * 1024n);
export const MIN_CHUNK_BYTES: Bytes = bytes(4n * 1024n);

export function bytes(value: bigint | number): Bytes {
  const n = BigInt(value);
  if (n < 0n) throw new RangeError(`Cannot take ${n} as bytes: it is negative`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the constructor of the brand
  return n as Bytes;
}

export function sectors(value: bigint | number): Sectors {
  const n = BigInt(value);
  if (n < 0n) throw new RangeError(`Cannot take ${n} as sectors: it is negative`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the constructor of the brand
  return n as Sectors;
}

export function kib(value: bigint | number): Bytes {
  return bytes(BigInt(value) * 1024n);
}

export function mib(value: bigint | number): Bytes {
  return bytes(BigInt(value) * 1024n ** 2n);
}

export function gib(value: bigint | number): Bytes {
  return bytes(BigInt(value) * 1024n ** 3n);
}

export function toBytes(value: Sectors): Bytes {
  return bytes(value * SECTOR_BYTES);
}

/** Sectors of a byte count that is a whole number of sectors; throws otherwise. */
export function toSectors(value: Bytes): Sectors {
  if (value % SECTOR_BYTES !== 0n) throw new RangeError(`Cannot take ${value} bytes as sectors: not a multiple of 512`);
  return sectors(value / SECTOR_BYTES);
}

/** The smallest multiple of `unit` that is not below `value`. */
export function roundUp(value: Bytes, unit: Bytes): Bytes {
  return bytes(((value + unit - 1n) / unit) * unit);
}

/** The smallest that both divide. Neither is 0. */
export function leastCommonMultiple(a: Bytes, b: Bytes): Bytes {
  let [divisor, rest]: [bigint, bigint] = [a, b];
  while (rest !== 0n) [divisor, rest] = [rest, divisor % rest];
  return bytes((a / divisor) * b);
}

export function roundDown(value: Bytes, unit: Bytes): Bytes {
  return bytes((value / unit) * unit);
}

export function maxBytes(a: Bytes, b: Bytes): Bytes {
  return a > b ? a : b;
}

export function minBytes(a: Bytes, b: Bytes): Bytes {
  return a < b ? a : b;
}

export function isPowerOfTwo(value: bigint): boolean {
  return value > 0n && (value & (value - 1n)) === 0n;
}

/** For people: `1.50 GiB`, `12 MiB`, `512 B`. */
export function formatBytes(value: bigint): string {
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let scaled = Number(value);
  let index = 0;
  while (scaled >= 1024 && index < names.length - 1) {
    scaled /= 1024;
    index += 1;
  }
  const text = Number.isInteger(scaled) ? scaled.toString() : scaled.toFixed(2);
  return `${text} ${names[index] ?? 'B'}`;
}

const QUANTITY = /^(\d{1,19})(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$/;
const FACTORS: Readonly<Record<string, bigint>> = {
  Ki: 1024n,
  Mi: 1024n ** 2n,
  Gi: 1024n ** 3n,
  Ti: 1024n ** 4n,
  Pi: 1024n ** 5n,
  k: 1000n,
  M: 1000n ** 2n,
  G: 1000n ** 3n,
  T: 1000n ** 4n,
  P: 1000n ** 5n,
};

/** Parses a Kubernetes quantity without fraction (`8Ki`, `1Gi`, `4096`); undefined when it is not one. */
export function parseQuantity(text: string): Bytes | undefined {
  const match = QUANTITY.exec(text);
  if (match === null) return undefined;
  const [, digits, suffix] = match;
  if (digits === undefined) return undefined;
  return bytes(BigInt(digits) * (suffix === undefined ? 1n : (FACTORS[suffix] ?? 1n)));
}
