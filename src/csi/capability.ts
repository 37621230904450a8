// How a volume is to be used, read from a request: as a raw device or as a file system, by one writer or several, on this
// node. Pure: one VolumeCapability in, a value or the reason why not out.

import { z } from 'zod';
import type { VolumeCapability } from '#proto/csi/v1/VolumeCapability.ts';
import { assert, fail, unreachable } from '../vocabulary/errors.ts';
import { isFsType } from './fstype.ts';
import type { FsType } from './fstype.ts';

export type AccessMode = 'reader' | 'writer' | 'single-writer' | 'multi-writer';

export type Capability =
  | { readonly type: 'block'; readonly mode: AccessMode; readonly readOnly: boolean }
  | {
      readonly type: 'mount';
      readonly mode: AccessMode;
      /** By its mode, or by a flag. */
      readonly readOnly: boolean;
      /** Undefined: what is there, or ext4 for a blank volume. */
      readonly fsType: FsType | undefined;
      /** Without `ro` and `rw`. */
      readonly mountFlags: readonly string[];
    };

/** As it arrives: unset parts are null or absent, enums are strings (a number where the value is not known). */
export const volumeCapability = z.object({
  access_type: z.enum(['block', 'mount']).optional(),
  block: z.object({}).nullish(),
  mount: z.object({ fs_type: z.string(), mount_flags: z.array(z.string()), volume_mount_group: z.string() }).nullish(),
  access_mode: z.object({ mode: z.union([z.string(), z.number()]) }).nullable(),
});
export type RawCapability = z.output<typeof volumeCapability>;

export type ReadCapability =
  | { readonly ok: true; readonly capability: Capability }
  /** malformed: no valid request; otherwise well formed and not supported. */
  | { readonly ok: false; readonly malformed: boolean; readonly reason: string };

const MODES = {
  SINGLE_NODE_WRITER: 'writer',
  SINGLE_NODE_READER_ONLY: 'reader',
  SINGLE_NODE_SINGLE_WRITER: 'single-writer',
  SINGLE_NODE_MULTI_WRITER: 'multi-writer',
} as const satisfies Readonly<Record<string, AccessMode>>;

function isKnownMode(mode: string | number): mode is keyof typeof MODES {
  return Object.hasOwn(MODES, mode);
}

const MULTI_NODE = new Set(['MULTI_NODE_READER_ONLY', 'MULTI_NODE_SINGLE_WRITER', 'MULTI_NODE_MULTI_WRITER']);

const MAX_FLAGS_BYTES = 4096;
/** They would make something else of the mount than a mount of this volume. */
const REFUSED_FLAGS = /^(bind|rbind|move|remount|loop|offset|sizelimit|(r?(shared|slave|private|unbindable)))(=|$)/;

export function readCapability(raw: RawCapability): ReadCapability {
  const no = (reason: string, malformed: boolean): ReadCapability => ({ ok: false, malformed, reason });
  if (raw.access_type === undefined) return no('neither block nor mount is given', true);
  const modeName = raw.access_mode?.mode ?? 'UNKNOWN';
  if (modeName === 'UNKNOWN') return no('the access mode is not given', true);
  if (MULTI_NODE.has(String(modeName))) return no(`access mode ${modeName}: a volume lives on one node`, false);
  if (!isKnownMode(modeName)) return no(`access mode ${modeName} is not known`, false);
  const mode = MODES[modeName];
  const isReader = mode === 'reader';
  if (raw.access_type === 'block') return { ok: true, capability: { type: 'block', mode, readOnly: isReader } };
  const { fs_type: fsType = '', mount_flags: mountFlags = [], volume_mount_group: group = '' } = raw.mount ?? {};
  if (fsType !== '' && !isFsType(fsType)) return no(`file system '${fsType.slice(0, 32)}': ext4 and xfs are`, false);
  if (group !== '') return no('volume_mount_group: set the group with fsGroup', false);
  const flags = wrongFlags(mountFlags);
  if (flags !== undefined) return no(flags, true);
  const single = mountFlags.flatMap((flag) => flag.split(','));
  // The last one counts, as mount has it; a reader never writes.
  const readOnly = isReader || single.findLast(isWriting) === 'ro';
  const others = single.filter((flag) => !isWriting(flag));
  const type = fsType === '' ? undefined : fsType;
  return { ok: true, capability: { type: 'mount', mode, readOnly, fsType: type, mountFlags: others } };
}

function isWriting(flag: string): boolean {
  return flag === 'ro' || flag === 'rw';
}

// Flags may carry what is secret, so no message repeats one.
function wrongFlags(flags: readonly string[]): string | undefined {
  if (flags.reduce((sum, flag) => sum + Buffer.byteLength(flag), 0) > MAX_FLAGS_BYTES) {
    return `mount_flags are larger than ${MAX_FLAGS_BYTES} bytes`;
  }
  const single = flags.flatMap((flag) => flag.split(','));
  // oxlint-disable-next-line no-control-regex
  const odd = single.findIndex((flag) => flag === '' || flag.startsWith('-') || /[\s\u0000]/.test(flag));
  if (odd !== -1) return `mount flag ${odd + 1} is empty, begins with '-' or has a space`;
  const refused = single.findIndex((flag) => REFUSED_FLAGS.test(flag));
  return refused === -1 ? undefined : `mount flag ${refused + 1} would change what is mounted, not how`;
}

/** The capability of a node call; throws `invalid`. */
export function requireCapability(raw: RawCapability | null): Capability {
  if (raw === null) fail('invalid', 'Cannot go on without volume_capability: it is missing');
  const read = readCapability(raw);
  return read.ok ? read.capability : fail('invalid', `Cannot use volume_capability: ${read.reason}`);
}

export type ReadCapabilities =
  | { readonly ok: true; readonly capabilities: readonly Capability[] }
  | { readonly ok: false; readonly malformed: boolean; readonly reason: string };

/** One that can be read, as it arrived. */
export function givenBack({ block, mount, access_mode: access }: RawCapability): VolumeCapability {
  const mode = access?.mode ?? 'UNKNOWN';
  assert(isKnownMode(mode), `access mode ${mode} was read and is not known`);
  return {
    ...(block === null || block === undefined ? {} : { block }),
    ...(mount === null || mount === undefined ? {} : { mount }),
    access_mode: { mode },
  };
}

/** All of them together have to be possible for one volume. */
export function readCapabilities(raw: readonly RawCapability[]): ReadCapabilities {
  if (raw.length === 0) return { ok: false, malformed: true, reason: 'volume_capabilities is missing' };
  const capabilities: Capability[] = [];
  for (const [index, one] of raw.entries()) {
    const read = readCapability(one);
    if (!read.ok) return { ...read, reason: `volume_capabilities[${index}]: ${read.reason}` };
    capabilities.push(read.capability);
  }
  if (new Set(capabilities.map(({ type }) => type)).size > 1) {
    return { ok: false, malformed: false, reason: 'a volume is used as a block device or as a mount, not as both' };
  }
  if (new Set(capabilities.flatMap(fsTypeOf)).size > 1) {
    return { ok: false, malformed: false, reason: 'a volume has one file system, not two' };
  }
  return { ok: true, capabilities };
}

export function fsTypeOf(capability: Capability): readonly FsType[] {
  switch (capability.type) {
    case 'block':
      return [];
    case 'mount':
      return capability.fsType === undefined ? [] : [capability.fsType];
    default:
      return unreachable(capability);
  }
}
