// Where the guest's Debian comes from: the mirror this machine uses already, or the usual one where it uses none. The
// archive's own key is beside this file, because the keyrings of older distributions do not know it.

import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ToolError } from '../fault.ts';
import { ensureDebianPackages } from '../debian-packages.ts';
import { attempt, run } from '../run.ts';

export const SUITE = 'trixie';

const KEY_PATH = `${import.meta.dirname}/debian-stable-release.asc`;

/** Undefined where mmdebstrap's own default is to be used. */
const mirrorOf = async (): Promise<string | undefined> => {
  const chosen = process.env['SNAPMERGE_DEBIAN_MIRROR'];
  if (chosen !== undefined) return chosen;
  const listed = await attempt([
    'apt-get',
    'indextargets',
    '--format',
    '$(ORIGIN) $(LABEL) $(REPO_URI)',
    'Created-By: Packages',
  ]);
  const line = listed.stdout.split('\n').find((candidate) => candidate.startsWith('Debian Debian '));
  return line?.split(' ')[2];
};

/** The mirror that filled this folder. */
export const mirrorIn = async (dir: string): Promise<string> => {
  const mirror = /^deb (?:\[[^\]]*\] )?(\S+)/m.exec(await readFile(join(dir, 'etc/apt/sources.list'), 'utf8'))?.[1];
  if (mirror === undefined) throw new ToolError(`Cannot tell the mirror of '${dir}': its sources.list names none`);
  return mirror.replace(/\/+$/, '');
};

/** Fills `dir` with packages of the suite; `variant` as mmdebstrap knows it. */
export const unpackDebian = async (dir: string, variant: string, packages: readonly string[]): Promise<void> =>
  debootstrap(dir, variant, packages, []);

/** Fills `dir` with the packages themselves, those that they depend on included. */
export const downloadDebian = async (dir: string, packages: readonly string[]): Promise<void> => {
  const scratch = `${dir}.scratch`;
  // mmdebstrap runs hooks with a shell, and gives them its folder.
  const keep = `find "$1/var/cache/apt/archives" -name '*.deb' -exec mv -t '${dir}' {} +`;
  await debootstrap(scratch, 'extract', packages, [`--extract-hook=${keep}`]);
  await rm(scratch, { recursive: true });
};

const debootstrap = async (
  dir: string,
  variant: string,
  packages: readonly string[],
  options: readonly string[],
): Promise<void> => {
  await ensureDebianPackages(['mmdebstrap']);
  if (process.getuid?.() !== 0) throw new ToolError('Cannot build the image: run this once as root');
  const mirror = await mirrorOf();
  const excluded = ['doc', 'man', 'locale', 'info', 'lintian', 'bug'].map((name) => `/usr/share/${name}/*`);
  await run([
    'mmdebstrap',
    '--mode=root',
    `--variant=${variant}`,
    `--include=${packages.join(',')}`,
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Retries "3"',
    ...excluded.map((path) => `--dpkgopt=path-exclude=${path}`),
    ...options,
    SUITE,
    dir,
    ...(mirror === undefined ? [] : [`deb [signed-by=${KEY_PATH}] ${mirror} ${SUITE} main`]),
  ]);
};
