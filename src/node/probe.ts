// What is on a device, before anybody formats it. Blank needs proof: blkid and wipefs look for signatures of every kind
// (file systems, RAID members, partition tables, ...), and the places where such things begin and end are read.

import { SnapmergeError, fail } from '../vocabulary/errors.ts';
import { failureOf } from '../system/exec.ts';
import type { Exec } from '../system/exec.ts';
import { FS_TYPES, isFsType } from '../csi/fstype.ts';
import type { FsType } from '../csi/fstype.ts';
import type { Bytes } from '../vocabulary/units.ts';
import type { Files } from './files.ts';
import { SUPERBLOCK_BYTES, readExt4, readXfs } from './superblock.ts';
import type { Superblock } from './superblock.ts';

export type Content =
  | { readonly holds: 'nothing' }
  | { readonly holds: 'filesystem'; readonly fsType: FsType; readonly superblock: Superblock | undefined }
  /** A signature of something else, several at once, or bytes of no known kind. */
  | { readonly holds: 'other'; readonly what: string };

const BLKID_FOUND = 0;
const BLKID_NOTHING = 2;

export async function probe(exec: Exec, files: Files, device: string, size: Bytes): Promise<Content> {
  const tags = await blkid(exec, device);
  const type = tags.get('TYPE');
  if (type !== undefined && isFsType(type))
    return { holds: 'filesystem', fsType: type, superblock: await superblock(files, device, type) };
  const signatures = await wipefs(exec, device);
  if (tags.size > 0) {
    const around = await filesystemAround(files, device, signatures);
    if (around !== undefined) return around;
    const what = type ?? tags.get('PTTYPE') ?? tags.get('AMBIVALENT') ?? [...tags.keys()].join(', ');
    return { holds: 'other', what };
  }
  if (signatures.length > 0) return { holds: 'other', what: signatures.map(({ text }) => text).join(' ') };
  const used = await firstUsed(files, device, size);
  return used === undefined ? { holds: 'nothing' } : { holds: 'other', what: `bytes that are not zero near ${used}` };
}

/** Tags of what blkid finds by reading the device, never from its cache; empty when it finds nothing. */
async function blkid(exec: Exec, device: string): Promise<ReadonlyMap<string, string>> {
  const result = await exec(['blkid', '--probe', '--output', 'export', device]);
  if (result.code === BLKID_NOTHING && result.stderr.trim() === '') return new Map();
  if (result.code === BLKID_FOUND) return new Map(result.stdout.split('\n').flatMap(tagOf));
  // 8: several signatures contradict each other. Anything else is no answer, and no answer is no proof.
  if (result.code === 8) return new Map([['AMBIVALENT', 'several signatures at once']]);
  throw new SnapmergeError('internal', `Cannot probe ${device}: blkid: ${failureOf(result)}`);
}

function tagOf(line: string): readonly (readonly [string, string])[] {
  const at = line.indexOf('=');
  const key = line.slice(0, at);
  // Facts about the device itself, which every device has.
  return at <= 0 || key === 'DEVNAME' || /_IO_SIZE$|_SECTOR_SIZE$|^ALIGNMENT_OFFSET$|^DAX$|^DISKSEQ$/.test(key)
    ? []
    : [[key, line.slice(at + 1)]];
}

interface Signature {
  readonly type: string;
  /** Of its magic number, in bytes from the beginning of the device. */
  readonly offset: bigint;
  /** As wipefs prints it. */
  readonly text: string;
}

/** All of them, wherever they lie. A line is offset, UUID, label, type; a comma in a label is printed as `\x2c`. */
async function wipefs(exec: Exec, device: string): Promise<readonly Signature[]> {
  const result = await exec(['wipefs', '--no-act', '--parsable', device]);
  if (result.code !== 0) fail('internal', `Cannot probe ${device}: wipefs: ${failureOf(result)}`);
  const lines = result.stdout.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return lines.map((text) => {
    const fields = text.split(',');
    const [offset = ''] = fields;
    if (!/^0x[0-9a-f]+$/.test(offset)) fail('internal', `Cannot probe ${device}: wipefs: '${text}'`);
    return { type: fields.at(-1) ?? '', offset: BigInt(offset), text };
  });
}

/** Below this no block of a file lies; what has a signature here is something else, or was made over the file system. */
const LEAST_OF_FILES = 64n * 1024n;

/**
 * The end of a file, or of what was deleted, may look like a RAID member, DRBD or ZFS: they keep their signatures at a
 * device's end. Where a file system reaches over the place it is its content. A file system inside of such a member ends
 * before the member's signature.
 */
async function filesystemAround(
  files: Files,
  device: string,
  signatures: readonly Signature[],
): Promise<Content | undefined> {
  for (const fsType of FS_TYPES) {
    const found = signatures.some(({ type }) => type === fsType) ? await superblock(files, device, fsType) : undefined;
    if (found === undefined || found.unfinished) continue;
    const others = signatures.filter(({ type }) => type !== fsType);
    const isInside = ({ offset }: Signature): boolean => offset >= LEAST_OF_FILES && offset < found.sizeBytes;
    if (others.every(isInside)) return { holds: 'filesystem', fsType, superblock: found };
  }
  return undefined;
}

const MIB = 1024n * 1024n;
const ZEROES = Buffer.alloc(Number(MIB));

/** The offset of the first piece with a byte that is not zero, among the places where things begin and end. */
async function firstUsed(files: Files, device: string, size: Bytes): Promise<bigint | undefined> {
  const places = [0n, 16n * MIB, 64n * MIB, size / 2n, size - MIB].map((place) => (place < 0n ? 0n : place));
  for (const place of new Set(places)) {
    if (place >= size) continue;
    const piece = await files.read(device, place, Number(MIB));
    if (!ZEROES.subarray(0, piece.length).equals(piece)) return place;
  }
  return undefined;
}

export async function superblock(files: Files, device: string, fsType: FsType): Promise<Superblock | undefined> {
  const head = await files.read(device, 0n, SUPERBLOCK_BYTES);
  return fsType === 'ext4' ? readExt4(head) : readXfs(head);
}
