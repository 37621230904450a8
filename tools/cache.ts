// The one folder outside of the repository for everything that is built or downloaded. A thing in it is named after the
// hash of its recipe and appears whole, by a rename, under a lock: it is built again exactly when its recipe changes,
// and two runs at once do not disturb each other.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDir } from './cache-dir.ts';
import { ToolError } from './fault.ts';
import { step } from './progress.ts';

/** Things not used for so long go when another of the same kind is built. */
const KEEP_UNUSED_MS = 7 * 24 * 3600 * 1000;

export const hashOf = (...parts: readonly (string | Uint8Array)[]): string => {
  const hash = createHash('sha256');
  // The length in front keeps ['ab', 'c'] and ['a', 'bc'] apart.
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex').slice(0, 16);
};

/**
 * Runs `work` while no other process of this machine holds the same lock. The lock belongs to a child process that ends
 * with this one, so nothing is left behind by a killed run.
 */
export const locked = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
  const dir = join(cacheDir(), 'locks');
  await mkdir(dir, { recursive: true });
  const holder = spawn('flock', [join(dir, name), 'sh', '-c', 'echo; exec cat >/dev/null'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(holder, 'close');
  const [said]: unknown[] = await Promise.race([once(holder.stdout, 'data'), ended]);
  if (!(said instanceof Uint8Array)) throw new ToolError(`Cannot lock '${name}': flock (util-linux) failed`);
  try {
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
};

const dropUnused = async (kind: string, keep: string): Promise<void> => {
  const dir = cacheDir();
  for (const entry of await readdir(dir)) {
    if (!entry.startsWith(`${kind}-`) || entry === keep) continue;
    const path = join(dir, entry);
    const abandoned = entry.endsWith('.tmp');
    if (abandoned || Date.now() - (await stat(path)).mtimeMs > KEEP_UNUSED_MS) {
      await rm(path, { recursive: true, force: true });
    }
  }
};

/** The folder `kind-key` of the cache; `build` fills an empty folder when it is not there, and hears where that will be. */
export const cached = async (
  kind: string,
  key: string,
  label: string,
  build: (dir: string, final: string) => Promise<void>,
): Promise<string> => {
  const entry = `${kind}-${key}`;
  const path = join(cacheDir(), entry);
  const use = async (): Promise<string> => {
    const now = new Date();
    await utimes(path, now, now);
    return path;
  };
  if (existsSync(path)) return use();
  return locked(kind, async () => {
    if (existsSync(path)) return use();
    await dropUnused(kind, entry);
    const unfinished = `${path}.tmp`;
    await mkdir(unfinished, { recursive: true });
    await step(label, () => build(unfinished, path));
    await rename(unfinished, path);
    return use();
  });
};
