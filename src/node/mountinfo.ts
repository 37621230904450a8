// /proc/self/mountinfo as values. Pure.

export interface MountEntry {
  readonly majorMinor: string;
  /** What of the file system is mounted: `/`, or a path within for a bind mount. */
  readonly root: string;
  readonly mountPoint: string;
  /** Of this mount: `rw`, `noatime`, ... */
  readonly options: readonly string[];
  readonly fsType: string;
  readonly source: string;
  /** Of the file system under all its mounts. */
  readonly superOptions: readonly string[];
}

/** In the order of the kernel: of two mounts at one place the later one is on top. Lines of another form are left out. */
export function parseMountinfo(text: string): readonly MountEntry[] {
  return text.split('\n').flatMap((line) => {
    const entry = parseLine(line);
    return entry === undefined ? [] : [entry];
  });
}

// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
function parseLine(line: string): MountEntry | undefined {
  const fields = line.split(' ');
  const separator = fields.indexOf('-', 6);
  if (separator === -1) return undefined;
  const [, , majorMinor, root, mountPoint, options] = fields;
  const [fsType, source, superOptions = ''] = fields.slice(separator + 1);
  if (majorMinor === undefined || root === undefined || mountPoint === undefined || options === undefined)
    return undefined;
  if (fsType === undefined || source === undefined) return undefined;
  return {
    majorMinor,
    root: unescape(root),
    mountPoint: unescape(mountPoint),
    options: options.split(','),
    fsType,
    source: unescape(source),
    superOptions: superOptions.split(','),
  };
}

/** Space, tab, line feed and backslash arrive as three octal digits, one for each byte. */
function unescape(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCodePoint(Number.parseInt(octal, 8)));
}

/** The mount that one sees at `path`. */
export function mountAt(mounts: readonly MountEntry[], path: string): MountEntry | undefined {
  return mounts.findLast(({ mountPoint }) => mountPoint === path);
}

export function isReadOnly(entry: MountEntry): boolean {
  return entry.options.includes('ro');
}

/** The kernel has made the file system read-only under a mount that is not: it met an error. */
export function hasGivenUp(entry: MountEntry): boolean {
  return !isReadOnly(entry) && entry.superOptions.includes('ro');
}

/** Of all mount flags those that the kernel shows of each mount, and only when they were asked for. */
const SHOWN_FLAGS = ['nosuid', 'nodev', 'noexec', 'noatime', 'nodiratime'] as const;

/** Words that stand for several of those, or take one back. */
const MEANS_MORE =
  /^(no)?(user|users|owner|group)$|^(defaults|suid|dev|exec|atime|diratime|relatime|strictatime|lazytime)$/;

/**
 * The first flag in which a mount differs from what is asked for, as `with noexec`; one of `inherited`, the mount that it was bound from, is
 * no difference. Others are not compared: the kernel leaves out what is its default, and writes some in another way.
 */
export function otherFlag(entry: MountEntry, asked: readonly string[], inherited?: MountEntry): string | undefined {
  const words = new Set(asked.flatMap((flag) => flag.split(',')));
  if ([...words].some((word) => MEANS_MORE.test(word))) return undefined;
  const flag = SHOWN_FLAGS.find(
    (one) => entry.options.includes(one) !== (words.has(one) || inherited?.options.includes(one) === true),
  );
  return flag === undefined ? undefined : `${entry.options.includes(flag) ? 'with' : 'without'} ${flag}`;
}
