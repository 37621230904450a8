// How long things took on this machine the last time, for whoever waits for them now. Nothing else hangs on it, so what
// cannot be read is not known, and what cannot be written is not remembered.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cacheDir } from './cache-dir.ts';

const fileOf = (what: string): string => join(cacheDir(), 'durations', what.replaceAll(/[^A-Za-z0-9]+/g, '-'));

/** In words, such as ` (13 s the last time)`; nothing where it is not known. */
export const lastTime = (what: string): string => {
  try {
    const seconds = Number(readFileSync(fileOf(what), 'utf8'));
    return Number.isFinite(seconds) && seconds > 0 ? ` (${seconds.toFixed(0)} s the last time)` : '';
  } catch {
    return '';
  }
};

export const remember = (what: string, seconds: number): void => {
  try {
    mkdirSync(join(cacheDir(), 'durations'), { recursive: true });
    writeFileSync(fileOf(what), seconds.toFixed(1));
  } catch {
    // A cache that nobody may write to does not keep anybody from working.
  }
};
