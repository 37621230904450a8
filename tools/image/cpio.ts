// Writes the archive format of Linux's initramfs ("newc"): enough of it for plain files, folders and links.

export interface CpioEntry {
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'link';
  readonly executable?: boolean;
  /** A file's bytes, or where a link leads. */
  readonly content?: Uint8Array;
}

const TYPE_BITS = { file: 0o100000, directory: 0o040000, link: 0o120000 } as const;

const padding = (length: number): Uint8Array => new Uint8Array((4 - (length % 4)) % 4);

const member = (inode: number, mode: number, path: string, content: Uint8Array): readonly Uint8Array[] => {
  const name = Buffer.from(`${path}\0`);
  const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, padding(header.length + name.length), content, padding(content.length)];
};

export const cpio = (entries: readonly CpioEntry[]): Uint8Array => {
  const empty = new Uint8Array();
  const members = entries.flatMap((entry, index) => {
    const permissions = entry.kind === 'file' && entry.executable !== true ? 0o644 : 0o755;
    return member(index + 1, TYPE_BITS[entry.kind] | permissions, entry.path, entry.content ?? empty);
  });
  return Buffer.concat([...members, ...member(0, 0, 'TRAILER!!!', empty)]);
};
