// What is on a device, before anybody formats it. Blank needs proof: blkid and wipefs look for signatures of every kind
// (file systems, RAID members, partition tables, ...), and the places where such things begin and end are read.

import { SnapmergeError, fail } from '../errors.ts';
import { failureOf } from '../exec.ts';
import type { Exec } from '../exec.ts';
import { isFsType } from '../csi/fstype.ts';
import type { FsType } from '../csi/fstype.ts';
import type { Bytes } from '../units.ts';
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
  if (tags.size > 0) {
    const what = type ?? tags.get('PTTYPE') ?? tags.get('AMBIVALENT') ?? [...tags.keys()].join(', ');
    return { holds: 'other', what };
  }
  const signatures = await wipefs(exec, device);
  if (signatures !== '') return { holds: 'other', what: signatures };
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

async function wipefs(exec: Exec, device: string): Promise<string> {
  const result = await exec(['wipefs', '--no-act', '--parsable', device]);
  if (result.code !== 0) fail('internal', `Cannot probe ${device}: wipefs: ${failureOf(result)}`);
  return result.stdout
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .join(' ');
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
