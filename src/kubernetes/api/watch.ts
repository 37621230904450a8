// All objects of a kind in the cluster, as the API server has them: listed, then watched from there, and listed again
// whenever the watch cannot go on where it was.

import { z } from 'zod';
import { SnapmergeError, messageOf } from '../../vocabulary/errors.ts';
import type { Clock, Log } from '../../vocabulary/ports.ts';
import { RESTORES_PATH, checked } from './cluster.ts';
import type { ApiServer, WatchEvent } from './http.ts';
import { volumeRestore } from './objects.ts';
import type { VolumeRestore } from './objects.ts';

export interface WatchOptions {
  readonly api: ApiServer;
  readonly clock: Clock;
  readonly log: Log;
  /** Of each object that is there, was changed, or went. */
  readonly changed: (key: string) => void;
}

interface Named {
  readonly metadata: { readonly namespace: string; readonly name: string };
}

/** What is watched. */
export interface Kind<T extends Named> {
  /** As messages call it. */
  readonly name: string;
  readonly path: string;
  readonly schema: z.ZodType<T>;
}

export interface Watched<T> {
  readonly all: () => readonly T[];
  readonly get: (key: string) => T | undefined;
  /** Until the signal fires. */
  readonly run: (signal: AbortSignal) => Promise<void>;
}

const FIRST_RETRY_MS = 500;
const MOST_RETRY_MS = 15_000;

const list = z.object({ metadata: z.object({ resourceVersion: z.string() }), items: z.array(z.unknown()) });
const versioned = z.object({ metadata: z.object({ resourceVersion: z.string() }) });
/** What a watch sends when the version that it was to begin at is no longer kept. */
const refusal = z.object({ code: z.number().default(0), message: z.string().default('') });

const RESTORES: Kind<VolumeRestore> = { name: 'VolumeRestore', path: RESTORES_PATH, schema: volumeRestore };

export function watchRestores(options: WatchOptions): Watched<VolumeRestore> {
  return watchAll(RESTORES, options);
}

export function watchAll<T extends Named>(
  { name, path, schema }: Kind<T>,
  { api, clock, log, changed }: WatchOptions,
): Watched<T> {
  const known = new Map<string, T>();
  /** Where to go on; undefined: list anew. */
  let version: string | undefined;
  /** Since the server last answered. */
  let failures = 0;

  const answered = (): void => {
    if (failures > 0) log.info({ failures }, 'API server is back');
    failures = 0;
  };
  const put = (object: unknown): string | undefined => {
    const parsed = schema.safeParse(object);
    if (!parsed.success) {
      log.error({ kind: name, error: z.prettifyError(parsed.error) }, 'object not understood');
      return undefined;
    }
    const key = keyOf(parsed.data);
    known.set(key, parsed.data);
    changed(key);
    return key;
  };
  const relist = async (): Promise<void> => {
    const found = checked(list, await api.request({ method: 'GET', path }), path);
    const there = new Set(found.items.map(put));
    for (const key of known.keys()) {
      if (there.has(key)) continue;
      known.delete(key);
      changed(key);
    }
    ({ resourceVersion: version } = found.metadata);
    answered();
  };
  const take = ({ type, object }: WatchEvent): void => {
    answered();
    if (type === 'ERROR') {
      log.info({ kind: name, why: refusal.safeParse(object).data?.message }, 'objects are listed anew');
      version = undefined;
      return;
    }
    const at = versioned.safeParse(object);
    if (at.success && version !== undefined) version = at.data.metadata.resourceVersion;
    if (type === 'BOOKMARK') return;
    const key = put(object);
    if (type !== 'DELETED' || key === undefined) return;
    known.delete(key);
    changed(key);
  };
  return {
    all: () => [...known.values()],
    get: (key) => known.get(key),
    run: async (signal) => {
      while (!signal.aborted) {
        try {
          if (version === undefined) await relist();
          const from = { resourceVersion: version ?? '', allowWatchBookmarks: 'true' };
          await api.watch(path, from, take, signal);
          answered();
        } catch (error) {
          if (error instanceof SnapmergeError && error.kind === 'out-of-range') version = undefined;
          const againMs = Math.min(FIRST_RETRY_MS * 2 ** failures, MOST_RETRY_MS);
          failures += 1;
          log.warn({ kind: name, error: messageOf(error), againMs }, 'objects cannot be watched');
          await clock.sleep(againMs, signal);
        }
      }
    },
  };
}

function keyOf({ metadata: { namespace, name } }: Named): string {
  return `${namespace}/${name}`;
}
