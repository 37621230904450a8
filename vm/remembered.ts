// What was found out about this machine by trying, kept in the cache until it starts anew. That something does not work is
// believed for an hour only, because it may have been the network.

import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { cacheDir } from '../tools/cache-dir.ts';
import { hashOf, locked } from '../tools/cache.ts';

const HOUR_MS = 3600 * 1000;
const WORKS_FOR_MS = 7 * 24 * HOUR_MS;
const FAILS_FOR_MS = HOUR_MS;

const Kept = z.object({ key: z.string(), atMs: z.number(), found: z.unknown() });

/** Of a trial that did not end well: why. */
export type Failure = string;

/** What works, of this type, or why it does not; `tryIt` is asked once for all processes. */
export const remembered = async <T>(
  name: string,
  keys: readonly string[],
  type: z.ZodType<T>,
  tryIt: () => Promise<T | Failure>,
): Promise<T | Failure> => {
  const bootId = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  const key = hashOf(bootId, ...keys);
  const path = join(cacheDir(), `tried-${name}.json`);
  const look = async (): Promise<T | Failure | undefined> => {
    if (!existsSync(path)) return undefined;
    const kept = Kept.safeParse(JSON.parse(await readFile(path, 'utf8')));
    if (!kept.success || kept.data.key !== key) return undefined;
    const found = z.union([z.string(), type]).safeParse(kept.data.found);
    if (!found.success) return undefined;
    const ageMs = Date.now() - kept.data.atMs;
    return ageMs < (typeof found.data === 'string' ? FAILS_FOR_MS : WORKS_FOR_MS) ? found.data : undefined;
  };
  return (
    (await look()) ??
    locked(`tried-${name}`, async () => {
      const known = await look();
      if (known !== undefined) return known;
      const found = await tryIt();
      await writeFile(`${path}.tmp`, JSON.stringify({ key, atMs: Date.now(), found }));
      await rename(`${path}.tmp`, path);
      return found;
    })
  );
};
