// KVM or emulation? Decided by trying, because a KVM device may exist and hang. The answer is remembered until the
// machine starts anew.

import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDir, hashOf, locked } from '../tools/cache.ts';
import type { Qemu } from '../tools/image/qemu.ts';
import { say, step } from '../tools/progress.ts';
import { attempt } from '../tools/run.ts';
import { GuestError } from './fault.ts';
import { bareArgv } from './qemu-argv.ts';
import type { Accelerator } from './qemu-argv.ts';

/** With a KVM that works the probe takes about a second. */
const PROBE_LIMIT_MS = 15_000;
const REMEMBER_MS = 7 * 24 * 3600 * 1000;

const kvmWorks = async (qemu: Qemu, kernel: string, initramfs: string): Promise<boolean> => {
  if (!existsSync('/dev/kvm')) return false;
  const options = bareArgv('kvm', kernel, initramfs, 'snapmerge.probe=1');
  const result = await step('trying KVM', () =>
    attempt([...qemu.argv, ...options, '-m', '256M', '-serial', 'stdio'], { env: qemu.env, timeoutMs: PROBE_LIMIT_MS }),
  );
  return result.code === 0 && result.stdout.includes('snapmerge-guest: probe passed');
};

export const chooseAccelerator = async (qemu: Qemu, kernel: string, initramfs: string): Promise<Accelerator> => {
  const forced = process.env['SNAPMERGE_ACCEL'];
  if (forced === 'kvm' || forced === 'tcg') return forced;
  if (forced !== undefined) {
    throw new GuestError('state', `Cannot use SNAPMERGE_ACCEL='${forced}': it is 'kvm' or 'tcg'`);
  }
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  const key = hashOf(bootId, qemu.key);
  const path = join(cacheDir(), 'accelerator');
  const remembered = async (): Promise<Accelerator | undefined> => {
    if (!existsSync(path)) return undefined;
    const [foundKey, accelerator, atMs] = (await readFile(path, 'utf8')).split(' ');
    if (foundKey !== key || Date.now() - Number(atMs) > REMEMBER_MS) return undefined;
    return accelerator === 'kvm' || accelerator === 'tcg' ? accelerator : undefined;
  };
  return (
    (await remembered()) ??
    locked('accelerator', async () => {
      const known = await remembered();
      if (known !== undefined) return known;
      const chosen: Accelerator = (await kvmWorks(qemu, kernel, initramfs)) ? 'kvm' : 'tcg';
      say(chosen === 'kvm' ? 'guests run with KVM' : 'guests are emulated: KVM is not there or does not work');
      await writeFile(`${path}.tmp`, `${key} ${chosen} ${Date.now()}`);
      await rename(`${path}.tmp`, path);
      return chosen;
    })
  );
};
