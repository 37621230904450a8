// Whether a disk is empty: what every tool that knows signatures says, what the kernel says of its use, and its own
// first bytes. Reads only.

import { z } from 'zod';
import type { Exec } from '../../system/exec.ts';
import { output } from '../../system/exec.ts';
import type { Bytes } from '../../vocabulary/units.ts';
import { bytes } from '../../vocabulary/units.ts';

export interface Disk {
  readonly path: string;
  readonly size: Bytes;
}

export interface Inspection {
  readonly usable: readonly Disk[];
  /** One sentence a reason, without a full stop; empty when all disks can be used. */
  readonly problems: readonly string[];
}

/** What lsblk calls devices that a pool may lie on. Logical volumes are not among them: LVM on LVM is nobody's wish here. */
const TYPES: ReadonlySet<string> = new Set(['disk', 'part', 'loop', 'crypt', 'mpath', 'dm', 'linear']);
/** Tools leave nothing in the first MiB of a disk that they clean, and everything that uses a disk writes there. */
const HEAD_BYTES = 1024 * 1024;

interface Block {
  readonly path: string;
  readonly type: string;
  readonly ro: boolean;
  readonly size: number;
  readonly mountpoints: readonly (string | null)[];
  readonly children?: readonly Block[] | undefined;
}
const BLOCK: z.ZodType<Block> = z.lazy(() =>
  z.object({
    path: z.string(),
    type: z.string(),
    ro: z.boolean(),
    size: z.number(),
    mountpoints: z.array(z.string().nullable()),
    children: z.array(BLOCK).optional(),
  }),
);
const BLOCKS = z.object({ blockdevices: z.array(BLOCK) });
const SIGNATURES = z.object({ signatures: z.array(z.object({ type: z.string(), offset: z.string() })) });

/** Looks at every disk and gives all reasons against at once. */
export async function inspectDisks(exec: Exec, paths: readonly string[]): Promise<Inspection> {
  const usable: Disk[] = [];
  const problems: string[] = [];
  const seen = new Map<string, string>();
  for (const given of paths) {
    const found = await exec(['readlink', '--canonicalize-existing', given]);
    const path = found.stdout.trim();
    if (found.code !== 0 || (await exec(['test', '-b', path])).code !== 0) {
      problems.push(`'${given}' is no block device`);
      continue;
    }
    const before = seen.get(path);
    if (before !== undefined) {
      problems.push(`'${given}' is the same disk as '${before}'`);
      continue;
    }
    seen.set(path, given);
    const disk = await inspect(exec, path);
    if (disk.reasons.length === 0) usable.push(disk);
    else problems.push(`'${given}' ${disk.reasons.join(', ')}`);
  }
  return { usable, problems };
}

async function inspect(exec: Exec, path: string): Promise<Disk & { readonly reasons: readonly string[] }> {
  // With NAME it is a tree of what lies on what, without it a list of all.
  const columns = ['--output', 'NAME,PATH,TYPE,RO,SIZE,MOUNTPOINTS'];
  const text = await output(exec, ['lsblk', '--json', '--bytes', '--paths', ...columns, path]);
  const [block] = BLOCKS.parse(JSON.parse(text)).blockdevices;
  if (block === undefined) return { path, size: bytes(0), reasons: ['is not known to the kernel'] };
  const use = useOf(block);
  // What is in use is not even opened.
  const content = use.length > 0 ? [] : await contentOf(exec, path);
  return { path, size: bytes(block.size), reasons: [...use, ...content] };
}

function useOf(block: Block): readonly string[] {
  const reasons: string[] = [];
  if (!TYPES.has(block.type) && !block.type.startsWith('raid')) reasons.push(`is of type '${block.type}'`);
  if (block.ro) reasons.push('is read-only');
  const mounts = block.mountpoints.filter((mount) => mount !== null);
  if (mounts.length > 0) reasons.push(`is in use at ${mounts.join(', ')}`);
  const children = block.children ?? [];
  if (children.length > 0)
    reasons.push(`has ${children.map(({ path, type }) => `${path} (${type})`).join(', ')} on it`);
  return reasons;
}

async function contentOf(exec: Exec, path: string): Promise<readonly string[]> {
  const signatures = await exec(['wipefs', '--json', '--no-act', path]);
  if (signatures.code !== 0) return ['cannot be read'];
  const found = signatures.stdout.trim() === '' ? [] : SIGNATURES.parse(JSON.parse(signatures.stdout)).signatures;
  if (found.length > 0) return [`holds ${found.map(({ type, offset }) => `${type} (at ${offset})`).join(', ')}`];
  // Exit code 2: nothing found. It also knows combinations that it cannot decide between, which are not nothing.
  if ((await exec(['blkid', '--probe', path])).code !== 2) return ['holds something that blkid recognizes'];
  // Opens for itself alone (O_EXCL), as --no-act does everything but the writing: mounts of other namespaces count too.
  if ((await exec(['wipefs', '--all', '--no-act', path])).code !== 0) return ['is in use'];
  if ((await exec(['cmp', '--silent', `--bytes=${HEAD_BYTES}`, path, '/dev/zero'])).code !== 0) {
    return [
      `holds data in its first MiB that is no known signature (if it is of no use: 'blkdiscard -z -l 1M ${path}')`,
    ];
  }
  return [];
}
