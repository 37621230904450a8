// Which LVM this is, where its commands differ.

import { fail } from '../vocabulary/errors.ts';
import type { Exec } from '../system/exec.ts';
import { output } from '../system/exec.ts';

/** `2.03.31` as numbers, from the output of `lvm version`. */
export function parseLvmVersion(text: string): readonly [number, number, number] {
  const [, major, minor, patch] = /LVM version:\s*(\d+)\.(\d+)\.(\d+)/.exec(text) ?? [];
  if (patch === undefined) return fail('internal', `Cannot read LVM's version from '${text.trim()}'`);
  return [Number(major), Number(minor), Number(patch)];
}

/** `--fs ignore` came with 2.03.17, and with it the look at the file system inside that it switches off. */
export async function hasFsOption(exec: Exec): Promise<boolean> {
  const [major, minor, patch] = parseLvmVersion(await output(exec, ['lvm', 'version']));
  return major > 2 || minor > 3 || (minor === 3 && patch >= 17);
}
