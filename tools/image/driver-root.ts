// What of Debian goes into the driver's image: the programs that the driver calls and those that an operator wants beside
// them, the libraries they need, and what of their packages must go with them (settings, licences, the record that
// scanners read). Everything else of the packages stays out.

import { existsSync } from 'node:fs';
import { lstat, mkdir, readFile, readdir, readlink, realpath, writeFile } from 'node:fs/promises';
import { dirname, join, normalize, relative } from 'node:path';
import { cached, hashOf } from '../cache.ts';
import { ToolError } from '../fault.ts';
import { run } from '../run.ts';
import { SUITE, downloadDebian } from './debian.ts';

/** The one list of Debian packages, for this and for the Containerfile. */
const PACKAGES_FILE = join(import.meta.dirname, '../../deploy/image/packages.txt');

export const driverPackages = async (): Promise<readonly string[]> =>
  (await readFile(PACKAGES_FILE, 'utf8')).split('\n').filter((line) => line !== '');

/** Called by the driver itself. */
export const DRIVER_PROGRAMS: readonly string[] = [
  ['cat', 'cmp', 'dd', 'find', 'grep', 'ls', 'mkdir', 'mv', 'od', 'readlink', 'rm', 'stat', 'sync', 'test', 'truncate'],
  ['blkdiscard', 'blkid', 'blockdev', 'losetup', 'lsblk', 'mount', 'umount', 'wipefs'],
  ['dmsetup', 'lvm', 'modprobe', 'udevadm'],
  ['e2fsck', 'mkfs.ext4', 'mkfs.xfs', 'resize2fs', 'xfs_growfs'],
].flat();

/** For whoever looks into the pod: LVM under its usual names, repair, and enough of a shell. */
export const OPERATOR_PROGRAMS: readonly string[] = [
  ['sh', 'cp', 'cut', 'date', 'df', 'du', 'echo', 'env', 'false', 'head', 'id', 'ln', 'rmdir', 'sleep'],
  ['sort', 'tail', 'tee', 'touch', 'tr', 'true', 'uname', 'uniq', 'wc'],
  ['dmesg', 'findmnt', 'lsmod'],
  ['dumpe2fs', 'tune2fs', 'xfs_repair', 'xfs_db', 'xfs_spaceman'],
  ['lvs', 'vgs', 'pvs', 'lvdisplay', 'vgdisplay', 'pvdisplay', 'lvchange', 'vgchange', 'lvremove', 'lvrename'],
  ['vgextend', 'vgreduce', 'pvcreate', 'pvmove', 'pvck', 'vgck', 'vgcfgbackup', 'vgcfgrestore'],
].flat();

const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
/** systemd keeps a library for its own programs beside the others. */
const LIBRARY_FOLDERS = [LIBRARIES, `${LIBRARIES}/systemd`];
const LOADER = `${LIBRARIES}/ld-linux-x86-64.so.2`;
/** The loader as every program names it. */
const LOADER_LINK = 'usr/lib64/ld-linux-x86-64.so.2';
/** Opened by name when they are needed: kmod reads modules that are packed in any of these ways. */
const OPENED_LATER = ['libzstd.so.1', 'liblzma.so.5', 'libz.so.1'].map((name) => `${LIBRARIES}/${name}`);

const SETTINGS = ['etc/mke2fs.conf', 'etc/os-release', 'etc/debian_version'];
/** Links of the merged /usr. */
const MERGED = ['bin', 'sbin', 'lib', 'lib64'];
const DOCUMENTS = 'usr/share/doc';
const COMMON_LICENCES = 'usr/share/common-licenses';
/** A folder with each package's control file, as images without a package manager have it. */
const RECORD = 'var/lib/dpkg/status.d';

/** Where things of Debian's are that this makes itself; the packages' own scripts do not run. */
const MADE: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  'etc/group': 'root:x:0:\ndisk:x:6:\nnogroup:x:65534:\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
};

/** Mount points, and folders that programs expect. */
const FOLDERS = ['dev', 'proc', 'sys', 'run', 'run/lock', 'tmp', 'root', 'var/tmp', 'opt', 'usr/local/bin'];

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  /** The control file, as it came. */
  readonly control: string;
  /** Without a leading slash. */
  readonly paths: readonly string[];
}

export interface DriverRoot {
  /** Everything of the packages, unpacked. */
  readonly unpackedDir: string;
  /** What is made here, in the same tree. */
  readonly madeDir: string;
  /** What of `unpackedDir` goes into the image, folders included, sorted. */
  readonly paths: readonly string[];
  /** Those that something of comes from. */
  readonly packages: readonly DebianPackage[];
}

/** The folder with Debian's packages, from the cache where they have been downloaded before. */
export const driverDebs = async (): Promise<string> => {
  const packages = await driverPackages();
  return cached('oci-debs', hashOf(SUITE, ...packages), "downloading the image's Debian packages (once)", (dir) =>
    downloadDebian(dir, packages),
  );
};

