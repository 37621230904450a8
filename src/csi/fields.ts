// The kinds of fields that CSI requests are made of, with the limits that the standard sets: 128 bytes a string, 4 KiB a
// map, paths as long as the system allows. As zod schemas, whose messages follow the field's name.

import { z } from 'zod';
import { SnapmergeError } from '../vocabulary/errors.ts';
import { bytes } from '../vocabulary/units.ts';
import type { Bytes } from '../vocabulary/units.ts';

const MAX_STRING_BYTES = 128;
const MAX_NAME_CHARS = 128;
const MAX_MAP_BYTES = 4096;
const MAX_PATH_BYTES = 4095;
const MAX_INT64 = 2n ** 63n - 1n;

/** An id or another short text that has to be there. */
export const requiredText = z
  .string()
  .min(1, 'is missing')
  .refine((text) => Buffer.byteLength(text) <= MAX_STRING_BYTES, `is longer than ${MAX_STRING_BYTES} bytes`);

export const optionalText = z
  .string()
  .refine((text) => Buffer.byteLength(text) <= MAX_STRING_BYTES, `is longer than ${MAX_STRING_BYTES} bytes`);

// What the standard bans from names: control characters other than tab, line feed and carriage return.
// oxlint-disable-next-line no-control-regex
const BANNED = /[\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F]/u;

/** A name that the caller chose. Counted in characters: names are kept by hash where they do not fit elsewhere. */
export const requiredName = z
  .string()
  .min(1, 'is missing')
  .refine((text) => Array.from(text).length <= MAX_NAME_CHARS, `is longer than ${MAX_NAME_CHARS} characters`)
  .refine((text) => !BANNED.test(text), 'has control characters');

/** As `requiredName`, or empty. */
export const optionalName = z.union([z.literal(''), requiredName]);

export const stringMap = z
  .record(z.string(), z.string())
  .refine((map) => mapBytes(map) <= MAX_MAP_BYTES, `is larger than ${MAX_MAP_BYTES} bytes`);

function mapBytes(map: Readonly<Record<string, string>>): number {
  return Object.entries(map).reduce((sum, [key, value]) => sum + Buffer.byteLength(key) + Buffer.byteLength(value), 0);
}

const MAX_PART_BYTES = 255;

/** A path that is only looked up: one that no volume is on is not found, whatever it looks like. */
export const lookedUpPath = z
  .string()
  .min(1, 'is missing')
  .refine((path) => Buffer.byteLength(path) <= MAX_PATH_BYTES, `is longer than ${MAX_PATH_BYTES} bytes`)
  .refine((path) => !path.includes('\0'), 'has a zero byte');

/** An absolute path without `.`, `..` and empty parts, except that one slash may end it. Without that slash. */
export const requiredPath = lookedUpPath
  .refine((path) => path.startsWith('/'), 'is not an absolute path')
  .transform((path) => path.replace(/(?<=.)\/$/, ''))
  .refine(
    (path) =>
      path !== '/' &&
      path
        .slice(1)
        .split('/')
        .every((part) => !['', '.', '..'].includes(part)),
    "is '/' or has an empty, '.' or '..' part",
  )
  .refine(
    (path) => path.split('/').every((part) => Buffer.byteLength(part) <= MAX_PART_BYTES),
    `has a part of more than ${MAX_PART_BYTES} bytes`,
  );

export const optionalPath = z.union([z.literal(''), requiredPath]);

const int64 = z
  .string()
  .regex(/^-?\d{1,19}$/, 'is not an int64')
  .transform(BigInt);

export const maxEntries = z.number().int().min(0, 'is negative');

/** The range as it arrives; `sizeRange` says whether it can be. */
export const capacityRange = z.object({ required_bytes: int64, limit_bytes: int64 });
export type CapacityRange = z.output<typeof capacityRange>;

export interface SizeRange {
  readonly required: Bytes;
  readonly limit: Bytes | undefined;
}

/** 0 is not given. Undefined when no range was given at all. */
export function sizeRange(range: CapacityRange | null): SizeRange | undefined {
  if (range === null) return undefined;
  const { required_bytes: required, limit_bytes: limit } = range;
  const refuse = (why: string): never => {
    throw new SnapmergeError('out-of-range', `Cannot take capacity_range ${required} to ${limit} bytes: ${why}`);
  };
  if (required < 0n || limit < 0n) refuse('a size is negative');
  if (required === 0n && limit === 0n) refuse('neither required_bytes nor limit_bytes is given');
  if (limit !== 0n && required > limit) refuse('required_bytes is more than limit_bytes');
  if (required > MAX_INT64 || limit > MAX_INT64) refuse('a size is more than an int64 holds');
  return { required: bytes(required), limit: limit === 0n ? undefined : bytes(limit) };
}
