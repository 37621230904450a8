// Metadata areas: where they are, and how far what they list reaches.

import { expect, test } from 'vitest';
import { areaOf, areaOffset, parseArea } from '../../../src/dm/exceptions.ts';
import { kib, sectors } from '../../../src/vocabulary/units.ts';
import { areaText } from '../exception-area.ts';

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
  expect(parseArea(areaText(CHUNK, []), CHUNK)).toEqual({ isFull: false, end: 0n });
  // Listed in the order in which they were copied.
  expect(parseArea(areaText(CHUNK, [2, 5, 3]), CHUNK)).toEqual({ isFull: false, end: 6n * CHUNK });
  const full = Array.from({ length: PER_AREA }, (_, index) => index + 2);
  expect(parseArea(areaText(CHUNK, full), CHUNK)).toEqual({ isFull: true, end: 258n * CHUNK });
});

test('what is cut off, lists the header, or is no list, is no area', () => {
  const whole = areaText(CHUNK, [2]);
  expect(parseArea(whole.slice(0, whole.lastIndexOf('\n', whole.length - 2) + 1), CHUNK)).toBeUndefined();
  expect(parseArea('', CHUNK)).toBeUndefined();
  expect(parseArea(areaText(CHUNK, [2, 1]), CHUNK)).toBeUndefined();
  expect(parseArea(whole.replace(' 2\n', ' x\n'), CHUNK)).toBeUndefined();
});
