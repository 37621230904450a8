// What the first bytes of a file system say about its size and state. Pure: enough of ext4 and xfs to see whether a file
// system fills its device, whether mkfs.xfs was cut short, and whether ext4 asks for a check.

export interface Superblock {
  readonly sizeBytes: bigint;
  /** mkfs has not finished: nothing was ever stored in it. */
  readonly unfinished: boolean;
  /** An error was noted in it, or it was not unmounted: what e2fsck looks at before it calls one clean. Never of xfs. */
  readonly asksForCheck: boolean;
}

/** Bytes that the readers below need. */
export const SUPERBLOCK_BYTES = 4096;

const EXT_OFFSET = 1024;
const EXT_MAGIC = 0xef53;
const EXT_INCOMPAT_64BIT = 0x80;
const EXT_INCOMPAT_RECOVER = 0x4;
const EXT_STATE_VALID = 0x1;
const EXT_STATE_ERROR = 0x2;
const XFS_MAGIC = 'XFSB';

export function readExt4(head: Uint8Array): Superblock | undefined {
  if (head.length < SUPERBLOCK_BYTES) return undefined;
  const view = new DataView(head.buffer, head.byteOffset + EXT_OFFSET);
  if (view.getUint16(0x38, true) !== EXT_MAGIC) return undefined;
  const incompat = view.getUint32(0x60, true);
  const state = view.getUint16(0x3a, true);
  const large = (incompat & EXT_INCOMPAT_64BIT) !== 0;
  const blocks = BigInt(view.getUint32(0x04, true)) + (large ? BigInt(view.getUint32(0x150, true)) << 32n : 0n);
  const asksForCheck =
    (state & EXT_STATE_VALID) === 0 || (state & EXT_STATE_ERROR) !== 0 || (incompat & EXT_INCOMPAT_RECOVER) !== 0;
  return { sizeBytes: blocks * (1024n << BigInt(view.getUint32(0x18, true))), unfinished: false, asksForCheck };
}

export function readXfs(head: Uint8Array): Superblock | undefined {
  if (head.length < SUPERBLOCK_BYTES) return undefined;
  const view = new DataView(head.buffer, head.byteOffset);
  if (Buffer.from(head.subarray(0, 4)).toString('latin1') !== XFS_MAGIC) return undefined;
  const sizeBytes = view.getBigUint64(8) * BigInt(view.getUint32(4));
  return { sizeBytes, unfinished: view.getUint8(126) !== 0, asksForCheck: false };
}
