// Debian packages of this machine that a tool needs: asked for by name, installed only when missing, and said aloud.

import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { locked } from './cache.ts';
import { ToolError } from './fault.ts';
import { say, step } from './progress.ts';
import { attempt, run } from './run.ts';

const APT_LISTS = '/var/lib/apt/lists';

const missingOf = async (packages: readonly string[]): Promise<readonly string[]> => {
  const result = await attempt(['dpkg-query', '-W', '-f', '${db:Status-Status} ${Package}\\n', ...packages]);
  const installed = new Set(
    result.stdout.split('\n').flatMap((line) => {
      const [status, name] = line.split(' ');
      return status === 'installed' && name !== undefined ? [name] : [];
    }),
  );
  return packages.filter((name) => !installed.has(name));
};

const aptGet = (...args: readonly string[]): Promise<string> =>
  run(['apt-get', '-qq', '-o', 'DPkg::Lock::Timeout=300', ...args], { env: { DEBIAN_FRONTEND: 'noninteractive' } });

export const ensureDebianPackages = async (packages: readonly string[]): Promise<void> => {
  if (!existsSync('/usr/bin/dpkg-query')) {
    throw new ToolError(
      `Cannot tell what is installed: this needs Debian or Ubuntu, or by hand: ${packages.join(' ')}`,
    );
  }
  if ((await missingOf(packages)).length === 0) return;
  await locked('apt', async () => {
    const missing = await missingOf(packages);
    if (missing.length === 0) return;
    const install = ['install', '--no-install-recommends', ...missing];
    if (process.getuid?.() !== 0) {
      throw new ToolError(`Cannot go on: packages are missing. Run this as root: apt-get ${install.join(' ')}`);
    }
    say(`installing Debian packages: ${missing.join(' ')}`);
    await step('apt-get install', async () => {
      // Fresh containers come without package lists, and lists may name versions that are gone.
      const lists = existsSync(APT_LISTS) ? await readdir(APT_LISTS) : [];
      if (!lists.some((name) => name.includes('_Packages'))) await aptGet('update');
      try {
        await aptGet(...install);
      } catch {
        await aptGet('update');
        await aptGet(...install);
      }
    });
  });
};