/** Makes the tree in `dir` from these packages. */
export const driverRoot = async (dir: string, debsDir: string, nodePath: string): Promise<DriverRoot> => {
  const unpackedDir = join(dir, 'unpacked');
  const madeDir = join(dir, 'made');
  await mkdir(unpackedDir, { recursive: true });
  const packages = await Promise.all(
    (await readdir(debsDir)).toSorted().map((name) => unpackPackage(join(debsDir, name), unpackedDir)),
  );

  const programs = [...DRIVER_PROGRAMS, ...OPERATOR_PROGRAMS].map((name) => programPath(unpackedDir, name));
  const files = new Set<string>();
  const add = async (paths: readonly string[]): Promise<void> => {
    for (const path of paths) await withTargets(unpackedDir, path, files);
  };
  await add([...MERGED, ...programs, ...SETTINGS, ...OPENED_LATER, LOADER, LOADER_LINK]);
  await add(await librariesOf(unpackedDir, [...files], nodePath));
  const givers = packages.filter(({ paths }) => paths.some((path) => files.has(path)));
  await add(await licencesOf(unpackedDir, givers));

  const records = givers.map(({ name, control }) => [join(RECORD, name), control] as const);
  for (const folder of FOLDERS) await mkdir(join(madeDir, folder), { recursive: true });
  for (const [path, content] of [...Object.entries(MADE), ...records]) {
    await mkdir(dirname(join(madeDir, path)), { recursive: true });
    await writeFile(join(madeDir, path), content);
  }
  return { unpackedDir, madeDir, paths: withFolders(files), packages: givers };
};

const unpackPackage = async (deb: string, into: string): Promise<DebianPackage> => {
  const control = await run(['dpkg-deb', '--field', deb]);
  const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(control)?.[1] ?? '';
  const listing = await run(['dpkg-deb', '--vextract', deb, into]);
  const paths = listing.split('\n').map((line) => line.replace(/^\.\//, ''));
  return { name: field('Package'), version: field('Version'), control, paths };
};

const programPath = (root: string, name: string): string => {
  const found = ['usr/bin', 'usr/sbin']
    .map((folder) => `${folder}/${name}`)
    .find((path) => existsSync(join(root, path)));
  if (found === undefined) throw new ToolError(`Cannot build the image: no package of it has the program '${name}'`);
  return found;
};

/** Adds a path and, where it is a link, all that it leads through. */
const withTargets = async (root: string, path: string, into: Set<string>): Promise<void> => {
  if (into.has(path)) return;
  const found = await lstat(join(root, path)).catch(() => undefined);
  if (found === undefined) throw new ToolError(`Cannot build the image: no package of it has ${path}`);
  if (found.isDirectory()) return;
  into.add(path);
  if (!found.isSymbolicLink()) return;
  const target = await readlink(join(root, path));
  const next = normalize(target.startsWith('/') ? target.slice(1) : join(dirname(path), target));
  // Through the links of the merged /usr, which are in the image anyway.
  await withTargets(root, next.replace(/^(bin|sbin|lib|lib64)\//, 'usr/$1/'), into);
};

/** Libraries that programs of the tree are linked with, asked of the tree's own loader. */
const librariesOf = async (root: string, paths: readonly string[], nodePath: string): Promise<readonly string[]> => {
  const found = new Set<string>();
  const programs = [];
  for (const path of paths) if (await isProgram(join(root, path))) programs.push(join(root, path));
  for (const program of [...programs, nodePath]) {
    const listed = await run([
      join(root, LOADER),
      '--library-path',
      LIBRARY_FOLDERS.map((folder) => join(root, folder)).join(':'),
      '--list',
      program,
    ]);
    for (const line of listed.split('\n')) {
      const [, library] = /=> (\S+) \(/.exec(line) ?? [];
      if (library?.startsWith(`${root}/`) === true) found.add(library.slice(root.length + 1));
      else if (line.includes('not found')) throw new ToolError(`Cannot build the image: ${program}: ${line.trim()}`);
    }
  }
  return [...found];
};

const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);

const isProgram = async (path: string): Promise<boolean> => {
  const found = await lstat(path);
  return found.isFile() && (await readFile(path)).subarray(0, ELF.length).equals(ELF);
};

/** The licences of these packages, which may lie with another package of the same source, and those that they refer to. */
const licencesOf = async (root: string, packages: readonly DebianPackage[]): Promise<readonly string[]> => {
  const common = (await readdir(join(root, COMMON_LICENCES))).map((name) => join(COMMON_LICENCES, name));
  const own = packages.map(async ({ name }) => {
    const folder = join(DOCUMENTS, name);
    const text = relative(root, await realpath(join(root, folder, 'copyright')));
    // Either the folder is a link to another package's, or the text is one of its own.
    return (await lstat(join(root, folder))).isSymbolicLink() ? [folder, text] : [join(folder, 'copyright'), text];
  });
  return [...common, ...(await Promise.all(own)).flat()];
};

/** The files and all folders on their way, each before what is in it. */
const withFolders = (files: ReadonlySet<string>): readonly string[] => {
  const all = new Set(files);
  for (const file of files) for (let path = dirname(file); path !== '.'; path = dirname(path)) all.add(path);
  return [...all].sort();
};
