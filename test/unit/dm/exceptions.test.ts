// Metadata areas as bytes: where they are, and how far what they list reaches.

import { expect, test } from 'vitest';
import { areaOf, areaOffset, readArea } from '../../../src/dm/exceptions.ts';
import { bytes, kib, sectors } from '../../../src/units.ts';
import { areaBytes } from '../exception-area.ts';

const CHUNK = kib(4);
/** Exceptions that fill an area of 4 KiB. */
const PER_AREA = 256;

test('an area lies behind the header and the chunks of those before it', () => {
  expect([0n, 1n, 2n].map((area) => areaOffset(area, CHUNK) / CHUNK)).toEqual([1n, 258n, 515n]);
});

test('a status tells the area that is being filled', () => {
  const status = (metadata: bigint) => ({
    state: 'counts' as const,
    used: sectors(8000n),
    total: sectors(9000n),
    metadata: sectors(metadata),
  });
  // The header and one area; the header and three.
  expect([16n, 32n].map((metadata) => areaOf(status(metadata), CHUNK))).toEqual([0n, 2n]);
  expect(areaOf(status(0n), CHUNK)).toBeUndefined();
});

test('an area ends where nothing is listed any more, wherever its last chunk lies', () => {
  expect(readArea(areaBytes(CHUNK, []), CHUNK)).toEqual({ isFull: false, end: 0n });
  // Listed in the order in which they were copied.
  expect(readArea(areaBytes(CHUNK, [2, 5, 3]), CHUNK)).toEqual({ isFull: false, end: 6n * CHUNK });
  const full = Array.from({ length: PER_AREA }, (_, index) => index + 2);
  expect(readArea(areaBytes(CHUNK, full), CHUNK)).toEqual({ isFull: true, end: 258n * CHUNK });
});

test('what is cut off, or lists the header, is no area', () => {
  expect(readArea(areaBytes(CHUNK, [2]).subarray(1), CHUNK)).toBeUndefined();
  expect(readArea(new Uint8Array(), CHUNK)).toBeUndefined();
  expect(readArea(areaBytes(CHUNK, [2, 1]), CHUNK)).toBeUndefined();
});

test('a piece of a larger buffer is read from where it begins', () => {
  const whole = new Uint8Array(Number(CHUNK) + 7);
  whole.set(areaBytes(CHUNK, [9]), 7);
  expect(readArea(whole.subarray(7), CHUNK)).toEqual({ isFull: false, end: bytes(10n * CHUNK) });
});
