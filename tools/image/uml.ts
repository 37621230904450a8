// User Mode Linux: a kernel that is a program, Debian's, unpacked in the cache with its modules. It is newer than the C
// library of most machines, so it gets trixie's beside it, and is told so in its own header: it starts itself again by
// its own path, which a loader in front of it would not survive.

import { copyFile, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cached, hashOf } from '../cache.ts';
import { ToolError } from '../fault.ts';
import { say } from '../progress.ts';
import { attempt, run } from '../run.ts';
import { SUITE, mirrorIn, unpackDebian } from './debian.ts';
import { PINNED, SUITES, choosePackage, listedIn } from './uml-version.ts';

export interface Uml {
  /** The kernel, a program. */
  readonly kernelPath: string;
  /** What /usr/lib/modules of its guests is. */
  readonly modulesDir: string;
  /** Of the package. */
  readonly version: string;
  /** Of the kernel. */
  readonly release: string;
}

const PACKAGE = 'user-mode-linux';
/** The keyring, because that of an older distribution does not know who signs sid. */
const PACKAGES = ['libc6', 'patchelf', 'debian-archive-keyring'];
const LIBRARIES = 'usr/lib/x86_64-linux-gnu';
const LOADER = 'ld-linux-x86-64.so.2';
/** A part of apt: it knows this machine's proxies. */
const FETCH = '/usr/lib/apt/apt-helper';
/** Changes with the steps below that the other parts of the key do not show. */
const RECIPE_VERSION = '1';

const fetchPinned = async (mirror: string, path: string): Promise<boolean> => {
  const url = `${mirror}/pool/main/u/${PACKAGE}/${PACKAGE}_${PINNED.version}_amd64.deb`;
  const options = ['-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Retries=3'];
  const { code, stderr } = await attempt([FETCH, ...options, 'download-file', url, path, `SHA256:${PINNED.sha256}`]);
  if (code === 0) return true;
  // What is not there, or is not what it was: that is one to replace. Where nothing can be reached there is nothing to choose.
  if (/404|Hash Sum mismatch/.test(stderr)) return false;
  throw new ToolError(`Cannot get ${PACKAGE}: ${stderr.trim()}`);
};

/** apt with sources and lists of its own, in `dir`. */
const aptIn = async (dir: string, mirror: string, keyring: string): Promise<readonly string[]> => {
  const [lists, archives] = [join(dir, 'lists'), join(dir, 'cache')];
  await mkdir(join(lists, 'partial'), { recursive: true });
  await mkdir(join(archives, 'archives/partial'), { recursive: true });
  const sources = join(dir, 'sources.list');
  await writeFile(sources, SUITES.map((suite) => `deb [signed-by=${keyring}] ${mirror} ${suite} main\n`).join(''));
  const settings = [
    `Dir::Etc::SourceList=${sources}`,
    'Dir::Etc::SourceParts=/dev/null',
    `Dir::State::Lists=${lists}`,
    `Dir::Cache=${archives}`,
    'APT::Sandbox::User=root',
  ];
  return settings.flatMap((setting) => ['-o', setting]);
};

/** Puts a package that can be used at `path`: its version. */
const fetchPackage = async (dir: string, mirror: string, keyring: string, path: string): Promise<string> => {
  const isThere = await fetchPinned(mirror, path);
  const apt = await aptIn(dir, mirror, keyring);
  const listed = async (): Promise<string> => {
    await run(['apt-get', '-qq', ...apt, 'update']);
    return run(['apt-cache', ...apt, 'madison', PACKAGE]);
  };
  const choice = choosePackage(isThere, isThere ? [] : listedIn(await listed()));
  if (choice.take === 'pinned') return PINNED.version;
  if (choice.take === 'none') throw new ToolError(`Cannot get ${PACKAGE}: ${choice.why}`);
  say(choice.why);
  await run(['apt-get', '-qq', ...apt, 'download', `${PACKAGE}=${choice.version}`], { cwd: dir });
  const deb = (await readdir(dir)).find((name) => name.endsWith('.deb'));
  if (deb === undefined) throw new ToolError(`Cannot get ${PACKAGE} ${choice.version}: apt-get left no package`);
  await rename(join(dir, deb), path);
  return choice.version;
};

const build = async (dir: string, final: string): Promise<void> => {
  const base = join(dir, 'base');
  await unpackDebian(base, 'extract', PACKAGES);
  const scratch = join(dir, 'scratch');
  await mkdir(scratch);
  const keyring = join(base, 'usr/share/keyrings/debian-archive-keyring.gpg');
  // It stays: mirrors drop what sid has left behind.
  const deb = join(dir, 'package.deb');
  const version = await fetchPackage(scratch, await mirrorIn(base), keyring, deb);
  const tree = join(scratch, 'tree');
  await run(['dpkg-deb', '--extract', deb, tree]);
  await rename(join(tree, 'usr/lib/uml/modules'), join(dir, 'modules'));
  await rename(join(tree, 'usr/bin/linux.uml'), join(dir, 'linux'));
  await mkdir(join(dir, 'lib'));
  for (const name of [LOADER, 'libc.so.6']) await copyFile(join(base, LIBRARIES, name), join(dir, 'lib', name));
  const libraries = join(base, LIBRARIES);
  const patchelf = [join(libraries, LOADER), '--library-path', libraries, join(base, 'usr/bin/patchelf')] as const;
  const lib = join(final, 'lib');
  await run([...patchelf, '--set-interpreter', join(lib, LOADER), '--set-rpath', lib, join(dir, 'linux')]);
  await writeFile(join(dir, 'version'), version);
  await rm(base, { recursive: true });
  await rm(scratch, { recursive: true });
};

export const UML_KEY = hashOf(RECIPE_VERSION, SUITE, ...PACKAGES, JSON.stringify(PINNED));

/** Rejects where there is none that can be used. */
export const uml = async (): Promise<Uml> => {
  const dir = await cached('uml', UML_KEY, 'getting User Mode Linux', build);
  const modulesDir = join(dir, 'modules');
  const [release] = await readdir(modulesDir);
  if (release === undefined) throw new ToolError('Cannot use User Mode Linux: its package has no modules');
  const version = await readFile(join(dir, 'version'), 'utf8');
  return { kernelPath: join(dir, 'linux'), modulesDir, version, release };
};
